import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, positionOfCount, RecordBatch } from '@etl-router/core';

test('a batch of any size is opened with all its records, whatever list of spans its size suggests', () => {
  const builder = new BatchBuilder();
  const lane = { pipeline: 'a/b', source: 's', partition: '0' };
  for (const count of [15, 57, 139, 300, 354, 1001]) {
    for (let payloadBytes = 40; payloadBytes < 60; payloadBytes++) {
      for (let index = 0; index < count; index++) {
        builder.append({
          position: positionOfCount(index),
          payload: Buffer.alloc(payloadBytes, 120),
        });
      }
      const batch = builder.build({ lane, epoch: 1, firstSequence: 0, watermark: undefined });
      const again = RecordBatch.decode(batch.toBytes());
      assert.equal(again.count, count);
      assert.equal(again.payload(count - 1).length, payloadBytes);
    }
  }
});
