import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, EtlError, positionOfCount, RecordBatch } from '@etl-router/core';

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
