import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import { Live, type StageReport } from '../../src/server/live.ts';
import { Problems } from '../../src/server/problems.ts';
import { next, report } from './harness.ts';

function stage(recordsIn: number, recordsOut = recordsIn): StageReport {
  return {
    name: 'in',
    recordsIn,
    bytesIn: 0,
    recordsOut,
    bytesOut: 0,
    filtered: 0,
    failed: 0,
    retried: 0,
    deadLettered: 0,
    dropped: 0,
    fault: undefined,
  };
}

test('a rate is what was counted over the last ten seconds', () => {
  const clock = new ManualClock(1000);
  const live = new Live(clock);
  const rate = () => live.get('shop/orders')?.rates[0]?.recordsInPerSecond;
  for (let second = 0; second <= 30; second++) {
    live.report(
      'a',
      report({ stages: [stage(second <= 15 ? second * 100 : 1500 + (second - 15) * 10)] }),
    );
    clock.advance(1000);
  }
  assert.equal(rate(), 10);
  live.report('a', report({ startedAtMs: 2, stages: [stage(5)] }));
  assert.equal(rate(), 0, 'counters of another run are not compared');
});

test('a subscriber gets the latest and never a queue', async () => {
  const clock = new ManualClock(1000);
  const live = new Live(clock);
  const stop = new AbortController();
  const updates = live.subscribe('shop/orders', { signal: stop.signal, intervalMs: 1000 });
  const first = updates.next();
  live.report('a', report({ inFlightRecords: 0 }));
  assert.equal((await first).value?.report.inFlightRecords, 0);
  for (let count = 1; count <= 1000; count++) live.report('a', report({ inFlightRecords: count }));
  live.report('a', report({ pipelineId: 'shop/other' }));
  const second = updates.next();
  await clock.advanceAsync(1000);
  assert.equal((await second).value?.report.inFlightRecords, 1000);
  const third = updates.next();
  await clock.advanceAsync(5000);
  stop.abort();
  assert.equal((await third).done, true);
  assert.equal(clock.pending, 0);
});

test('what nobody reports any more is not shown', async () => {
  const clock = new ManualClock(1000);
  const live = new Live(clock);
  live.report('a', report());
  assert.equal(
    (await next(live.subscribe('shop/orders', { signal: new AbortController().signal }))).sidecarId,
    'a',
  );
  clock.advance(301_000);
  assert.equal(live.get('shop/orders'), undefined);
  assert.deepEqual(live.list(), []);
});

test('the same problem counts up, and a resolved one that comes back is a new one', () => {
  const clock = new ManualClock(1000);
  const problems = new Problems(clock);
  const problem = {
    kind: 'sinkError' as const,
    pipelineId: 'shop/orders',
    serviceId: undefined,
    stage: 'out',
    code: 'ETL_CONNECTOR_FAILED',
    message: 'refused',
  };
  problems.record(problem);
  clock.advance(5);
  problems.record(problem);
  const [only] = problems.list();
  assert.deepEqual([only?.count, only?.firstAtMs, only?.lastAtMs], [2, 1000, 1005]);
  assert.equal(problems.resolve(only?.id ?? ''), true);
  problems.record(problem);
  assert.notEqual(problems.list()[0]?.id, only?.id);
  for (let count = 0; count < 2000; count++) problems.record({ ...problem, stage: `s${count}` });
  assert.equal(problems.list().length, 1000);
  problems.resolve(problems.list()[0]?.id ?? '');
  assert.equal(problems.clearResolved(), 1);
  assert.equal(problems.list().length, 999);
});
