// Between messages and the words of core. What comes from outside is checked here: a number that a double would round,
// a missing lane or an answer that does not fit its question is an EtlError that names the field.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type BatchPreference,
  EtlError,
  type Lane,
  type Record,
  type RecordFailure,
  type SinkCapabilities,
  type SourceCapabilities,
  type Timestamp,
  type TransformCapabilities,
} from '@etl-router/core';
import {
  type Lane as LaneMessage,
  LaneSchema,
  type Record as RecordMessage,
  RecordSchema,
} from './gen/etl/record/v1/record_pb.ts';
import type {
  BatchPreference as BatchPreferenceMessage,
  GetCapabilitiesResponse as SinkCapabilitiesMessage,
  GetCapabilitiesResponseSchema as SinkCapabilitiesSchema,
} from './gen/etl/sink/v1/sink_pb.ts';
import {
  Ordering,
  type GetCapabilitiesResponse as SourceCapabilitiesMessage,
  type GetCapabilitiesResponseSchema as SourceCapabilitiesSchema,
} from './gen/etl/source/v1/source_pb.ts';
import type {
  Failure,
  FailureSchema,
  RecordFailure as RecordFailureMessage,
  RecordFailureSchema,
} from './gen/etl/stage/v1/stage_pb.ts';
import type {
  GetCapabilitiesResponse as TransformCapabilitiesMessage,
  GetCapabilitiesResponseSchema as TransformCapabilitiesSchema,
} from './gen/etl/transform/v1/transform_pb.ts';

const positionMaxBytes = 256;
const textMaxChars = 4096;
const failureCode = /^[A-Z][A-Z0-9_]{0,63}$/;

/** A 64-bit count as a number. Throws ETL_INVALID_ARGUMENT, naming `field`, beyond 2^53 - 1: nothing is ever rounded. */
export function toCount(value: bigint, field: string): number {
  const count = Number(value);
  if (value < 0n || !Number.isSafeInteger(count)) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${field} is ${value}; it must be 0 to 2^53 - 1`, {
      details: { field },
    });
  }
  return count;
}

/** The lane of a message. Throws ETL_INVALID_ARGUMENT, naming `field`, where it or a part of it is missing. */
export function toLane(message: LaneMessage | undefined, field: string): Lane {
  const { pipeline = '', source = '', partition = '' } = message ?? {};
  for (const [part, text] of Object.entries({ pipeline, source, partition })) {
    if (text === '') throw missing(`${field}.${part}`);
  }
  return { pipeline, source, partition };
}

/** The message of a lane. */
export function fromLane(lane: Lane): LaneMessage {
  return create(LaneSchema, {
    pipeline: lane.pipeline,
    source: lane.source,
    partition: lane.partition,
  });
}

/** A position, undefined when empty. Throws ETL_INVALID_ARGUMENT, naming `field`, beyond 256 bytes. */
export function toPosition(bytes: Uint8Array, field: string): Uint8Array | undefined {
  if (bytes.length > positionMaxBytes) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${field} has ${bytes.length} bytes; a position has at most ${positionMaxBytes}`,
      { details: { field } },
    );
  }
  return bytes.length === 0 ? undefined : bytes;
}

/** The fields of google.protobuf.Timestamp, as generated code has them. */
export interface TimestampFields {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** A point in time. Throws ETL_INVALID_ARGUMENT, naming `field`, outside years 1 to 9999. */
export function toTimestamp(
  message: TimestampFields | undefined,
  field: string,
): Timestamp | undefined {
  if (message === undefined) return undefined;
  const { nanos } = message;
  const seconds = Number(message.seconds);
  if (seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999_999_999) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${field} is outside years 1 to 9999`, {
      details: { field },
    });
  }
  return { seconds, nanos };
}

/** The fields of google.protobuf.Timestamp for a point in time. */
export function fromTimestamp(time: Timestamp): TimestampFields {
  return { seconds: BigInt(time.seconds), nanos: time.nanos };
}

/** The record a message holds; bytes are shared with it. */
export function toRecord(message: RecordMessage): Record {
  return {
    position: message.position,
    derivation: message.derivation,
    originId: message.originId,
    type: message.type,
    key: message.key,
    headers: new Map(Object.entries(message.headers)),
    eventTime: toTimestamp(message.eventTime, 'record.event_time'),
    ingestTime: toTimestamp(message.ingestTime, 'record.ingest_time'),
    contentType: message.contentType,
    payload: message.payload,
  };
}

/** The message of a record; bytes are shared with it. For control messages: batches have a codec of their own. */
export function fromRecord(record: Record): RecordMessage {
  const { eventTime, ingestTime } = record;
  return create(RecordSchema, {
    position: Uint8Array.from(record.position),
    derivation: record.derivation,
    originId: record.originId,
    type: record.type,
    key: Uint8Array.from(record.key),
    headers: Object.fromEntries(record.headers),
    contentType: record.contentType,
    payload: Uint8Array.from(record.payload),
    ...(eventTime === undefined ? {} : { eventTime: fromTimestamp(eventTime) }),
    ...(ingestTime === undefined ? {} : { ingestTime: fromTimestamp(ingestTime) }),
  });
}

/** What a source says it can promise. Throws ETL_INVALID_ARGUMENT when it does not say which order it keeps. */
export function toSourceCapabilities(message: SourceCapabilitiesMessage): SourceCapabilities {
  const { replayable, bounded, ordering } = message;
  if (ordering !== Ordering.NONE && ordering !== Ordering.PARTITION) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `the source's capabilities have ordering ${ordering}; it must be ORDERING_NONE or ORDERING_PARTITION`,
      { details: { field: 'ordering' } },
    );
  }
  return { replayable, bounded, ordered: ordering === Ordering.PARTITION ? 'partition' : 'none' };
}

/** What a source says it can promise, as a message. */
export function fromSourceCapabilities(
  capabilities: SourceCapabilities,
): MessageInitShape<typeof SourceCapabilitiesSchema> {
  const { replayable, bounded, ordered } = capabilities;
  const ordering = ordered === 'partition' ? Ordering.PARTITION : Ordering.NONE;
  return { replayable, bounded, ordering };
}

/** What a transform says it can promise. */
export function toTransformCapabilities(
  message: TransformCapabilitiesMessage,
): TransformCapabilities {
  return { deterministic: message.deterministic };
}

/** What a transform says it can promise, as a message. */
export function fromTransformCapabilities(
  capabilities: TransformCapabilities,
): MessageInitShape<typeof TransformCapabilitiesSchema> {
  return { deterministic: capabilities.deterministic };
}

/** What a sink says it can promise. */
export function toSinkCapabilities(message: SinkCapabilitiesMessage): SinkCapabilities {
  const { durable, idempotentByKey, transactionalPosition } = message;
  return { durable, idempotentByKey, transactionalPosition };
}

/** What a sink says it can promise and likes, as a message. */
export function fromSinkCapabilities(
  capabilities: SinkCapabilities,
  batch?: BatchPreference,
): MessageInitShape<typeof SinkCapabilitiesSchema> {
  const { durable, idempotentByKey, transactionalPosition } = capabilities;
  const promise = { durable, idempotentByKey, transactionalPosition };
  return batch === undefined ? promise : { ...promise, batch };
}

/** The batches a sink likes: what it left open is taken from `fallback`, what is beyond a bound is cut to it. */
export function toBatchPreference(
  message: BatchPreferenceMessage | undefined,
  fallback: BatchPreference,
): BatchPreference {
  if (message === undefined) return fallback;
  return {
    maxRecords: Math.min(message.maxRecords || fallback.maxRecords, 1_000_000),
    maxBytes: Math.min(message.maxBytes || fallback.maxBytes, 16 * 1024 * 1024),
    maxWaitMs: Math.min(message.maxWaitMs, 60_000),
  };
}

/** Why a record failed, as a message. */
export function fromRecordFailure(
  failure: RecordFailure,
): MessageInitShape<typeof RecordFailureSchema> {
  return { index: failure.index, failure: fromFailure(failure) };
}

/** Why something failed, as a message. */
export function fromFailure(
  failure: Omit<RecordFailure, 'index'>,
): MessageInitShape<typeof FailureSchema> {
  const { code, message, retryable } = failure;
  return { code, message: message.slice(0, textMaxChars), retryable };
}

/** Why record `index` failed; a code that is no word becomes `FAILED`, text beyond 4,096 characters is left out. */
export function toRecordFailure(index: number, failure: Failure | undefined): RecordFailure {
  const code = failure?.code ?? '';
  return {
    index,
    code: failureCode.test(code) ? code : 'FAILED',
    message: failure?.message.slice(0, textMaxChars) ?? 'the stage gave no reason',
    retryable: failure?.retryable ?? false,
  };
}

/**
 * The records of a batch of `count` that failed, by index. Throws ETL_CONNECTOR_FAILED when an index is not of the
 * batch or occurs twice: such an answer says nothing certain about any record.
 */
export function toRecordFailures(
  messages: readonly RecordFailureMessage[],
  count: number,
): RecordFailure[] {
  const seen = new Set<number>();
  for (const { index } of messages) {
    if (index < count && !seen.has(index)) {
      seen.add(index);
      continue;
    }
    throw new EtlError(
      'ETL_CONNECTOR_FAILED',
      `the stage reported record ${index} of a batch of ${count} as failed${index < count ? ' twice' : ''}`,
      { retryable: false },
    );
  }
  return messages
    .map(({ index, failure }) => toRecordFailure(index, failure))
    .toSorted((a, b) => a.index - b.index);
}

function missing(field: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `${field} is missing`, { details: { field } });
}
