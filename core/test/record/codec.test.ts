import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import fc from 'fast-check';
import { readRecord, readTimestamp, writeRecord, writeTimestamp } from '../../src/record/codec.ts';
import { readText } from '../../src/record/text.ts';
import { varintSize, WireReader, WireWriter } from '../../src/record/wire.ts';

const bytesOf = (...parts: readonly (number | string)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part))),
  );

function timestampOf(bytes: Buffer): { seconds: number; nanos: number } {
  return readTimestamp(bytes, 0, bytes.length);
}

test('a value past the first of a singular field replaces it, and headers of one name too', () => {
  const bytes = bytesOf(0x22, 1, 'a', 0x22, 2, 'bc', 0x32, 6, 0x0a, 1, 'n', 0x12, 1, '1');
  const again = Buffer.concat([bytes, bytesOf(0x32, 6, 0x0a, 1, 'n', 0x12, 1, '2')]);
  const record = readRecord(again, 0, again.length);
  assert.equal(record.type, 'bc');
  assert.deepEqual([...record.headers], [['n', '2']]);
});

test('unknown fields of every wire type are skipped, known ones of a wrong type refused', () => {
  const unknown = bytesOf(0x58, 0x96, 0x01, 0x61, '12345678', 0x6a, 2, 'xy', 0x75, '1234');
  const bytes = Buffer.concat([unknown, bytesOf(0x22, 1, 't'), bytesOf(0x82, 0x01, 1, 'z')]);
  assert.equal(readRecord(bytes, 0, bytes.length).type, 't');
  for (const wrong of [bytesOf(0x20, 1), bytesOf(0x25, '1234'), bytesOf(0x02, 0), bytesOf(0x23)]) {
    assert.throws(() => readRecord(wrong, 0, wrong.length), EtlError);
  }
});

test('tags and lengths may be longer than they need to be', () => {
  const bytes = bytesOf(0xa2, 0x00, 0x81, 0x00, 'a', 0x4a, 0x82, 0x80, 0x00, 'bc');
  const record = readRecord(bytes, 0, bytes.length);
  assert.deepEqual([record.type, record.contentType], ['a', 'bc']);
});

test('a header is read in any form: turned round, in parts, empty, long, with unknown fields', () => {
  const long = 'x'.repeat(200);
  const forms: readonly (readonly [Buffer, string, string])[] = [
    [bytesOf(0x12, 1, 'v', 0x0a, 1, 'n'), 'n', 'v'],
    [bytesOf(0x0a, 1, 'n'), 'n', ''],
    [bytesOf(0x12, 1, 'v'), '', 'v'],
    [bytesOf(), '', ''],
    [bytesOf(0x0a, 1, 'm', 0x12, 1, 'v', 0x0a, 1, 'n'), 'n', 'v'],
    [bytesOf(0x0a, 1, 'n', 0x12, 1, 'v', 0x18, 5), 'n', 'v'],
    [bytesOf(0x0a, 0xc8, 0x01, long, 0x12, 1, 'v'), long, 'v'],
    [bytesOf(0x0a, 1, 'n', 0x12, 0xc8, 0x01, long), 'n', long],
  ];
  for (const [entry, name, value] of forms) {
    const head = new WireWriter();
    head.bytes(0x32, entry);
    const bytes = head.take();
    assert.deepEqual([...readRecord(bytes, 0, bytes.length).headers], [[name, value]]);
  }
});

test('a record cut off anywhere is malformed or a shorter record, never another error', () => {
  const writer = new WireWriter();
  writeRecord(writer, {
    position: Buffer.from('position'),
    type: 'io.example.order.v1',
    headers: new Map([['name', 'value']]),
    eventTime: { seconds: 1_763_700_000, nanos: 5 },
    payload: Buffer.alloc(300),
  });
  const bytes = writer.take();
  for (let end = 0; end < bytes.length; end++) {
    const cut = Buffer.from(bytes.subarray(0, end));
    try {
      assert.ok(readRecord(cut, 0, end).payload.length < 300);
    } catch (error) {
      assert.ok(error instanceof EtlError, String(error));
      assert.equal(error.code, 'ETL_INVALID_ARGUMENT');
    }
  }
});

test('random bytes are a record or malformed, never another error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (random) => {
      const bytes = Buffer.from(random);
      try {
        readRecord(bytes, 0, bytes.length);
      } catch (error) {
        assert.ok(error instanceof EtlError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('every timestamp of years 1 to 9999 survives, in whatever size its integers come', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }),
      fc.integer({ min: 0, max: 999_999_999 }),
      (seconds, nanos) => {
        const writer = new WireWriter();
        writeTimestamp(writer, 0x3a, { seconds, nanos });
        const bytes = writer.take();
        assert.deepEqual(timestampOf(bytes.subarray(2)), { seconds, nanos });
      },
    ),
    { numRuns: 2000 },
  );
  assert.deepEqual(timestampOf(bytesOf()), { seconds: 0, nanos: 0 });
  assert.deepEqual(timestampOf(bytesOf(0x10, 7, 0x08, 9)), { seconds: 9, nanos: 7 });
});

test('timestamps outside years 1 to 9999 and nanos outside a second are refused', () => {
  const second = [0x08, 0x80, 0x80, 0x80, 0x80, 0x06] as const;
  for (const wrong of [
    bytesOf(...second, 0x10, 0x80, 0x94, 0xeb, 0xdc, 0x03),
    bytesOf(...second, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
    bytesOf(...second, 0x10, 0x80),
    bytesOf(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
    bytesOf(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
  ]) {
    assert.throws(() => timestampOf(wrong), EtlError);
  }
});

test('text is what the bytes say or is refused, however often it was read before', () => {
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.string({ unit: 'binary', maxLength: 20 }).map((value) => Buffer.from(value)),
    fc
      .constantFrom('io.example.order.v1', 'io.example.Order.v1')
      .map((value) => Buffer.from(value)),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 20 }), (values) => {
      for (const value of [...values, ...values]) {
        const bytes = Buffer.from(value);
        if (isUtf8(bytes)) {
          assert.equal(readText(bytes, 0, bytes.length), bytes.toString('utf8'));
        } else {
          assert.throws(() => readText(bytes, 0, bytes.length), EtlError);
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test('a field closed after its contents has the shortest length, whatever slot was left', () => {
  for (const size of [0, 1, 127, 128, 16_383, 16_384, 70_000]) {
    for (const slot of [1, 2]) {
      const contents = Buffer.alloc(size, 7);
      const writer = new WireWriter(8);
      const lengthAt = writer.open(0x52, slot);
      writer.reserve(size);
      contents.copy(writer.buffer, writer.length);
      writer.length += size;
      writer.close(lengthAt, slot);
      const whole = new WireWriter();
      whole.bytes(0x52, contents);
      assert.ok(writer.take().equals(whole.take()), `${size} bytes, slot of ${slot}`);
    }
  }
});

test('integers up to 2^53 - 1 survive as varints, larger ones are refused', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const writer = new WireWriter(16);
      writer.varint(value);
      const bytes = writer.take();
      assert.equal(bytes.length, varintSize(value));
      assert.equal(new WireReader(bytes).varint(), value);
      assert.equal(new WireReader(bytes).int64(), value);
    }),
  );
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      const writer = new WireWriter(16);
      writer.int64(value);
      assert.equal(new WireReader(writer.take()).int64(), value);
    }),
  );
  const beyond = bytesOf(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10);
  assert.throws(() => new WireReader(beyond).varint(), EtlError);
  assert.throws(() => new WireReader(beyond).int64(), EtlError);
});
