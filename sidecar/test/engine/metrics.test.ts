import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep } from '@etl-router/core';
import { Registry } from 'prom-client';
import { registerMetrics, type Sidecar } from '../../src/index.ts';
import { MemoryTable, testPipeline } from '../../src/testing.ts';
import { World } from './world.ts';

test('the counters of a run are there as metrics, and never a record’s content', async () => {
  const table = new MemoryTable();
  table.onRecord = (payload) =>
    payload === '3' ? { code: 'THREE', message: 'no', retryable: false } : undefined;
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', t: 'transform', out: 'sink' },
      edges: [
        ['in', 't'],
        ['t', 'out'],
      ],
    }),
    tables: { out: table },
    transforms: { t: (payload) => (payload === '4' ? [] : [payload]) },
  });
  world.emit(10);
  await world.start();
  await world.completed();
  const registry = new Registry();
  registerMetrics(registry, world.sidecar as Sidecar);
  const text = await registry.metrics();
  const labels = 'namespace="test",pipeline="pipeline"';
  for (const line of [
    `etl_stage_received_records_total{${labels},edge="in>t"} 10`,
    `etl_stage_received_records_total{${labels},edge="t>out"} 9`,
    `etl_stage_sent_records_total{${labels},stage="out",stage_type="sink"} 8`,
    `etl_stage_discarded_records_total{${labels},stage="t",stage_type="transform",intentional="true",reason="filtered"} 1`,
    `etl_dead_letter_records_total{${labels},stage="out",stage_type="sink"} 1`,
    `etl_dead_letter_pending_records{${labels}} 1`,
    'etl_buffer_bytes{medium="memory"} 0',
  ]) {
    assert.ok(text.includes(line), `${line} in\n${text}`);
  }
  assert.equal(await registry.metrics(), text, 'reading twice counts nothing twice');
});

test('the time from reading to resolved is a histogram by source', async () => {
  const table = new MemoryTable();
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', t: 'transform', out: 'sink' },
      edges: [
        ['in', 't'],
        ['t', 'out'],
      ],
    }),
    tables: { out: table },
    transforms: { t: (payload) => [payload] },
    before: { t: () => sleep(world.clock, 700) },
  });
  world.emit(10);
  await world.start();
  await world.completed();
  const registry = new Registry();
  registerMetrics(registry, world.sidecar as Sidecar);
  const text = await registry.metrics();
  const valueOf = (series: string, le = ''): number => {
    const labels = 'namespace="test",pipeline="pipeline",stage="in",stage_type="source"';
    const line = `etl_pipeline_latency_seconds_${series}{${labels}${le}} `;
    return Number(text.split(line)[1]?.split('\n')[0]);
  };
  assert.match(text, /^# TYPE etl_pipeline_latency_seconds histogram$/m);
  assert.equal(valueOf('bucket', ',le="0.5"'), 0);
  assert.equal(valueOf('bucket', ',le="2.5"'), 10);
  assert.equal(valueOf('bucket', ',le="+Inf"'), 10);
  assert.equal(valueOf('count'), 10);
  assert.ok(valueOf('sum') >= 7 && valueOf('sum') < 25, `${valueOf('sum')} s`);
});
