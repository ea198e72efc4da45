// Checks of request fields that every service shares. What a field may hold in detail is decided once, by the state
// machine; here is refused what has no form there: missing messages, unknown enum values, numbers beyond 2^53.

import { EtlError, type Timestamp, timestampOfMs } from '@etl-router/core';
import { fromTimestamp, type TimestampFields, toCount, toTimestamp } from '@etl-router/proto';
import type { ProposeOptions } from '../../server/proposer.ts';
import { checkText, invalid } from '../../state/names.ts';

const requestIdMaxLength = 128;

/** The message or text of a field that must be given. */
export function required<Value>(field: string, value: Value | undefined): NonNullable<Value> {
  if (value !== undefined && value !== null && value !== '') return value;
  throw invalid(field, 'is missing');
}

/** A field where empty means that none is given. */
export function optional(value: string): string | undefined {
  return value === '' ? undefined : value;
}

/** The word for an enum's number. `what` says what is needed. */
export function wordOf<Word extends string>(
  field: string,
  words: { readonly [number: number]: Word },
  value: number,
): Word {
  const word = words[value];
  if (word !== undefined) return word;
  throw invalid(
    field,
    `${value} is not one of ${Object.entries(words)
      .map(([number, known]) => `${number} (${known})`)
      .join(', ')}`,
  );
}

/** A 64-bit number that may be absent. */
export function optionalCount(field: string, value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : toCount(value, field);
}

/** Throws when a list or map has more entries than it may. */
export function atMost(field: string, count: number, limit: number): void {
  if (count <= limit) return;
  throw new EtlError('ETL_LIMIT_EXCEEDED', `${field}: has ${count} entries, at most ${limit}`, {
    details: { field, count, limit },
  });
}

/** A measurement: finite and not negative. */
export function measurement(field: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw invalid(field, `${value} must be finite and at least 0`);
}

/** Text for people, bounded. */
export function text(field: string, value: string, maxBytes: number): string {
  checkText(field, value, maxBytes);
  return value;
}

/** How a write is proposed: until the caller goes, and once for each request id. */
export function proposal(requestId: string, signal: AbortSignal): ProposeOptions {
  if (requestId === '') return { signal };
  if (requestId.length > requestIdMaxLength) {
    throw invalid('request_id', `must be at most ${requestIdMaxLength} characters`);
  }
  return { signal, request: { requestId } };
}

/** A moment as a message. */
export function fromMs(ms: number): TimestampFields {
  return fromTimestamp(timestampOfMs(ms));
}

/** A point in time that must be given. */
export function requiredTime(field: string, value: TimestampFields | undefined): Timestamp {
  return required(field, toTimestamp(value, field));
}

/** `namespace/name` of a pipeline that must be given. */
export function pipelineId(field: string, value: string): string {
  required(field, value);
  if (value.includes('/')) return value;
  throw invalid(field, 'must be namespace/name');
}
