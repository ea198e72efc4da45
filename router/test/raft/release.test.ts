// What of the log stays behind a snapshot: the usual number of entries, and where room is short those that fit in a part
// of it, so that a member that is a little late is sent entries and not the whole state.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { ReplicatedState } from '../../src/consensus/consensus.ts';
import { LogQuota } from '../../src/consensus/log-quota.ts';
import { type SnapshotRules, Snapshots } from '../../src/raft/snapshots.ts';
import type { Entry, LogPosition, LogRecord, RaftLog } from '../../src/storage/log-types.ts';

interface Case {
  readonly rules?: SnapshotRules;
  readonly quotaBytes?: number;
  readonly isAlone?: boolean;
}

/** A log of so many entries of `size` bytes, all applied; returns the first that is left. */
async function firstLeft(count: number, size: number, about: Case = {}): Promise<number> {
  const { rules = {}, quotaBytes, isAlone = false } = about;
  let snapshot: LogPosition = { index: 0, term: 0 };
  let compacted = 0;
  const data = new Uint8Array(size);
  const left = (): number => (count - compacted) * size;
  const log = {
    get snapshot() {
      return snapshot;
    },
    get compacted() {
      return { index: compacted, term: 1 };
    },
    get firstIndex() {
      return compacted + 1;
    },
    get bytes() {
      return left();
    },
    get diskBytes() {
      return left();
    },
    entries: (low: number): readonly Entry[] => [{ index: low, term: 1, type: 'normal', data }],
    append: (record: LogRecord, done: () => void) => {
      snapshot = record.snapshot ?? snapshot;
      done();
    },
    compact: (index: number, done: () => void) => {
      compacted = index;
      done();
    },
  } as unknown as RaftLog & { readonly bytes: number; readonly diskBytes: number };
  const state = {
    applied: { index: count, term: 1 },
    snapshot: () => Promise.resolve({ index: count, term: 1 }),
  } as unknown as ReplicatedState;
  const snapshots = new Snapshots({
    ...{ rules, log, state, isAlone: () => isAlone },
    quota: new LogQuota(log, quotaBytes),
    onError: (error) => assert.fail(String(error)),
  });
  snapshots.makeWhenDue();
  await snapshots.settled();
  await setImmediate();
  return log.firstIndex;
}

test('behind a snapshot stay as many entries as the rules say', async () => {
  assert.equal(
    await firstLeft(100, 10, { rules: { snapshotInterval: 100, trailingEntries: 30 } }),
    71,
  );
  assert.equal(
    await firstLeft(100, 10, { rules: { snapshotInterval: 100, trailingEntries: 500 } }),
    1,
  );
});

test('where memory is short an eighth of it stays', async () => {
  const rules = { snapshotBytes: 800, trailingEntries: 30 };
  assert.equal(await firstLeft(100, 10, { rules }), 91);
  assert.equal(await firstLeft(8, 100, { rules }), 8);
  assert.equal(await firstLeft(7, 101, { rules: { ...rules, snapshotBytes: 700 } }), 8);
});

test('where the quota is half taken an eighth of it stays, and room is made', async () => {
  const rules = { trailingEntries: 50 };
  assert.equal(await firstLeft(100, 10, { rules, quotaBytes: 1600 }), 81);
  assert.equal(await firstLeft(100, 10, { rules, quotaBytes: 2000 }), 76);
});

test('who is alone keeps nothing for others', async () => {
  const rules = { snapshotInterval: 100, trailingEntries: 30 };
  assert.equal(await firstLeft(100, 10, { rules, isAlone: true }), 101);
});
