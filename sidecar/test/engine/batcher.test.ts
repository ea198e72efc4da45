import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecordBatch } from '@etl-router/core';
import fc from 'fast-check';
import { Batcher } from '../../src/engine/batcher.ts';
import { batchOf, payloadsOf, sequencesOf } from '../batches-of.ts';

const preferences = fc.record({
  maxRecords: fc.integer({ min: 1, max: 12 }),
  maxBytes: fc.integer({ min: 1, max: 400 }),
  maxWaitMs: fc.constant(50),
});

/** Batches one after the other, some records of which share a position. */
const streams = fc
  .array(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 20 }), {
    minLength: 1,
    maxLength: 8,
  })
  .map((batches) => {
    let sequence = 0;
    let record = 0;
    return batches.map((steps) => {
      const sequences = steps.map((step, index) => (sequence += index === 0 ? 1 : step));
      return batchOf(sequences, { payload: () => `r${record++}` });
    });
  });

test('everything comes out once, in order, and no position is parted', () => {
  fc.assert(
    fc.property(streams, preferences, fc.nat(3), (stream, preference, eagerness) => {
      const batcher = new Batcher();
      const out: RecordBatch[] = [];
      const completed: unknown[] = [];
      const items = stream.map((batch) => ({ batch }));
      const takeOne = (): boolean => {
        const collected = batcher.take(preference, 0);
        if (collected === undefined) return false;
        out.push(collected.batch);
        completed.push(...collected.completes);
        return true;
      };
      for (const [index, item] of items.entries()) {
        batcher.add(item, 0);
        if (index % (eagerness + 1) === 0) takeOne();
      }
      while (takeOne());
      assert.deepEqual(out.flatMap(payloadsOf), stream.flatMap(payloadsOf));
      assert.deepEqual(completed, items);
      assert.equal(batcher.records, 0);
      assert.equal(batcher.bytes, 0);
      for (const [index, batch] of out.entries()) {
        const next = out[index + 1];
        if (next !== undefined) {
          assert.ok(sequencesOf(batch).at(-1) !== sequencesOf(next)[0], 'a position is parted');
        }
        const positions = new Set(sequencesOf(batch)).size;
        assert.ok(positions === 1 || batch.count <= preference.maxRecords, 'too many records');
        assert.ok(positions === 1 || batch.byteLength <= preference.maxBytes, 'too many bytes');
      }
    }),
  );
});

test('a large batch passes through without a copy', () => {
  const batcher = new Batcher();
  const batch = batchOf([1, 2, 3, 4]);
  batcher.add({ batch }, 0);
  const collected = batcher.take({ maxRecords: 4, maxBytes: 1_000_000, maxWaitMs: 0 }, 0);
  assert.equal(collected?.batch, batch);
});

test('what waits is due after its first record has waited long enough', () => {
  const batcher = new Batcher();
  const preference = { maxRecords: 10, maxBytes: 1000, maxWaitMs: 50 };
  assert.equal(batcher.dueAtMs(preference), undefined);
  batcher.add({ batch: batchOf([1]) }, 100);
  batcher.add({ batch: batchOf([2]) }, 140);
  assert.equal(batcher.dueAtMs(preference), 150);
  assert.equal(batcher.isFull(preference), false);
  batcher.add({ batch: batchOf([3, 4, 5, 6, 7, 8, 9, 10]) }, 141);
  assert.equal(batcher.isFull(preference), true);
});

test('a partly sent batch stays when the rest is given up', () => {
  const batcher = new Batcher();
  const [first, second] = [{ batch: batchOf([1, 2, 3]) }, { batch: batchOf([4]) }];
  batcher.add(first, 0);
  batcher.add(second, 0);
  batcher.take({ maxRecords: 2, maxBytes: 1000, maxWaitMs: 0 }, 0);
  assert.deepEqual(batcher.clearUntouched(), [second]);
  assert.equal(batcher.records, 1);
});
