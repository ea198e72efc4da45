// Event times of a batch as a pipeline sees them, and what happens to records that come too late. Looks at nothing
// when the first record of a batch has no event time and none is to be taken from the payload.

import { BatchBuilder, type RecordBatch, type Timestamp, timestampToMs } from '@etl-router/core';
import type { WatermarkPolicy } from '@etl-router/pipeline';
import { isLate } from './watermark.ts';

/** Header that late records are marked with, in seconds behind the watermark. */
export const lateHeader = 'etl-late';

/** Reads one record's event time; undefined when it has none. */
export type EventClock = (batch: RecordBatch, index: number) => number | undefined;

/** Where the policy takes event times from. */
export function createEventClock(policy: WatermarkPolicy): EventClock {
  const path = policy.field?.split('.').slice(1);
  if (path === undefined) {
    return (batch, index) => {
      const time = batch.eventTime(index);
      return time === undefined ? undefined : timestampToMs(time);
    };
  }
  return (batch, index) => {
    let value: unknown;
    try {
      value = batch.value(index);
    } catch {
      return undefined;
    }
    for (const name of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name))
        return undefined;
      value = (value as { readonly [name: string]: unknown })[name];
    }
    return toMs(value);
  };
}

/** Milliseconds since the Unix epoch of an ISO date and time, or of a number: seconds below 10^11, else milliseconds. */
function toMs(value: unknown): number | undefined {
  if (typeof value === 'string') {
    const ms = Date.parse(value);
    return Number.isNaN(ms) ? undefined : ms;
  }
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) return undefined;
  return Math.abs(number) < 1e11 ? number * 1000 : number;
}

export interface EventTimes {
  readonly minMs: number;
  readonly maxMs: number;
  /** Indexes of late records, ascending. */
  readonly late: readonly number[];
}

/** The event times of a batch; undefined when no record has one. */
export function readEventTimes(
  batch: RecordBatch,
  clock: EventClock,
  limit: { readonly watermarkMs: number | undefined; readonly allowedLatenessMs: number },
): EventTimes | undefined {
  let [minMs, maxMs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const late: number[] = [];
  for (let index = 0; index < batch.count; index++) {
    const ms = clock(batch, index);
    if (ms === undefined) {
      if (index === 0 && batch.count > 1 && clock(batch, batch.count - 1) === undefined) {
        return undefined;
      }
      continue;
    }
    if (ms < minMs) minMs = ms;
    if (ms > maxMs) maxMs = ms;
    if (isLate(ms, limit.watermarkMs, limit.allowedLatenessMs)) late.push(index);
  }
  return minMs > maxMs ? undefined : { minMs, maxMs, late };
}

/** The same batch, its late records marked with a header that says how late they are. */
export function markLate(
  batch: RecordBatch,
  late: readonly number[],
  lateByMs: (index: number) => number,
): RecordBatch {
  const builder = new BatchBuilder(batch.byteLength + late.length * 32);
  let next = 0;
  for (let index = 0; index < batch.count; index++) {
    if (late[next] !== index) {
      builder.appendFrom(batch, index);
      continue;
    }
    next++;
    const record = batch.record(index);
    const headers = new Map(record.headers).set(lateHeader, `${lateByMs(index) / 1000}`);
    builder.append({ ...record, headers }, batch.sequence(index));
  }
  const { lane, epoch, firstSequence, watermark } = batch.header;
  return builder.build({ lane, epoch, firstSequence, watermark });
}

/** Milliseconds of a timestamp that may be absent. */
export function timestampMs(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : timestampToMs(time);
}
