// The simulator: a seed is the same run every time, and what must never happen is seen when it does.

import { deepEqual, equal, notEqual, rejects, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { Coverage } from '../../sim/coverage.ts';
import { drawFaults } from '../../sim/faults.ts';
import { withSimulatedHost } from '../../sim/host.ts';
import { Kernel, Process } from '../../sim/kernel.ts';
import { WatchedMachine } from '../../sim/machine.ts';
import { drawProfile } from '../../sim/profile.ts';
import { runSeed } from '../../sim/run.ts';
import { shrink } from '../../sim/shrink.ts';
import { parsePlan, replayCommand } from '../../sim/transcript.ts';
import { Truth } from '../../sim/truth.ts';
import { StateHost } from '../../src/server/state-host.ts';
import { type CommandBody, encodeProposal } from '../../src/state/proposal.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { MemoryLog } from '../raft/memory-log.ts';

const noData: Uint8Array = new Uint8Array(0);

function entry(index: number, term: number, data: Uint8Array = noData): Entry {
  return { index, term, type: 'normal', data };
}

function command(body: CommandBody, requestId?: string): Uint8Array {
  return encodeProposal(body, {
    proposedAtNs: 1n,
    uid: 'session',
    ...(requestId !== undefined && { request: { sessionId: 'session', requestId } }),
  });
}

function put(name: string): CommandBody {
  const value = { kind: 'EtlSource', namespace: 'sim', name, spec: Buffer.from('{}') };
  return { case: 'putObject', value };
}

const openSession = command({ case: 'openSession', value: { client: 'c', ttlMs: 5000 } });

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

test('whoever is simulated has no clock, no chance and no timers of its own', async () => {
  const kernel = new Kernel();
  const before = Date.now();
  await withSimulatedHost(kernel, async () => {
    equal(Date.now(), 1_700_000_000_000);
    await rejects(async () => Math.random(), /random: whoever is simulated/);
    await rejects(async () => setTimeout(() => {}, 1), /setTimeout: whoever is simulated/);
  });
  equal(Date.now() >= before, true);
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
  truth.committed(1, entry(1, 1, command(put('a'))), 1);
  throws(() => truth.committed(2, entry(1, 1, command(put('b'))), 1), /entry 1 is committed as/);
});

test('two votes of a member in one term are a violation, over restarts too', () => {
  const truth = new Truth();
  truth.voted(1, 3, 2);
  truth.voted(1, 3, 2);
  throws(() => truth.voted(1, 3, 1), /votes for 2 and for 1 in term 3/);
});

test('a state that is not that of the log is a violation, whichever way it came about', () => {
  const truth = new Truth();
  truth.committed(1, entry(1, 1, command(put('a'))), 1);
  const host = new StateHost();
  const machine = new WatchedMachine(host);
  machine.apply(command(put('a')));
  truth.applied(1, { index: 1, term: 1 }, machine.hash);
  truth.applied(1, { index: 1, term: 1 }, machine.fullHash);
  const restored = new WatchedMachine(new StateHost());
  restored.restore(host.rows());
  equal(restored.hash, machine.hash);
  machine.apply(command(put('b')));
  throws(() => truth.applied(1, { index: 1, term: 1 }, machine.hash), /is not that of the log/);
});

test('a request that comes twice has one effect, and is known by it', () => {
  const truth = new Truth();
  truth.committed(1, entry(1, 1, openSession), 1);
  truth.committed(1, entry(2, 1, command(put('a'), 'r')), 1);
  truth.committed(1, entry(3, 1, command(put('a'), 'r')), 1);
  equal(truth.effectOf('session', 'r')?.index, 2);
  equal(truth.repeats, 1);
  throws(
    () => truth.committed(1, entry(4, 1, command(put('b'), 'r')), 1),
    /one answer with entry 2 and another with 4/,
  );
});

test('a failing seed keeps the faults that it needs, and no more', async () => {
  const needed = [3, 11];
  const { plan, runs } = await shrink(
    Array.from({ length: 16 }, (_, at) => at + 1),
    async ({ faults, without }) =>
      needed.every((number) => faults?.has(number)) && without?.has('loss') !== true,
    80,
  );
  deepEqual([...plan.faults], needed);
  equal(plan.without.has('loss'), false);
  equal(plan.without.has('disorder'), true);
  equal(runs <= 80, true);
});

test('the command for a seed that was made smaller runs it with what is left', async () => {
  const plan = parsePlan({ faults: '3,11', without: 'loss,slow disk' });
  equal(replayCommand(7, plan), "npm run sim -- --seed 7 --faults 3,11 --without 'loss,slow disk'");
  equal(replayCommand(7, { faults: new Set() }), 'npm run sim -- --seed 7 --faults none');
  throws(() => parsePlan({ without: 'rain' }), /--without: rain is none of loss/);
  const seed = [...Array(50).keys()].find((at) => drawFaults(at, drawProfile(at)).length > 3) ?? 0;
  const { faults } = await runSeed(seed, { plan: { faults: new Set([2]) } });
  deepEqual(
    faults.map(({ number }) => number),
    [2],
  );
});

test('a set of seeds that went through too little says of what', () => {
  const coverage = new Coverage();
  const one = new Coverage();
  one.note('leaders under load');
  for (let seed = 0; seed < 1000; seed++) coverage.add(one);
  const { missing } = coverage;
  equal(missing.includes('installs: 0, at least 100 are needed'), true);
  equal(missing.includes('pauses: in 0 seeds, 10 are needed'), true);
  equal(
    missing.some((line) => line.startsWith('leaders under load')),
    false,
  );
});
