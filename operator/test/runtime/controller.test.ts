import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRelayLogger, EtlError, ManualClock, seededRandom } from '@etl-router/core';
import { Registry } from 'prom-client';
import { Controller, type ControllerOptions, TerminalError } from '../../src/runtime/controller.ts';
import { registerRuntimeMetrics } from '../../src/runtime/metrics.ts';
import { driveUntil, turns } from './harness.ts';

function start(options: Pick<ControllerOptions, 'reconcile'> & Partial<ControllerOptions>) {
  const clock = new ManualClock();
  const registry = new Registry();
  const lines: { [field: string]: unknown }[] = [];
  const logger = createRelayLogger('debug', (line) =>
    lines.push(JSON.parse(line) as { [field: string]: unknown }),
  );
  const controller = new Controller({
    name: 'widget',
    clock,
    random: seededRandom(1),
    metrics: registerRuntimeMetrics(registry),
    logger,
    ...options,
  });
  controller.start();
  const metric = async (
    name: string,
    labels: { [label: string]: string } = {},
  ): Promise<number | undefined> => {
    const values = (await registry.getSingleMetric(name)?.get())?.values ?? [];
    return values.find((value) =>
      Object.entries(labels).every(
        ([label, wanted]) => (value.labels as { [name: string]: unknown })[label] === wanted,
      ),
    )?.value;
  };
  return { clock, controller, lines, metric, registry };
}

const total = 'controller_runtime_reconcile_total';

test('label sets are there before anything happened', async () => {
  const { registry } = start({ reconcile: async () => undefined });
  const text = await registry.metrics();
  for (const line of [
    'controller_runtime_reconcile_total{controller="widget",result="success"} 0',
    'controller_runtime_reconcile_total{controller="widget",result="requeue_after"} 0',
    'controller_runtime_reconcile_errors_total{controller="widget"} 0',
    'controller_runtime_terminal_reconcile_errors_total{controller="widget"} 0',
    'controller_runtime_reconcile_panics_total{controller="widget"} 0',
    'controller_runtime_reconcile_timeouts_total{controller="widget"} 0',
    'controller_runtime_reconcile_time_seconds_count{controller="widget"} 0',
    'controller_runtime_max_concurrent_reconciles{controller="widget"} 4',
    'controller_runtime_active_workers{controller="widget"} 0',
    'workqueue_depth{name="widget",controller="widget",priority="0"} 0',
    'workqueue_adds_total{name="widget",controller="widget"} 0',
    'workqueue_retries_total{name="widget",controller="widget"} 0',
    'workqueue_unfinished_work_seconds{name="widget",controller="widget"} 0',
    'workqueue_longest_running_processor_seconds{name="widget",controller="widget"} 0',
  ]) {
    assert.ok(text.includes(`${line}\n`), line);
  }
});

test('a failure is logged, counted and tried again', async () => {
  let runs = 0;
  const { clock, controller, lines, metric } = start({
    reconcile: async () => {
      runs += 1;
      if (runs < 3) throw new EtlError('ETL_UNAVAILABLE', 'not yet');
      return undefined;
    },
  });
  controller.queue.add('shop/a');
  await driveUntil(clock, () => runs === 3, 'three runs', 1);
  await turns(2);
  assert.equal(await metric(total, { result: 'error' }), 2);
  assert.equal(await metric(total, { result: 'success' }), 1);
  assert.equal(await metric('workqueue_retries_total'), 2);
  const told = lines.filter(({ msg }) => msg === 'reconcile failed; trying again');
  assert.deepEqual(
    told.map(({ controller: name, namespace, name: object, reconcileID }) => [
      name,
      namespace,
      object,
      reconcileID,
    ]),
    [
      ['widget', 'shop', 'a', 'widget-1'],
      ['widget', 'shop', 'a', 'widget-2'],
    ],
  );
  assert.equal(controller.queue.failures('shop/a'), 0);
});

test('a defect costs its key and never another one or the process', async () => {
  const done: string[] = [];
  const { clock, controller, metric } = start({
    workers: 1,
    reconcile: async (key) => {
      if (key === 'shop/poison') throw new TypeError('undefined is not a function');
      done.push(key);
      return undefined;
    },
  });
  controller.queue.add('shop/poison');
  for (let index = 0; index < 100; index++) controller.queue.add(`shop/n${index}`);
  await driveUntil(clock, () => done.length === 100, 'the others', 1);
  await driveUntil(
    clock,
    () => controller.queue.failures('shop/poison') >= 12,
    'twelve failures',
    1000,
  );
  assert.equal(
    await metric('controller_runtime_reconcile_panics_total'),
    controller.queue.failures('shop/poison'),
  );
});

test('what trying again does not change waits for an event', async () => {
  let runs = 0;
  const { clock, controller, metric } = start({
    reconcile: async () => {
      runs += 1;
      throw new TerminalError(new EtlError('ETL_INVALID_ARGUMENT', 'bad spec'));
    },
  });
  controller.queue.add('shop/a');
  await turns();
  clock.advance(10_000_000);
  await turns();
  assert.equal(runs, 1);
  assert.equal(await metric('controller_runtime_terminal_reconcile_errors_total'), 1);
  controller.queue.add('shop/a');
  await turns();
  assert.equal(runs, 2);
});

test('a run that passes its deadline is told so, and its worker goes on', async () => {
  let aborted: unknown;
  const { clock, controller, metric } = start({
    workers: 1,
    deadlineMs: 1000,
    reconcile: async (key, { signal }) => {
      if (key === 'slow') {
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            aborted = signal.reason;
            reject(signal.reason as Error);
          });
        });
      }
      return undefined;
    },
  });
  controller.queue.add('slow');
  controller.queue.add('fast');
  await driveUntil(clock, () => aborted !== undefined, 'the deadline', 100);
  await driveUntil(
    clock,
    () => controller.queue.failures('fast') === 0 && controller.queue.depth === 0,
    'the next key',
    1,
  );
  assert.match(String(aborted), /widget slow: not done within 1000 ms/);
  assert.equal(await metric('controller_runtime_reconcile_timeouts_total'), 1);
});

test('a run that hears no deadline is seen as stuck', async () => {
  const { clock, controller, metric } = start({
    deadlineMs: 1000,
    reconcile: () => new Promise(() => undefined),
  });
  controller.queue.add('deaf');
  await turns();
  clock.advance(1999);
  assert.equal(controller.stuck, false);
  clock.advance(2);
  assert.equal(controller.stuck, true);
  assert.equal(await metric('workqueue_longest_running_processor_seconds'), 2.001);
  assert.equal(await metric('controller_runtime_active_workers'), 1);
});

test('a run says when it wants to be run again, and an event may come first', async () => {
  let runs = 0;
  const { clock, controller, metric } = start({
    reconcile: async () => {
      runs += 1;
      return { requeueAfterMs: 60_000 };
    },
  });
  controller.queue.add('shop/a');
  await turns();
  clock.advance(59_999);
  await turns();
  assert.equal(runs, 1);
  clock.advance(1);
  await turns();
  assert.equal(runs, 2);
  assert.equal(await metric(total, { result: 'requeue_after' }), 2);
});

test('stopping lets runs end, takes no more keys, and tells the late ones to end', async () => {
  const ended: string[] = [];
  const release: { [key: string]: () => void } = {};
  const { clock, controller } = start({
    reconcile: async (key, { signal }) => {
      await new Promise<void>((resolve) => {
        release[key] = resolve;
        signal.addEventListener('abort', () => resolve());
      });
      ended.push(`${key} ${signal.aborted ? 'told' : 'done'}`);
      return undefined;
    },
  });
  controller.queue.add('a');
  controller.queue.add('b');
  await turns();
  let stopped = false;
  const stopping = controller.stop(25_000).then(() => {
    stopped = true;
  });
  controller.queue.add('c');
  release['a']?.();
  await turns();
  assert.deepEqual([ended, stopped], [['a done'], false]);
  clock.advance(25_000);
  await stopping;
  await turns();
  assert.deepEqual(ended, ['a done', 'b told']);
});

test('five thousand keys and one that always fails: the rest is done, and what waits stays bounded', async () => {
  const done = new Set<string>();
  const { clock, controller } = start({
    reconcile: async (key) => {
      if (key === 'n0') throw new Error('always');
      done.add(key);
      return undefined;
    },
  });
  for (let index = 0; index < 5000; index++) {
    controller.queue.add(`n${index}`);
    controller.queue.add(`n${index}`);
  }
  assert.ok(controller.queue.depth <= 5000);
  await driveUntil(clock, () => done.size === 4999, 'the rest', 1);
});
