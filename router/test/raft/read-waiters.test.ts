// Reads that wait: repeated when no answer comes, and answered by whichever question is answered first.

import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { ReadWaiters } from '../../src/raft/read-waiters.ts';

function waiters(): {
  readonly reads: ReadWaiters;
  readonly asked: number[];
  readonly ask: () => void;
} {
  const reads = new ReadWaiters({ namesAfter: 0, retryTicks: 2, timeoutTicks: 10 });
  const asked: number[] = [];
  return { reads, asked, ask: () => reads.ask((context) => asked.push(context)) };
}

test('an answer that takes longer than the repetition counts all the same', async () => {
  const { reads, asked, ask } = waiters();
  const read = reads.wait();
  ask();
  for (let tick = 0; tick < 6; tick++) if (reads.tick()) ask();
  deepEqual(asked, [1, 2, 3, 4]);
  reads.answer(1, 7);
  equal(await read, 7);
});

test('a read that was answered is not asked again', async () => {
  const { reads, ask } = waiters();
  const read = reads.wait();
  ask();
  reads.tick();
  equal(reads.tick(), true);
  reads.answer(1, 7);
  equal(await read, 7);
  equal(reads.tick(), false);
});

test('a refused question is asked once more, however often it is refused', async () => {
  const { reads, asked, ask } = waiters();
  const read = reads.wait();
  ask();
  reads.answer(1, 0);
  reads.answer(1, 0);
  equal(reads.hasNew, true);
  ask();
  reads.answer(2, 9);
  equal(await read, 9);
  deepEqual(asked, [1, 2]);
});

test('a read without a quorum ends', async () => {
  const { reads, ask } = waiters();
  const read = reads.wait();
  ask();
  const over = rejects(read, { code: 'ETL_UNAVAILABLE' });
  for (let tick = 0; tick < 12; tick++) if (reads.tick()) ask();
  await over;
});

test('an answer to the member as it was before a restart is not taken', async () => {
  const before = new ReadWaiters({ namesAfter: 1000, retryTicks: 2, timeoutTicks: 10 });
  const after = new ReadWaiters({ namesAfter: 2000, retryTicks: 2, timeoutTicks: 10 });
  let [old, now] = [0, 0];
  void before.wait();
  before.ask((context) => {
    old = context;
  });
  const index = after.wait();
  after.ask((context) => {
    now = context;
  });
  after.answer(old, 5);
  after.answer(now, 9);
  equal(await index, 9);
});
