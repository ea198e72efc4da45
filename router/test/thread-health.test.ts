import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Logger, ManualClock } from '@etl-router/core';
import { Registry } from 'prom-client';
import { registerLogMetrics } from '../src/router-metrics.ts';
import { ThreadHealth } from '../src/thread-health.ts';
import { threadPoolWarnings } from '../src/thread-pool.ts';

const calm = { p99Ms: 2, maxMs: 30 };
const late = { p99Ms: 60, maxMs: 300 };

test('a thread or disk that is late by half a heartbeat is warned about once a minute, among other members', async (t) => {
  const registry = new Registry();
  const clock = new ManualClock();
  const said: (readonly [number, string])[] = [];
  const logger = {
    warn: ({ p99Ms }: { p99Ms: number }, message: string) => said.push([p99Ms, message]),
  } as unknown as Logger;
  let own = calm;
  const health = new ThreadHealth({
    ...{ metrics: registerLogMetrics(registry), clock, logger, heartbeatMs: 100 },
    takeOwnDelay: () => own,
  });
  t.after(() => health.close());
  const takeSaid = (): unknown => said.splice(0).map(([ms, text]) => [ms, text.split(',')[0]]);
  health.delayed(calm, true);
  health.delayed(late, false);
  assert.deepEqual(takeSaid(), [], 'alone nobody can be taken for gone');
  health.delayed(late, true);
  assert.deepEqual(takeSaid(), [[60, "the log's thread is late"]]);
  for (let at = 0; at < 100; at++) health.synced({ bytes: 1, records: 1, durationMs: 80 });
  own = { p99Ms: 70, maxMs: 90 };
  clock.advance(59_000);
  health.delayed(late, true);
  assert.deepEqual(takeSaid(), [
    [80, 'the disk of the log is slow'],
    [70, 'the main thread is late'],
  ]);
  clock.advance(1000);
  health.delayed(late, true);
  assert.deepEqual(
    takeSaid(),
    [[60, "the log's thread is late"]],
    'the others a minute after theirs',
  );
  const text = await registry.metrics();
  const name = 'etl_router_event_loop_delay_seconds';
  for (const line of [
    `${name}{thread="log",quantile="0.99"} 0.06`,
    `${name}{thread="log",quantile="1"} 0.3`,
    `${name}{thread="main",quantile="0.99"} 0.07`,
    'etl_router_log_sync_seconds_count 100',
  ])
    assert(text.includes(`\n${line}\n`), line);
});

test('a pool of threads that is set too small is warned about', () => {
  assert.match(
    threadPoolWarnings('4').join(),
    /^UV_THREADPOOL_SIZE is 4: .* at least 8, or none for 16$/,
  );
  assert.deepEqual(threadPoolWarnings('8'), []);
  assert.deepEqual(threadPoolWarnings(), [], 'what this module sets');
});
