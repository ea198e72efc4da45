// Random records and batches, in core's words and as generated messages, and what a test compares of them.

import { create, type MessageShape } from '@bufbuild/protobuf';
import {
  BatchBuilder,
  type BatchHeader,
  type Record,
  RecordBatch,
  type Timestamp,
} from '@etl-router/core';
import { fromRecord, fromTimestamp, RecordBatchSchema } from '@etl-router/proto';
import fc from 'fast-check';

/** Objects with a prototype, as code makes them. */
const plainObjects = { noNullPrototype: true } as const;

/** Text that needs one to four bytes a character, and now and then a length prefix of two or three. */
export const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 3, arbitrary: fc.string({ maxLength: 70 }) },
  { weight: 1, arbitrary: fc.nat(20_000).map((length) => 'é'.repeat(length)) },
);

/** Bytes whose length prefix takes one, two or three bytes. */
export const bytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.nat(40_000).map((length) => new Uint8Array(length).fill(7)) },
);

export const timestamp: fc.Arbitrary<Timestamp> = fc.record(
  {
    seconds: fc.oneof(
      fc.integer({ min: -62135596800, max: 253402300799 }),
      fc.integer({ min: -2, max: 2 }),
      fc.constantFrom(-62135596800, 253402300799, 268435455, 268435456, 34359738367, 34359738368),
    ),
    nanos: fc.oneof(fc.integer({ min: 0, max: 999_999_999 }), fc.constantFrom(0, 1, 999_999_999)),
  },
  plainObjects,
);

/** Names that a plain object keeps in the order in which they were set, as generated code needs. */
const headerName = text.filter((name) => !/^\d+$/.test(name) && name !== '__proto__');

export const record: fc.Arbitrary<Record> = fc.record(
  {
    position: bytes,
    derivation: text,
    originId: text,
    type: text,
    key: bytes,
    headers: fc
      .uniqueArray(fc.tuple(headerName, text), { selector: ([name]) => name, maxLength: 5 })
      .map(
        (entries) => new Map(entries.map(([name, value]) => [name.toWellFormed(), value] as const)),
      ),
    eventTime: fc.option(timestamp, { nil: undefined }),
    ingestTime: fc.option(timestamp, { nil: undefined }),
    contentType: text,
    payload: bytes,
  },
  plainObjects,
);

const count = fc.oneof(fc.nat(300), fc.constantFrom(0, 127, 128, 2 ** 32, 2 ** 53 - 1));

export interface BatchPlan {
  readonly header: Omit<BatchHeader, 'sequenceOffsets'>;
  readonly records: readonly Record[];
  /** Steps from each record's sequence to the next; undefined: dense. */
  readonly steps: readonly number[] | undefined;
}

export const batchPlan: fc.Arbitrary<BatchPlan> = fc
  .record(
    {
      header: fc.record(
        {
          lane: fc.record({ pipeline: text, source: text, partition: text }, plainObjects),
          epoch: count,
          firstSequence: fc.oneof(fc.nat(300), fc.constantFrom(0, 2 ** 32, 2 ** 52)),
          watermark: fc.option(timestamp, { nil: undefined }),
        },
        plainObjects,
      ),
      records: fc.array(record, { maxLength: 6 }),
      dense: fc.boolean(),
    },
    plainObjects,
  )
  .chain(({ header, records, dense }) =>
    fc
      .array(fc.constantFrom(0, 1, 5, 200_000), {
        minLength: records.length,
        maxLength: records.length,
      })
      .map((steps) => ({
        header,
        records,
        steps: dense || steps.length === 0 ? undefined : steps,
      })),
  );

/** Offsets of the records' sequences from the first one's; empty where they are dense. */
function offsetsOf(plan: BatchPlan): number[] {
  let offset = 0;
  return (plan.steps ?? []).map((step, index) => (offset += index === 0 ? 0 : step));
}

/** The batch as our builder makes it. */
export function builtBatch(plan: BatchPlan): RecordBatch {
  const builder = new BatchBuilder(16);
  const offsets = offsetsOf(plan);
  plan.records.forEach((each, index) => {
    const offset = offsets[index];
    builder.append(each, offset === undefined ? undefined : plan.header.firstSequence + offset);
  });
  return builder.build(plan.header);
}

/** The batch as a generated message. */
export function messageOf(plan: BatchPlan): MessageShape<typeof RecordBatchSchema> {
  const { lane, epoch, firstSequence, watermark } = plan.header;
  return create(RecordBatchSchema, {
    lane,
    epoch: BigInt(epoch),
    firstSequence: BigInt(firstSequence),
    sequenceOffsets: offsetsOf(plan),
    records: plan.records.map(fromRecord),
    ...(watermark === undefined ? {} : { watermark: fromTimestamp(watermark) }),
  });
}

/** A record with bytes and headers as plain values, so that two of them can be compared. */
export function plain(each: Record): unknown {
  return {
    ...each,
    position: Buffer.from(each.position).toString('hex'),
    key: Buffer.from(each.key).toString('hex'),
    payload: Buffer.from(each.payload).toString('hex'),
    headers: [...each.headers].toSorted(([a], [b]) => (a < b ? -1 : 1)),
  };
}
