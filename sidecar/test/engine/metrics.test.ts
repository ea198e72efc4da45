import assert from 'node:assert/strict';
import { test } from 'node:test';
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
