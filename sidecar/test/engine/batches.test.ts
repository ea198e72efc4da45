import assert from 'node:assert/strict';
import { test } from 'node:test';
import { positionOfCount } from '@etl-router/core';
import fc from 'fast-check';
import {
  concatBatches,
  countUpTo,
  deriveAll,
  endWithin,
  halfOf,
  mergeBatches,
  withoutIndexes,
} from '../../src/engine/batches.ts';
import { batchOf, payloadsOf, sequencesOf } from '../batches-of.ts';

const sequences = fc
  .array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 40 })
  .map((steps) => {
    let sequence = 5;
    return steps.map((step) => (sequence += step));
  });

test('merged parts come in order of sequence, of equal ones the earlier part first', () => {
  fc.assert(
    fc.property(fc.array(sequences, { minLength: 1, maxLength: 4 }), (parts) => {
      const batches = parts.map((part, p) => batchOf(part, { payload: (i) => `${p}.${i}` }));
      const naive = parts
        .flatMap((part, p) => part.map((sequence, i) => ({ sequence, p, name: `${p}.${i}` })))
        .toSorted((a, b) => a.sequence - b.sequence || a.p - b.p);
      const merged = mergeBatches(batches);
      assert.deepEqual(
        payloadsOf(merged),
        naive.map(({ name }) => name),
      );
      assert.deepEqual(
        sequencesOf(merged),
        naive.map(({ sequence }) => sequence),
      );
    }),
  );
});

test('halves are cut where a new position starts, and only one position can not be cut', () => {
  fc.assert(
    fc.property(sequences, (given) => {
      const batch = batchOf(given);
      const cut = halfOf(batch);
      if (cut === undefined) assert.equal(new Set(given).size, 1);
      else {
        assert.ok(cut > 0 && cut < batch.count);
        assert.notEqual(given[cut - 1], given[cut]);
      }
    }),
  );
});

test('joining what was cut gives the same records, and the same bytes', () => {
  fc.assert(
    fc.property(sequences, fc.nat(), (given, at) => {
      const batch = batchOf(given);
      const cut = at % (batch.count + 1);
      const parts = [batch.slice(0, cut), batch.slice(cut, batch.count)].filter(
        ({ count }) => count > 0,
      );
      const joined = concatBatches(parts);
      assert.deepEqual(joined.bytes, batch.bytes);
      assert.deepEqual(sequencesOf(joined), sequencesOf(batch));
    }),
  );
});

test('a run within bounds ends at a position, and is as long as the bounds allow', () => {
  fc.assert(
    fc.property(
      sequences,
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 900 }),
      (given, maxRecords, maxBytes) => {
        const batch = batchOf(given);
        let from = 0;
        while (from < batch.count) {
          const end = endWithin(batch, from, { maxRecords, maxBytes });
          assert.ok(end > from);
          if (end < batch.count) assert.notEqual(given[end], given[end - 1]);
          const isOnePosition = new Set(given.slice(from, end)).size === 1;
          const part = batch.slice(from, end);
          assert.ok(isOnePosition || part.count <= maxRecords);
          assert.ok(isOnePosition || part.byteLength <= maxBytes);
          from = end;
        }
      },
    ),
  );
});

test('positions are counted up to and including the one that is held', () => {
  const batch = batchOf([1, 2, 2, 5]);
  for (const [held, count] of [
    [1, 0],
    [2, 1],
    [3, 3],
    [5, 3],
    [6, 4],
    [9, 4],
  ] as const) {
    assert.equal(countUpTo(batch, positionOfCount(held)), count);
  }
});

test('what is left out is gone, the rest keeps its order', () => {
  const batch = batchOf([1, 2, 3, 4]);
  assert.equal(withoutIndexes(batch, []), batch);
  assert.deepEqual(payloadsOf(withoutIndexes(batch, [0, 2]) ?? batch), ['r1', 'r3']);
  assert.equal(withoutIndexes(batch, [0, 1, 2, 3]), undefined);
});

test('a derivation makes another id and leaves the rest', () => {
  const batch = batchOf([1, 2]);
  const derived = deriveAll(batch, '.t.0');
  assert.equal(derived.id(0), `${batch.id(0)}.t.0`);
  assert.deepEqual(payloadsOf(derived), payloadsOf(batch));
  assert.deepEqual(sequencesOf(derived), sequencesOf(batch));
});
