import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PipelineReport } from '../../src/server/live.ts';
import { createWorld, report, settle, type World, withPipeline } from './harness.ts';

function tell(world: World, registrationId: number, change: Partial<PipelineReport>) {
  return world.router.sidecars.heartbeat({
    sidecarId: 'shop/pod',
    registrationId,
    health: 'healthy',
    pipelines: [report(change)],
  });
}

function phase(world: World): readonly [string | undefined, string | undefined] {
  const view = world.router.pipelines.get('shop/orders');
  return [view?.phase, view?.message];
}

const orders = { namespace: 'shop', name: 'orders' };

test('a pipeline is in the phase its sidecar reports, seen against what was asked for', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  assert.deepEqual(phase(world), ['pending', 'its sidecar has not reported yet']);
  await tell(world, registrationId, { phase: 'starting' });
  assert.deepEqual(phase(world), ['pending', 'its stages are being opened']);
  await tell(world, registrationId, { phase: 'running' });
  assert.deepEqual(phase(world), ['running', '']);
  await tell(world, registrationId, { phase: 'failed', message: 'out: disk full' });
  assert.deepEqual(phase(world), ['failed', 'out: disk full']);
  await tell(world, registrationId, { phase: 'completed' });
  assert.deepEqual(phase(world), ['completed', '']);
  await world.router.close();
});

test('a pipeline that was paused is pausing until its sidecar says so, and stopped when nobody has it', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  await tell(world, registrationId, { phase: 'running' });
  await world.router.objects.setPipelineState(orders, 'paused');
  await settle(world);
  assert.equal(phase(world)[0], 'pausing');
  await tell(world, registrationId, { phase: 'paused' });
  assert.equal(phase(world)[0], 'paused');
  await world.router.objects.setPipelineState(orders, 'stopped');
  await settle(world);
  assert.deepEqual(phase(world), ['stopped', '']);
  await world.router.close();
});

test('a stage that waits out a fault degrades the pipeline and is named', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const stage = {
    name: 'out',
    recordsIn: 0,
    bytesIn: 0,
    recordsOut: 0,
    bytesOut: 0,
    filtered: 0,
    failed: 0,
    retried: 0,
    deadLettered: 0,
    dropped: 0,
  };
  const fault = { code: 'ETL_CONNECTOR_FAILED', message: 'refused', atMs: 1, standing: true };
  await tell(world, registrationId, { stages: [{ ...stage, fault }] });
  assert.deepEqual(phase(world), ['degraded', 'out: refused']);
  await tell(world, registrationId, {
    stages: [{ ...stage, fault: { ...fault, standing: false } }],
  });
  assert.deepEqual(phase(world), ['running', '']);
  await world.router.close();
});

test('a pipeline that runs but could not be placed again says what is missing', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  await tell(world, registrationId, {});
  await world.router.objects.delete({ kind: 'EtlSink', namespace: 'shop', name: 'out' });
  await settle(world);
  const [found, message] = phase(world);
  assert.equal(found, 'degraded');
  assert.match(message ?? '', /runs as it was last placed; now out: the sink "out" does not exist/);
  await world.router.close();
});

test('pipelines are listed by namespace and name', async () => {
  const world = createWorld();
  await withPipeline(world);
  assert.deepEqual(
    world.router.pipelines.list().map(({ pipelineId }) => pipelineId),
    ['shop/orders'],
  );
  assert.deepEqual(world.router.pipelines.list('other'), []);
  assert.equal(world.router.pipelines.get('orders'), undefined);
  await world.router.close();
});
