import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, positionOfCount, RecordBatch } from '@etl-router/core';

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
