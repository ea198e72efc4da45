import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BatchBuilder,
  EtlError,
  encodeCommonFields,
  positionOfCount,
  RecordBatch,
} from '@etl-router/core';

const lane = { pipeline: 'default/p', source: 's', partition: '0' };

test('a batch survives the wire, and a selection of it keeps sequences and contents', () => {
  const builder = new BatchBuilder(16);
  for (let i = 0; i < 10; i++) {
    builder.append({
      position: positionOfCount(i),
      type: 'order',
      headers: new Map([['n', String(i)]]),
      payload: Buffer.from(`{"i":${i},"big":9007199254740993}`),
    });
  }
  const batch = builder.build({ lane, epoch: 3, firstSequence: 40, watermark: undefined });
  const again = RecordBatch.decode(batch.toBytes());
  assert.equal(again.count, 10);
  const some = RecordBatch.decode(again.select([1, 2, 7]).toBytes());
  assert.deepEqual(
    [0, 1, 2].map((i) => some.sequence(i)),
    [41, 42, 47],
  );
  assert.deepEqual(some.value(2), { i: 7, big: 9007199254740993n });
  assert.deepEqual(some.record(2).headers, new Map([['n', '7']]));
  assert.equal(some.id(2), 's/0/0000000000000007');
  assert.deepEqual(some.lane, lane);
});

test('records between other fields are one batch, and what it adopted is not copied', () => {
  const builder = new BatchBuilder();
  for (const type of ['a', 'b', 'c']) builder.append({ position: positionOfCount(1), type });
  const whole = builder.build({ lane, epoch: 1, firstSequence: 0, watermark: undefined });
  const entry = (index: number): Buffer => whole.select([index]).bytes;
  const epoch = Buffer.of(0x10, 9);
  const message = Buffer.concat([entry(0), epoch, entry(1), entry(2), epoch]);
  for (const batch of [RecordBatch.decode(message), RecordBatch.adopt(message)]) {
    assert.deepEqual(
      [0, 1, 2].map((index) => batch.type(index)),
      ['a', 'b', 'c'],
    );
    assert.equal(batch.epoch, 9);
    assert.equal(batch.byteLength, whole.byteLength);
  }
  const sole = entry(0);
  assert.equal(RecordBatch.adopt(sole).bytes.buffer, sole.buffer);
  const copied = RecordBatch.decode(sole);
  sole.fill(0);
  assert.equal(copied.type(0), 'a');
});

test('a message cut off anywhere is malformed or holds fewer records', () => {
  const builder = new BatchBuilder();
  for (const size of [10, 200, 20_000]) {
    builder.append({ position: positionOfCount(size), payload: Buffer.alloc(size, 1) });
  }
  const message = builder
    .build({ lane, epoch: 1, firstSequence: 0, watermark: undefined })
    .toBytes();
  for (let end = 0; end < message.length; end += end < 400 ? 1 : 997) {
    try {
      assert.ok(RecordBatch.decode(message.subarray(0, end)).count < 3);
    } catch (error) {
      assert.ok(error instanceof EtlError, String(error));
    }
  }
});

test('another payload keeps every other field, and its value is not parsed again', () => {
  const builder = new BatchBuilder();
  const record = {
    position: positionOfCount(7),
    type: 'order',
    key: Buffer.from('k'),
    headers: new Map([['h', 'v']]),
    contentType: 'application/json',
    payload: Buffer.from('{"a":1}'),
  };
  builder.append(record);
  builder.append(record);
  builder.append({ position: positionOfCount(8) });
  const header = { lane, epoch: 1, firstSequence: 5, watermark: undefined };
  const batch = builder.build(header);
  const value = { a: 2, large: 9007199254740993n, text: 'é\u{1f600}' };
  builder.appendFrom(batch, 0);
  builder.appendWithValue(batch, 1, value);
  builder.appendWithPayload(batch, 2, Buffer.from('x'));
  const changed = builder.build(header);
  assert.deepEqual(changed.record(0), batch.record(0));
  const payload = Buffer.from('{"a":2,"large":9007199254740993,"text":"é\u{1f600}"}');
  assert.deepEqual(changed.record(1), { ...batch.record(1), payload });
  assert.equal(changed.payload(2).toString(), 'x');
  assert.deepEqual(
    [0, 1, 2].map((index) => changed.sequence(index)),
    [5, 6, 7],
  );
  assert.equal(changed.knownValue(1), value);
  assert.equal(changed.knownValue(0), undefined);
  assert.deepEqual(RecordBatch.decode(changed.toBytes()).value(1), value);
});

test('a line with common fields is the record that append makes', () => {
  const builder = new BatchBuilder(16);
  const fields = { type: 'order', contentType: 'application/json' };
  const text = Buffer.from(`..${'x'.repeat(300)}..`);
  const header = { lane, epoch: 1, firstSequence: 0, watermark: undefined };
  builder.appendLine(positionOfCount(3), encodeCommonFields(fields), {
    bytes: text,
    from: 2,
    to: 302,
  });
  builder.appendLine(positionOfCount(4), encodeCommonFields({}), { bytes: text, from: 2, to: 2 });
  const lines = builder.build(header);
  builder.append({ position: positionOfCount(3), ...fields, payload: text.subarray(2, 302) });
  builder.append({ position: positionOfCount(4) });
  assert.deepEqual(lines.bytes, builder.build(header).bytes);
});
