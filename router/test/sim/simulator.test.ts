// The simulator: a seed is the same run every time, and what must never happen is seen when it does.

import { deepEqual, equal, notEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { Kernel, Process } from '../../sim/kernel.ts';
import { encodeCommand, Registers } from '../../sim/machine.ts';
import { runSeed } from '../../sim/run.ts';
import { Truth } from '../../sim/truth.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { MemoryLog } from '../raft/memory-log.ts';

const noData: Uint8Array = new Uint8Array(0);

function entry(index: number, term: number, data: Uint8Array = noData): Entry {
  return { index, term, type: 'normal', data };
}

function write(sequence: number, value: number): Uint8Array {
  return encodeCommand({ client: 1, sequence, kind: 'write', key: 1, value, expected: 0 }, 0);
}

test('a seed runs the same way twice, another one otherwise', async () => {
  const [first, second, other] = [await runSeed(1), await runSeed(1), await runSeed(2)];
  equal(first.violation, undefined);
  deepEqual([first.hash, first.events], [second.hash, second.events]);
  notEqual(first.hash, other.hash);
});

test('events run in the order of time, and those of a stopped process wait', async () => {
  const kernel = new Kernel();
  const stopped = new Process(1);
  const gone = new Process(2);
  stopped.pausedUntilMs = 20;
  gone.isAlive = false;
  const ran: string[] = [];
  kernel.after(10, undefined, () => ran.push(`late ${kernel.nowMs}`));
  kernel.after(5, stopped, () => ran.push(`stopped ${kernel.nowMs}`));
  kernel.after(5, gone, () => ran.push('gone'));
  kernel.after(5, undefined, () => ran.push(`early ${kernel.nowMs}`));
  kernel.after(5, undefined, () => ran.push('cancelled'))();
  await kernel.run(() => false);
  deepEqual(ran, ['early 5', 'late 10', 'stopped 20']);
});

test('two leaders of a term are a violation', () => {
  const truth = new Truth();
  truth.leads(1, 2, new MemoryLog());
  throws(() => truth.leads(2, 2, new MemoryLog()), /members 1 and 2 lead term 2/);
});

test('a leader without a committed entry is a violation', () => {
  const truth = new Truth();
  truth.committed(1, entry(1, 1), 1);
  throws(() => truth.leads(2, 2, new MemoryLog()), /lacks entry 1 of term 1/);
});

test('a committed entry that is another on some member is a violation', () => {
  const truth = new Truth();
  truth.committed(1, entry(1, 1, write(1, 7)), 1);
  throws(() => truth.committed(2, entry(1, 1, write(1, 8)), 1), /entry 1 is committed as/);
});

test('two votes of a member in one term are a violation, over restarts too', () => {
  const truth = new Truth();
  truth.voted(1, 3, 2);
  truth.voted(1, 3, 2);
  throws(() => truth.voted(1, 3, 1), /votes for 2 and for 1 in term 3/);
});

test('a state that is not that of the log is a violation', () => {
  const truth = new Truth();
  truth.committed(1, entry(1, 1, write(1, 7)), 1);
  const machine = new Registers();
  machine.apply(write(1, 7));
  truth.applied(1, { index: 1, term: 1 }, machine.hash);
  machine.apply(write(2, 8));
  throws(() => truth.applied(1, { index: 1, term: 1 }, machine.hash), /is not that of the log/);
});

test('a command sent twice takes effect once, also after a restore', () => {
  const machine = new Registers();
  const rows = new Map(
    [...machine.apply(write(1, 7)).changes, ...machine.apply(write(2, 8)).changes].map(
      ({ key, value }) => [Buffer.from(key).toString('hex'), [key, value as Uint8Array] as const],
    ),
  );
  const restored = new Registers();
  restored.restore(rows.values());
  equal(restored.hash, machine.hash);
  equal(restored.apply(write(2, 9)).isRepeated, true);
  equal(restored.get(1), 8);
});
