import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumOf, keepsPromise, type Observed, verify } from '../../crash/verify.ts';

const truth = { seed: 7, lanes: 2, recordsPerLane: 3 };
const record = (lane: string, seq: number): Observed => ({
  lane,
  seq,
  sum: checksumOf(7, lane, seq),
});
const all = [
  record('0', 0),
  record('1', 0),
  record('0', 1),
  record('1', 1),
  record('0', 2),
  record('1', 2),
];

test('a complete sink passes with no duplicate allowed', () => {
  assert.ok(keepsPromise(verify(truth, all), 0));
});

test('a lost record beside a doubled one is seen as both, although the count is right', () => {
  const verdict = verify(truth, [...all.slice(1), record('1', 0)]);
  assert.equal(verdict.observed, verdict.expected);
  assert.deepEqual([verdict.missing, verdict.duplicates], [1, 1]);
  assert.ok(!keepsPromise(verdict, 10));
});

test('a swap within a lane is seen, a swap between lanes is not a fault', () => {
  assert.equal(verify(truth, [all[2], all[0], ...all.slice(3), all[1]] as Observed[]).reordered, 2);
  assert.equal(verify(truth, [all[1], all[0], ...all.slice(2)] as Observed[]).reordered, 0);
});

test('a wrong checksum and an unknown lane are seen', () => {
  const verdict = verify(truth, [...all.slice(1), { ...record('0', 0), sum: 'x' }, record('2', 0)]);
  assert.deepEqual([verdict.corrupted, verdict.phantoms, verdict.missing], [1, 1, 1]);
});

test('duplicates pass up to their bound and not beyond', () => {
  const verdict = verify(truth, [...all, record('0', 0)]);
  assert.ok(keepsPromise(verdict, 1));
  assert.ok(!keepsPromise(verdict, 0));
});
