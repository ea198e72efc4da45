// The records that codec benchmarks run on: 64-bit integers in the payload and in two timestamps, two headers of
// which one differs from record to record, 200 bytes of JSON. Made from a fixed seed, the same in every run.

import {
  BatchBuilder,
  type BatchHeader,
  positionOfCount,
  type Record,
  type RecordBatch,
  seededRandom,
} from '@etl-router/core';

/** Header of every batch made here. */
export const header: Omit<BatchHeader, 'sequenceOffsets'> = {
  lane: { pipeline: 'shop/orders', source: 'orders-pg', partition: 'public.orders/0' },
  epoch: 7,
  firstSequence: 1_000_000,
  watermark: { seconds: 1_763_700_000, nanos: 0 },
};

/** `count` records. */
export function makeRecords(count: number, seed = 1): Record[] {
  const random = seededRandom(seed);
  const below = (bound: number): number => random.below(bound);
  return Array.from({ length: count }, (_, index) => ({
    position: positionOfCount(5_000_000_000 + index),
    derivation: '',
    originId: '',
    type: 'io.example.order.v1',
    key: Buffer.from(`customer-${String(below(100_000)).padStart(6, '0')}`),
    headers: new Map([
      ['op', ['create', 'update', 'delete'][below(3)] as string],
      ['traceparent', `00-${hex(below, 32)}-${hex(below, 16)}-01`],
    ]),
    eventTime: { seconds: 1_763_700_000 + index, nanos: below(1_000_000_000) },
    ingestTime: { seconds: 1_763_700_001 + index, nanos: below(1_000_000) * 1000 },
    contentType: 'application/json',
    payload: makePayload(below),
  }));
}

/** The records as one batch. */
export function makeBatch(records: readonly Record[]): RecordBatch {
  const builder = new BatchBuilder();
  for (const record of records) builder.append(record);
  return builder.build(header);
}

function makePayload(below: (bound: number) => number): Buffer {
  const id = 9_007_199_254_740_993n + BigInt(below(1_000_000_000)) * 1_000n;
  const text =
    `{"order_id":${id},"account":${(id * 3n) % (1n << 62n)},"amount":${below(2000) / 100},` +
    `"currency":"EUR","updated_at_ns":${1_763_700_000_000_000_000n + BigInt(below(1_000_000_000))},"note":"`;
  return Buffer.from(`${text.padEnd(198, 'x')}"}`);
}

function hex(below: (bound: number) => number, digits: number): string {
  return Array.from({ length: digits }, () => below(16).toString(16)).join('');
}
