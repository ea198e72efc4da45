// Our codec of Record and RecordBatch against the generated one: the same bytes for the same records, the same records
// for the same bytes, whatever order, repetition or unknown fields another implementation puts into them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AssertionFailure,
  BatchBuilder,
  isEtlError,
  RecordBatch,
  readRecord,
} from '@etl-router/core';
import { RecordBatchSchema, RecordSchema, toRecord } from '@etl-router/proto';
import fc from 'fast-check';
import { batchPlan, builtBatch, bytes, messageOf, plain, record, text } from './support/records.ts';

function recordsOf(batch: RecordBatch): unknown[] {
  return Array.from({ length: batch.count }, (_, index) => plain(batch.record(index)));
}

test('a batch of ours has the bytes that generated code writes', () => {
  fc.assert(
    fc.property(batchPlan, (plan) => {
      const ours = builtBatch(plan).toBytes();
      const theirs = Buffer.from(toBinary(RecordBatchSchema, messageOf(plan)));
      assert.equal(ours.toString('hex'), theirs.toString('hex'));
    }),
    { numRuns: 300 },
  );
});

test('what generated code wrote is read back as it was, field by field and whole', () => {
  fc.assert(
    fc.property(batchPlan, (plan) => {
      const batch = RecordBatch.decode(toBinary(RecordBatchSchema, messageOf(plan)));
      const { lane, epoch, firstSequence, watermark } = plan.header;
      assert.deepEqual(
        [batch.lane, batch.epoch, batch.header.firstSequence, batch.header.watermark],
        [lane, epoch, firstSequence, watermark],
      );
      assert.deepEqual(recordsOf(batch), plan.records.map(plain));
      const again = Array.from({ length: batch.count }, (_, index) =>
        plain({
          position: batch.position(index),
          derivation: batch.derivation(index),
          originId: batch.record(index).originId,
          type: batch.type(index),
          key: batch.key(index),
          headers: batch.headers(index),
          eventTime: batch.eventTime(index),
          ingestTime: batch.record(index).ingestTime,
          contentType: batch.contentType(index),
          payload: batch.payload(index),
        }),
      );
      assert.deepEqual(again, plan.records.map(plain));
    }),
    { numRuns: 200 },
  );
});

/** A varint, with `padding` bytes that say nothing: protobuf allows them. */
function varint(value: number, padding = 0): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest > 127) {
    out.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  out.push(padding > 0 ? rest | 128 : rest);
  for (let index = 1; index <= padding; index++) out.push(index === padding ? 0 : 128);
  return Buffer.from(out);
}

const padding = fc.constantFrom(0, 0, 0, 1, 3);

/** A field with `pad` bytes too many in its tag and its length, as far as a tag's five bytes allow. */
function field(tag: number, value: Uint8Array, pad: number): Buffer {
  const tagPad = Math.min(pad, 5 - varint(tag).length);
  const lengthPad = Math.min(pad, 5 - varint(value.length).length);
  return Buffer.concat([varint(tag, tagPad), varint(value.length, lengthPad), value]);
}

const unknownField: fc.Arbitrary<Buffer> = fc.oneof(
  fc
    .tuple(fc.integer({ min: 11, max: 5000 }), bytes, padding)
    .map(([number, value, pad]) => field(number * 8 + 2, value, pad)),
  fc
    .tuple(fc.integer({ min: 11, max: 5000 }), fc.nat())
    .map(([number, value]) => Buffer.concat([varint(number * 8), varint(value)])),
  fc
    .tuple(fc.integer({ min: 11, max: 5000 }), fc.uint8Array({ minLength: 8, maxLength: 8 }))
    .map(([number, value]) => Buffer.concat([varint(number * 8 + 1), value])),
  fc
    .tuple(fc.integer({ min: 11, max: 5000 }), fc.uint8Array({ minLength: 4, maxLength: 4 }))
    .map(([number, value]) => Buffer.concat([varint(number * 8 + 5), value])),
);

const scalarField: fc.Arbitrary<Buffer> = fc.oneof(
  fc
    .tuple(fc.constantFrom(1, 5, 10), bytes, padding)
    .map(([number, value, pad]) => field(number * 8 + 2, value, pad)),
  fc
    .tuple(fc.constantFrom(2, 3, 4, 9), text, padding)
    .map(([number, value, pad]) => field(number * 8 + 2, Buffer.from(value), pad)),
);

/** Entries of the headers map: whole, in the other order, with a part missing or repeated, with unknown parts. */
const headerField: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.array(
      fc.oneof(
        fc
          .tuple(fc.constantFrom(0x0a, 0x12), text, padding)
          .map(([tag, value, pad]) => field(tag, Buffer.from(value), pad)),
        unknownField,
      ),
      { maxLength: 4 },
    ),
    padding,
  )
  .map(([parts, pad]) => field(0x32, Buffer.concat(parts), pad));

test('fields in any order, repeated, padded and among unknown ones are read as generated code reads them', () => {
  const message = fc
    .array(fc.oneof(scalarField, headerField, unknownField), { maxLength: 12 })
    .map((fields) => Buffer.concat(fields));
  fc.assert(
    fc.property(message, (encoded) => {
      const theirs = plain(toRecord(fromBinary(RecordSchema, encoded)));
      assert.deepEqual(plain(readRecord(encoded, 0, encoded.length)), theirs);
      const batch = RecordBatch.decode(field(0x2a, encoded, 0));
      assert.deepEqual(plain(batch.record(0)), theirs);
      assert.equal(batch.type(0), batch.record(0).type);
      assert.deepEqual(batch.payload(0), Buffer.from(batch.record(0).payload));
    }),
    { numRuns: 400 },
  );
});

test('records, padded and between other fields of the batch, are found as generated code finds them', () => {
  const part = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(record, padding).map(([each, pad]) => {
        const { bytes: built, spans } = builtBatch({ header, records: [each], steps: undefined });
        return field(0x2a, built.subarray(spans[0]), pad);
      }),
    },
    { weight: 1, arbitrary: unknownField },
    {
      weight: 1,
      arbitrary: fc.nat().map((epoch) => Buffer.concat([varint(0x10), varint(epoch, 1)])),
    },
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const encoded = Buffer.concat(parts);
      const theirs = fromBinary(RecordBatchSchema, encoded);
      const ours = RecordBatch.decode(encoded);
      assert.equal(BigInt(ours.epoch), theirs.epoch);
      assert.deepEqual(recordsOf(ours), theirs.records.map(toRecord).map(plain));
      const again = fromBinary(RecordBatchSchema, ours.toBytes());
      assert.deepEqual(again.records.map(toRecord).map(plain), recordsOf(ours));
    }),
    { numRuns: 200 },
  );
});

const header = {
  lane: { pipeline: 'shop/orders', source: 'db', partition: '0' },
  epoch: 1,
  firstSequence: 0,
  watermark: undefined,
};

/** Opens a message and reads all of it; undefined when it was refused with an EtlError. */
function readAll(encoded: Uint8Array): unknown[] | undefined {
  try {
    const batch = RecordBatch.decode(encoded);
    for (let index = 0; index < batch.count; index++) {
      batch.eventTime(index);
      batch.headers(index);
      batch.id(index);
    }
    return recordsOf(batch);
  } catch (error) {
    if (isEtlError(error) && error.code === 'ETL_INVALID_ARGUMENT') return undefined;
    throw error;
  }
}

test('bytes that were damaged are refused by an EtlError, or read as generated code reads them', () => {
  const damage = fc.record({
    at: fc.nat(),
    to: fc.nat(255),
    cut: fc.option(fc.nat(), { nil: undefined, freq: 12 }),
  });
  let [refused, accepted] = [0, 0];
  fc.assert(
    fc.property(batchPlan, fc.array(damage, { minLength: 1, maxLength: 2 }), (plan, damages) => {
      let encoded = builtBatch(plan).toBytes();
      for (const { at, to, cut } of damages) {
        if (encoded.length === 0) break;
        encoded[at % encoded.length] = to;
        if (cut !== undefined) encoded = encoded.subarray(0, cut % (encoded.length + 1));
      }
      const ours = readAll(encoded);
      if (ours === undefined) {
        refused++;
        return;
      }
      accepted++;
      const theirs = fromBinary(RecordBatchSchema, encoded);
      assert.deepEqual(ours, theirs.records.map(toRecord).map(plain));
    }),
    { numRuns: 2000 },
  );
  assert.ok(refused > 100 && accepted > 20, `${refused} refused, ${accepted} accepted`);
});

test('random bytes never do anything but be refused or read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
      readAll(noise);
      readAll(field(0x2a, noise, 0));
    }),
    { numRuns: 5000 },
  );
});

const refusals: readonly (readonly [what: string, hex: string])[] = [
  ['a length past the end', '2a05aa'],
  ['a truncated varint', '10ff'],
  ['a varint of eleven bytes', '10ffffffffffffffffffff01'],
  ['an epoch above 2^53 - 1', '108080808080808010'],
  ['an epoch of 2^64 - 1', '10ffffffffffffffffff01'],
  ['more offsets than records', '22020001'],
  ['a group', '2b2c'],
  ['a timestamp of 2e9 nanoseconds', '3206108094ebdc03'],
  ['a timestamp in the year 10000', '32070880eb88fdb807'],
  ['text that is not UTF-8', '2a03220180'],
  ['text cut off inside a character', '2a052203e282e2'],
];

for (const [what, hex] of refusals) {
  test(`${what} is refused`, () => {
    assert.equal(readAll(Buffer.from(hex, 'hex')), undefined);
  });
}

test('a record whose tag is padded does not stall the reader', () => {
  const encoded = Buffer.from('aa0000' + '2a00', 'hex');
  assert.equal(RecordBatch.decode(encoded).count, 2);
});

test('sequences that descend, or are 2^32 apart, are a defect of who builds the batch', () => {
  for (const second of [4, 5 + 2 ** 32]) {
    const builder = new BatchBuilder();
    builder.append({ position: Buffer.of(1) }, 5);
    builder.append({ position: Buffer.of(2) }, second);
    assert.throws(() => builder.build(header), AssertionFailure);
  }
});
