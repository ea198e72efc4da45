// Conversions keep what they are given, refuse what does not fit and never round.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { EtlError, type SinkCapabilities, type SourceCapabilities } from '@etl-router/core';
import {
  fromLane,
  fromRecord,
  fromRecordFailure,
  fromSinkCapabilities,
  fromSourceCapabilities,
  fromTimestamp,
  LaneSchema,
  RecordSchema,
  toBatchPreference,
  toCount,
  toLane,
  toPosition,
  toRecord,
  toRecordFailures,
  toSinkCapabilities,
  toSourceCapabilities,
  toTimestamp,
} from '@etl-router/proto';
import { GetCapabilitiesResponseSchema as SinkSchema } from '@etl-router/proto/sink';
import { GetCapabilitiesResponseSchema as SourceSchema } from '@etl-router/proto/source';
import { RecordFailureSchema } from '@etl-router/proto/stage';
import fc from 'fast-check';
import { plain, record, timestamp } from './support/records.ts';

test('a record survives its message', () => {
  fc.assert(
    fc.property(record, (each) => {
      const again = fromBinary(RecordSchema, toBinary(RecordSchema, fromRecord(each)));
      assert.deepEqual(plain(toRecord(again)), plain(each));
    }),
    { numRuns: 100 },
  );
});

test('a point in time survives its message, and one outside years 1 to 9999 is refused', () => {
  fc.assert(
    fc.property(timestamp, (time) => {
      assert.deepEqual(toTimestamp(fromTimestamp(time), 't'), time);
    }),
  );
  for (const wrong of [
    { seconds: 253402300800n, nanos: 0 },
    { seconds: -62135596801n, nanos: 0 },
    { seconds: 0n, nanos: -1 },
    { seconds: 0n, nanos: 2e9 },
    { seconds: 2n ** 63n - 1n, nanos: 0 },
  ]) {
    assert.throws(() => toTimestamp(wrong, 'watermark'), /watermark is outside/);
  }
});

test('a count beyond 2^53 - 1 is refused by name instead of rounded', () => {
  assert.equal(toCount(2n ** 53n - 1n, 'epoch'), Number.MAX_SAFE_INTEGER);
  for (const wrong of [2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n, -1n]) {
    assert.throws(() => toCount(wrong, 'items[3].epoch'), /items\[3\]\.epoch is/);
  }
});

test('a lane that lacks a part is refused by the name of the part', () => {
  const lane = { pipeline: 'shop/orders', source: 'db', partition: '0' };
  assert.deepEqual(toLane(fromLane(lane), 'lane'), lane);
  assert.throws(() => toLane(undefined, 'open.lane'), /open\.lane\.pipeline is missing/);
  const partial = create(LaneSchema, { ...lane, partition: '' });
  assert.throws(() => toLane(partial, 'open.lane'), /open\.lane\.partition is missing/);
});

test('a position is empty, fits or is refused', () => {
  assert.equal(toPosition(new Uint8Array(0), 'after'), undefined);
  assert.equal(toPosition(new Uint8Array(256), 'after')?.length, 256);
  assert.throws(() => toPosition(new Uint8Array(257), 'after'), /after has 257 bytes/);
});

test('capabilities survive their messages, and an order that is not said is refused', () => {
  const source: fc.Arbitrary<SourceCapabilities> = fc.record({
    replayable: fc.boolean(),
    ordered: fc.constantFrom('none', 'partition'),
    bounded: fc.boolean(),
  });
  const sink: fc.Arbitrary<SinkCapabilities> = fc.record({
    durable: fc.boolean(),
    idempotentByKey: fc.boolean(),
    transactionalPosition: fc.boolean(),
  });
  fc.assert(
    fc.property(source, sink, (ofSource, ofSink) => {
      assert.deepEqual(
        toSourceCapabilities(create(SourceSchema, fromSourceCapabilities(ofSource))),
        { ...ofSource },
      );
      assert.deepEqual(toSinkCapabilities(create(SinkSchema, fromSinkCapabilities(ofSink))), {
        ...ofSink,
      });
    }),
  );
  assert.throws(() => toSourceCapabilities(create(SourceSchema)), /ordering/);
});

test('a wish for batches is completed and cut to the bounds', () => {
  const fallback = { maxRecords: 500, maxBytes: 1000, maxWaitMs: 10 };
  assert.deepEqual(toBatchPreference(undefined, fallback), fallback);
  const { batch } = create(SinkSchema, {
    batch: { maxRecords: 4_000_000_000, maxBytes: 0, maxWaitMs: 4_000_000_000 },
  });
  assert.deepEqual(toBatchPreference(batch, fallback), {
    maxRecords: 1_000_000,
    maxBytes: 1000,
    maxWaitMs: 60_000,
  });
});

test('failures are ordered by index; one of no record, or named twice, fails the answer', () => {
  const failure = (index: number, code = 'BAD') =>
    create(RecordFailureSchema, fromRecordFailure({ index, code, message: 'm', retryable: true }));
  assert.deepEqual(toRecordFailures([failure(2), failure(0, 'not a code')], 3), [
    { index: 0, code: 'FAILED', message: 'm', retryable: true },
    { index: 2, code: 'BAD', message: 'm', retryable: true },
  ]);
  for (const wrong of [[failure(3)], [failure(1), failure(1)]]) {
    assert.throws(
      () => toRecordFailures(wrong, 3),
      (error) => error instanceof EtlError && error.code === 'ETL_CONNECTOR_FAILED',
    );
  }
});
