import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { StoredLaneSchema, StoredMetaSchema } from '@etl-router/proto';
import fc from 'fast-check';
import { hash64 } from '../../src/state/hash.ts';
import { encodeLane, encodeMeta } from '../../src/state/hot-rows.ts';

const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constant(0n));
const uint64 = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constant(0n));
const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant(''));

test('hot rows have the bytes of the generated encoder', () => {
  const watermark = fc.option(fc.record({ seconds: int64, nanos: fc.integer() }), {
    nil: undefined,
  });
  const lane = fc.record({
    pipeline: text,
    source: text,
    partition: text,
    epoch: uint64,
    position: fc.uint8Array({ maxLength: 300 }),
    committedAtNs: int64,
    sidecarId: text,
  });
  fc.assert(
    fc.property(lane, watermark, (fields, time) => {
      const row = create(StoredLaneSchema, { ...fields, ...(time && { watermark: time }) });
      assert.deepEqual(Buffer.from(encodeLane(row)), Buffer.from(toBinary(StoredLaneSchema, row)));
    }),
  );
  fc.assert(
    fc.property(int64, uint64, (timeNs, revision) => {
      const row = create(StoredMetaSchema, { timeNs, revision });
      assert.deepEqual(Buffer.from(encodeMeta(row)), Buffer.from(toBinary(StoredMetaSchema, row)));
    }),
  );
});

test('the hash is FNV-1a of 64 bits', () => {
  const naive = (bytes: Uint8Array): bigint => {
    let hash = 0xcbf29ce484222325n;
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    return hash;
  };
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.equal(hash64(bytes), naive(bytes))));
  assert.equal(hash64(Buffer.from('foobar')), 0x85944171f73967e8n);
});
