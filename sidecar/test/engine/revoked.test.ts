// What becomes of a pipeline that is taken from a sidecar, also where it comes back at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pipeline } from '@etl-router/pipeline';
import { MemoryTable, testPipeline } from '../../src/testing.ts';
import { World } from './world.ts';

/** One source and two sinks. */
function forked(): Pipeline {
  return testPipeline({
    stages: { in: 'source', a: 'sink', b: 'sink' },
    edges: [
      ['in', 'a'],
      ['in', 'b'],
    ],
    change: { limits: { inFlightRecords: 100, inFlightBytes: 1_000_000 } },
  });
}

test('a revoked pipeline stops', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked(), tables: { a, b } });
  world.topic.bounded = false;
  world.emit(10);
  await world.start();
  await world.until(() => a.rows.length === 10);
  world.controlPlane.revoke(world.pipelineId);
  await world.until(() => world.sidecar?.snapshots().length === 0);
  world.emit(10);
  await world.pass(5000);
  assert.equal(a.rows.length, 10);
});

test('a pipeline that is assigned again while its revoked run ends is shown when it runs', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const pipeline = forked();
  const world = new World({ pipeline, tables: { a, b } });
  world.topic.bounded = false;
  b.onWrite = () => ({ kind: 'hang' });
  world.emit(10);
  await world.start();
  await world.until(() => a.rows.length === 10);
  world.controlPlane.revoke(world.pipelineId);
  await world.pass(100);
  world.controlPlane.assign(pipeline);
  world.emit(10);
  await world.until(() => a.rows.length >= 20, 60_000);
  assert.equal(world.sidecar?.snapshots().length, 1);
});
