// Real processes on loopback, killed and replaced: a few of the scenarios, with what they find held to be nothing. The
// rest, and all that takes root, is `npm run nemesis`.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import type { Operation } from '../../linearizability/operations.ts';
import { lostPositions, lostWrites, unfencedCommits } from '../../nemesis/checks.ts';
import { commandOf, planRun, scenariosOf } from '../../nemesis/plan.ts';
import { type Listing, problemsOf } from '../../nemesis/restoring.ts';
import { runScenario } from '../../nemesis/run.ts';
import { scenarios } from '../../nemesis/scenarios.ts';
import { isQuotaRefusal } from '../../nemesis/state-scenarios.ts';
import {
  appendDone,
  type DoneRun,
  percentilesOf,
  readDone,
  saveSummary,
  summarize,
  tableOf,
} from '../../nemesis/summary.ts';
import { LogQuota } from '../../src/consensus/log-quota.ts';

const everything = { seed: 1, members: undefined, only: undefined, without: [] } as const;

for (const [run, name] of ['kill-leader', 'transfer'].entries()) {
  test(`three processes lose nothing: ${name}`, async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'etl-nemesis-test-'));
    context.after(() => rm(folder, { recursive: true, force: true }));
    const planned = planRun({ ...everything, only: name, members: 3 }, 1);
    // A machine that is busy with other tests is slow; what is lost is lost all the same.
    const result = await runScenario({
      ...{
        ...planned,
        run: run + 1,
        isolated: false,
        leastRate: 0,
        recoveryMaxMs: 120_000,
        folder,
      },
      signal: new AbortController().signal,
    });
    assert.deepEqual(result.problems, []);
    assert.equal(result.outcome, 'passed');
    assert(result.operations > 0);
    assert((name === 'transfer' ? result.transferMs : result.failoverMs).length > 1);
  });
}

test('every scenario has its turn, with three members and with five', () => {
  const all = scenariosOf(everything).length;
  assert.equal(all, scenarios.length);
  assert.equal(new Set(scenarios.map(({ name }) => name)).size, all);
  const planned = Array.from({ length: 3 * all }, (_, at) => planRun(everything, at + 1));
  for (const { name } of scenarios) {
    const own = planned.filter(({ scenario }) => scenario.name === name);
    assert.deepEqual(
      own.map(({ members }) => members),
      [3, 3, 5],
    );
  }
  assert.equal(new Set(planned.map(({ seed }) => seed)).size, planned.length);
});

test('what the machine lacks is left out by name alone', () => {
  const plan = { ...everything, without: ['netns', 'disk'] } as const;
  assert(scenariosOf(plan).every(({ needs }) => needs.length === 0));
  assert.throws(() => scenariosOf({ ...plan, only: 'ring' }), /ring: it needs netns/);
  assert.throws(() => scenariosOf({ ...everything, only: 'rang' }), /no such scenario/);
});

test('the command of a run plans the same run', () => {
  const planned = planRun(everything, 7);
  const { scenario, members, seed } = planned;
  const again = planRun({ ...everything, only: scenario.name, members, seed }, 1);
  assert.deepEqual({ ...again, run: 7 }, planned);
  assert.equal(
    commandOf(planned, ['disk']),
    `npm run nemesis -- --only ${scenario.name} --members ${members} --seed ${seed} --runs 1 --fresh --without disk`,
  );
});

function done(fields: Partial<DoneRun>): DoneRun {
  return {
    ...{ run: 1, seed: 1, scenario: 'kill-leader', members: 3, outcome: 'passed', problems: [] },
    ...{ operations: 100, unanswered: 1, operationsPerSecond: 200, recoveryMs: 50 },
    ...{ loadingMs: 20, runMs: 9000, doubled: 3, commit: 'abc1234' },
    ...{ lostWrites: 0, linearizable: true, failoverMs: [], transferMs: [] },
    ...fields,
  };
}

test('finished runs are read back, and add up without those that were discarded', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'etl-nemesis-test-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'state', 'runs.jsonl');
  assert.deepEqual(readDone(file), []);
  const runs = [
    done({ failoverMs: [900, 1100] }),
    done({ run: 2, outcome: 'discarded', operationsPerSecond: 20 }),
    done({ run: 2, outcome: 'failed', lostWrites: 2, linearizable: false, transferMs: [80] }),
  ];
  for (const run of runs) appendDone(file, run);
  assert.deepEqual(readDone(file), runs);
  const {
    passed,
    failed,
    discarded,
    lostWrites: lost,
    nonLinearizable,
    failoverMs,
  } = summarize(runs);
  assert.deepEqual([passed, failed, discarded, lost, nonLinearizable], [1, 1, 1, 2, 1]);
  assert.deepEqual(failoverMs, { count: 2, p50: 900, p99: 1100, max: 1100 });
  const sums = summarize(runs);
  assert.deepEqual(sums.commits, ['abc1234']);
  assert.deepEqual(sums.recoveryMs.max, 50);
  assert.deepEqual(sums.recoveryLoadedMs.max, 30);
  assert.deepEqual(sums.scenarios['kill-leader']?.transferMs.p50, 80);
  assert.match(tableOf(sums), /^\| kill-leader \| 2 \| 1 \| 1 \| 2 \| 1 \|.*\| 900 1100 1100 \|/m);
  const saved = saveSummary(join(folder, 'kept'), sums, { name: 'all', command: 'npm run x' });
  assert.match(saved, /\d{4}-\d\d-\d\d-abc1234\.json$/);
  assert.equal(JSON.parse(await readFile(saved, 'utf8')).lostWrites, 2);
  appendDone(file, { run: 3 } as DoneRun);
  assert.throws(() => readDone(file), /runs\.jsonl:4: is damaged or of another version/);
  assert.deepEqual(percentilesOf([]), { count: 0, p50: null, p99: null, max: null });
});

test('an answered write is lost when the last read is older, or shows nothing that anyone deleted', () => {
  const name = 'EtlSource/default/k0';
  const write = operation({ op: 'update', in: { name, spec: 'a' }, out: { version: 7 } });
  const read = (out: object): Operation =>
    operation({ client: 1001, id: 9, callNs: 90, returnNs: 99, op: 'get', in: { name }, out });
  const deletion = operation({
    id: 2,
    callNs: 5,
    returnNs: null,
    op: 'delete',
    in: { name },
    out: null,
  });
  const notFound = { error: 'notFound' };
  assert.deepEqual(lostWrites([write, read({ version: 7, spec: 'a' })]), []);
  assert.deepEqual(lostWrites([write, read({ version: 8, spec: 'b' })]), []);
  assert.equal(lostWrites([write, read({ version: 6, spec: 'b' })]).length, 1);
  assert.equal(lostWrites([write, read(notFound)]).length, 1);
  assert.deepEqual(lostWrites([write, deletion, read(notFound)]), []);
});

test('a restore is all or nothing, and not taken back', () => {
  const listing = (shown: string, askedMs: number): Listing => ({
    ...{ member: '1', shown, askedMs, answeredMs: askedMs + 5 },
  });
  assert.deepEqual(problemsOf([listing('a', 0), listing('b', 10), listing('a', 12)], 'a', 'b'), []);
  assert.match(
    problemsOf([listing('a', 0), listing('a and b', 10)], 'a', 'b').join(),
    /showed a part of a restore: a and b/,
  );
  assert.match(
    problemsOf([listing('b', 10), listing('a', 16)], 'a', 'b').join(),
    /the state from before after the restored one/,
  );
});

test('a write that the quota refuses is told so, and no other refusal counts', () => {
  const log = { diskBytes: 95 };
  const refusal = new LogQuota(log, 100).refusal(false, 0);
  assert(refusal !== undefined && isQuotaRefusal(refusal));
  assert(!isQuotaRefusal(new EtlError('ETL_LIMIT_EXCEEDED', 'too many wait', { retryable: true })));
});

test('a commit of a lane is lost when the last read is before it, and unfenced after a newer epoch', () => {
  const lane = 'lanes/flow/in/p0';
  const acquire = (id: number, epoch: number): Operation =>
    operation({ id, op: 'acquireEpoch', in: { lane }, out: { epoch, position: '' } });
  const commit = operation({
    ...{ id: 3, callNs: 30, returnNs: 40 },
    ...{ op: 'commitPosition', in: { lane, epoch: 5, position: '07' }, out: {} },
  });
  const read = (position: string): Operation =>
    operation({
      ...{ client: 1001, id: 9, callNs: 90, returnNs: 99 },
      ...{ op: 'getLane', in: { lane }, out: { epoch: 5, position } },
    });
  assert.deepEqual(lostPositions([commit, read('07')]), []);
  assert.deepEqual(lostPositions([commit, read('08')]), []);
  assert.equal(lostPositions([commit, read('06')]).length, 1);
  assert.deepEqual(unfencedCommits([acquire(1, 5), commit]), []);
  assert.equal(unfencedCommits([acquire(1, 5), acquire(2, 6), commit]).length, 1);
  const later = { ...acquire(2, 6), callNs: 31, returnNs: 50 } as Operation;
  assert.deepEqual(unfencedCommits([acquire(1, 5), later, commit]), []);
});

function operation(fields: object): Operation {
  return { client: 1, id: 1, callNs: 10, returnNs: 20, ...fields } as Operation;
}
