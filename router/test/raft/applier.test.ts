import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import { Applier } from '../../src/raft/applier.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { FakeState } from './fake-state.ts';

const entryOf = (index: number, data = 'x'): Entry => ({
  index,
  term: 1,
  type: 'normal',
  data: Buffer.from(data),
});

/** An applier over entries that a test adds, all of them committed, and the batches that it handed over. */
class Bench {
  readonly clock: ManualClock = new ManualClock();
  readonly state: FakeState = new FakeState();
  readonly entries: Entry[] = [];
  readonly batches: number[] = [];
  isUnhurried = true;
  readonly applier: Applier;

  constructor() {
    this.state.before = (entries) => {
      this.batches.push(entries.length);
      return Promise.resolve();
    };
    this.applier = new Applier({
      state: this.state,
      applied: 0,
      clock: this.clock,
      log: { firstIndex: 1, entries: (low, high, maxBytes) => this.#range(low, high, maxBytes) },
      through: () => this.entries.length,
      isUnhurried: () => this.isUnhurried,
      prepare: ({ index, term, data }) => ({ index, term, data }),
      onApplied: () => undefined,
      onInstalled: () => undefined,
      onError: (error) => {
        throw error;
      },
    });
  }

  /** Commits so many entries, and lets everything run that needs no clock. */
  async commit(count: number, make: (index: number) => Entry = entryOf): Promise<void> {
    for (let at = 0; at < count; at++) this.entries.push(make(this.entries.length + 1));
    this.applier.wake();
    await settle();
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settle();
  }

  #range(low: number, high: number, maxBytes: number): readonly Entry[] {
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.entries.slice(low - 1, high - 1)) {
      bytes += entry.data.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }
}

const settle = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

test('entries that nobody waits for are handed over together, 10 ms after the first of them', async () => {
  const bench = new Bench();
  await bench.commit(1);
  await bench.pass(4);
  await bench.commit(2);
  await bench.pass(5);
  assert.deepEqual(bench.batches, []);
  await bench.pass(1);
  assert.deepEqual(bench.batches, [3]);
  await bench.pass(100);
  assert.deepEqual(bench.batches, [3], 'nothing is handed over where there is nothing');
});

test('entries that someone may wait for are handed over at once', async () => {
  const bench = new Bench();
  bench.isUnhurried = false;
  await bench.commit(1);
  await bench.commit(2);
  assert.deepEqual(bench.batches, [1, 2]);
});

test('who begins to wait for entries ends the gathering, and so does whoever waited before they came', async () => {
  const bench = new Bench();
  await bench.commit(2);
  assert.deepEqual(bench.batches, []);
  await bench.applier.until(2, undefined);
  assert.deepEqual(bench.batches, [2]);
  const later = bench.applier.until(3, undefined);
  await bench.commit(1);
  await later;
  assert.deepEqual(bench.batches, [2, 1]);
});

test('many entries, large ones and changes of members wait for nothing', async () => {
  const many = new Bench();
  await many.commit(64);
  assert.deepEqual(many.batches, []);
  await many.commit(1);
  assert.deepEqual(many.batches, [65]);
  const large = new Bench();
  await large.commit(2, (index) => entryOf(index, 'x'.repeat(40_000)));
  assert.deepEqual(large.batches, [2]);
  const change = new Bench();
  await change.commit(1, (index) => ({ ...entryOf(index), type: 'configuration' }));
  assert.deepEqual(change.batches, [1]);
});

test('a snapshot that takes the place of the state waits for nothing', async () => {
  const bench = new Bench();
  await bench.commit(1);
  bench.applier.install({ index: 1, term: 1 });
  bench.applier.wake();
  await settle();
  assert.deepEqual([bench.state.installed.length, bench.applier.applied], [1, 1]);
});

test('what gathers when it closes is applied by nobody', async () => {
  const bench = new Bench();
  await bench.commit(1);
  await bench.applier.close();
  await bench.pass(100);
  assert.deepEqual(bench.batches, []);
  await assert.rejects(bench.applier.until(1, undefined), { code: 'ETL_CANCELLED' });
});
