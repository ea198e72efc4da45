import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EtlError, isEtlError } from '@etl-router/core';
import { Divergence, type DivergenceAlarm } from '../../src/applied/divergence.ts';
import { MemoryStore } from '../../src/applied/memory-store.ts';

/** A member 1 of voters 1 to `count`, whose store holds `value` as of entry 7. */
async function member(value: number, count = 3) {
  const store = new MemoryStore();
  const remembered: EtlError[] = [];
  const alarms: DivergenceAlarm[] = [];
  const divergence = new Divergence({
    self: 1,
    voters: () => Array.from({ length: count }, (_, at) => at + 1),
    remember: (error) => {
      remembered.push(error);
      return Promise.resolve();
    },
  });
  divergence.onAlarm = (alarm) => void alarms.push(alarm);
  const told = Promise.withResolvers<Uint8Array>();
  const reported = Promise.withResolvers<void>();
  divergence.onDigest = (index, sha256) => {
    assert.equal(index, 7);
    told.resolve(sha256);
    return reported.promise;
  };
  await store.replace([[Uint8Array.of(1), Uint8Array.of(value)]], { index: 7, term: 1 });
  await divergence.take(() => store.view());
  const sha256 = await told.promise;
  const note = (raftId: number, digest: Uint8Array): void =>
    divergence.note({ kind: 'report', index: 7n, raftId: BigInt(raftId), sha256: digest });
  return { divergence, sha256, note, alarms, remembered, report: reported };
}

const other: Uint8Array = new Uint8Array(32).fill(9);

test('members that hold the same agree, whatever the order of their reports', async () => {
  const { divergence, sha256, note, alarms } = await member(1);
  const { sha256: same } = await member(1);
  assert.deepEqual(sha256, same);
  note(2, sha256);
  assert.equal(divergence.checkedIndex, 0, 'one of three is no majority');
  note(1, sha256);
  assert.equal(divergence.checkedIndex, 7);
  note(3, sha256);
  assert.deepEqual(alarms, []);
  await divergence.check();
});

test('a member that differs from a majority stops, and is remembered', async () => {
  const { divergence, sha256, note, alarms, remembered } = await member(2);
  const { sha256: theirs } = await member(1);
  note(1, sha256);
  note(2, theirs);
  await divergence.check();
  note(3, theirs);
  assert.deepEqual(alarms, [{ index: 7, diverged: [1] }]);
  const isDiverged = (error: unknown): boolean =>
    isEtlError(error) && error.code === 'ETL_STATE_DIVERGED';
  await assert.rejects(divergence.check(), isDiverged);
  assert.equal(remembered.length, 1);
});

test('a member that differs goes on until the others can know it, or can not be told', async () => {
  const { sha256: theirs } = await member(1);
  const { divergence, sha256, note, alarms } = await member(2);
  note(2, theirs);
  note(3, theirs);
  await divergence.check();
  note(1, sha256);
  await assert.rejects(divergence.check(), { code: 'ETL_STATE_DIVERGED' });
  assert.deepEqual(alarms, [{ index: 7, diverged: [1] }]);

  for (const end of ['resolve', 'reject'] as const) {
    const untold = await member(2);
    untold.note(2, theirs);
    untold.note(3, theirs);
    await untold.divergence.check();
    untold.report[end](new Error('no leader') as never);
    await new Promise(setImmediate);
    await assert.rejects(untold.divergence.check(), { code: 'ETL_STATE_DIVERGED' });
  }
});

test('a member that agrees with a majority goes on and tells of the one that does not', async () => {
  const { divergence, sha256, note, alarms } = await member(1);
  note(1, sha256);
  note(2, sha256);
  note(3, other);
  assert.deepEqual(alarms, [{ index: 7, diverged: [3] }]);
  assert.deepEqual(divergence.diverged, [3]);
  await divergence.check();
});

test('where no majority agrees nobody stops, and everybody is told once', async () => {
  const { divergence, sha256, note, alarms } = await member(1, 2);
  note(1, sha256);
  note(2, other);
  note(2, other);
  assert.deepEqual(alarms, [{ index: 7, diverged: [] }]);
  await divergence.check();
});

test('a member that has no digest of that entry judges only the others', async () => {
  const { divergence, note, alarms } = await member(1);
  const report = (raftId: bigint): void =>
    divergence.note({ kind: 'report', index: 9n, raftId, sha256: other });
  report(2n);
  report(3n);
  await divergence.check();
  assert.deepEqual(alarms, []);
  assert.equal(divergence.checkedIndex, 0);
  note(4, other);
  await divergence.check();
});
