import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import type { PipelineReport, StageReport } from '../../src/server/live.ts';
import { Problems } from '../../src/server/problems.ts';
import { createWorld, report, settle, type World, withPipeline, withSidecar } from './harness.ts';

const service = {
  serviceId: 'shop/enrich-1',
  name: 'enrich',
  namespace: 'shop',
  type: 'transform' as const,
  endpoint: { host: '127.0.0.1', port: 50_060, tls: false },
  leaseTtlMs: 10_000,
};

function stage(name: string, fault: StageReport['fault']): StageReport {
  return {
    name,
    recordsIn: 0,
    bytesIn: 0,
    recordsOut: 0,
    bytesOut: 0,
    filtered: 0,
    failed: 0,
    retried: 0,
    deadLettered: 0,
    dropped: 0,
    fault,
  };
}

async function beat(
  world: World,
  registrationId: number,
  change: Partial<PipelineReport>,
): Promise<void> {
  await world.router.sidecars.heartbeat({
    sidecarId: 'shop/pod',
    registrationId,
    health: 'healthy',
    pipelines: [report(change)],
  });
}

/** What is listed, the latest first: object, code, count and whether it is over. */
function listed(world: World): readonly (readonly unknown[])[] {
  return world.router.problems.list().map((problem) => {
    const { pipelineId, serviceId, stage: at, kind, code, count, resolved } = problem;
    return [[pipelineId ?? serviceId, at].filter(Boolean).join(' '), kind, code, count, resolved];
  });
}

test('a run that failed is one problem, however often it is reported, until it runs again', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const failed = { phase: 'failed', message: 'in.jsonl: no such file' } as const;
  await beat(world, registrationId, failed);
  await beat(world, registrationId, failed);
  assert.deepEqual(listed(world), [['shop/orders', 'pipelineFailure', 'FAILED', 1, false]]);
  assert.equal(world.router.problems.list()[0]?.message, 'in.jsonl: no such file');
  await beat(world, registrationId, { ...failed, startedAtMs: 2 });
  assert.equal(world.router.problems.list()[0]?.count, 2, 'another run failed the same way');
  await beat(world, registrationId, { startedAtMs: 3 });
  assert.deepEqual(listed(world), [['shop/orders', 'pipelineFailure', 'FAILED', 2, true]]);
  await world.router.close();
});

test('a fault of a stage is the problem of that stage, and over when the stage overcame it', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const fault = { code: 'ETL_CONNECTOR_FAILED', message: 'refused', atMs: 5, standing: true };
  const message = 'out: refused';
  await beat(world, registrationId, { message, stages: [stage('out', fault)] });
  await beat(world, registrationId, { message, stages: [stage('out', fault)] });
  const again = { ...fault, atMs: 9 };
  await beat(world, registrationId, { message, stages: [stage('out', again)] });
  const problem = ['shop/orders out', 'sinkError', 'ETL_CONNECTOR_FAILED', 2];
  assert.deepEqual(listed(world), [[...problem, false]]);
  await beat(world, registrationId, { stages: [stage('out', { ...again, standing: false })] });
  assert.deepEqual(listed(world), [[...problem, true]]);
  await world.router.close();
});

test('a fault that came and went between two heartbeats is listed as overcome', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const fault = { code: 'ETL_TIMEOUT', message: 'slow', atMs: 5, standing: false };
  await beat(world, registrationId, { stages: [stage('in', fault)] });
  await beat(world, registrationId, { stages: [stage('in', fault)] });
  assert.deepEqual(listed(world), [['shop/orders in', 'sourceError', 'ETL_TIMEOUT', 1, true]]);
  await world.router.close();
});

test('a run that can not begin says what it waits for', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  await beat(world, registrationId, { phase: 'starting', message: 'out: connection refused' });
  assert.deepEqual(listed(world), [['shop/orders', 'pipelineFailure', 'WAITING', 1, false]]);
  await world.router.objects.delete({ kind: 'EtlPipeline', namespace: 'shop', name: 'orders' });
  assert.equal(world.router.problems.list()[0]?.resolved, true, 'what is gone has no problems');
  await world.router.close();
});

test('what a sidecar says of a pipeline that it does not hold is no problem of that pipeline', async () => {
  const world = createWorld();
  await withPipeline(world);
  const registrationId = await withSidecar(world, 'shop/pod-2');
  await world.router.sidecars.heartbeat({
    sidecarId: 'shop/pod-2',
    registrationId,
    health: 'healthy',
    pipelines: [report({ phase: 'failed', message: 'mine' })],
  });
  assert.deepEqual(listed(world), []);
  await world.router.close();
});

test('a service that is not healthy is a problem until it is or leaves', async () => {
  const world = createWorld();
  const { registry, problems } = world.router;
  const { registrationId } = await registry.register(service);
  const { serviceId } = service;
  await registry.heartbeat({ serviceId, registrationId, health: 'degraded', message: 'slow' });
  await registry.heartbeat({ serviceId, registrationId, health: 'degraded', message: 'slow' });
  const row = [serviceId, 'serviceUnhealthy', 'ETL_UNAVAILABLE'];
  assert.deepEqual(listed(world), [[...row, 1, false]]);
  assert.equal(problems.list()[0]?.message, 'degraded: slow');
  await registry.heartbeat({ serviceId, registrationId, health: 'healthy' });
  assert.deepEqual(listed(world), [[...row, 1, true]]);
  await registry.heartbeat({ serviceId, registrationId, health: 'unhealthy' });
  assert.deepEqual(listed(world), [[...row, 1, false]]);
  await registry.deregister({ serviceId, registrationId });
  assert.deepEqual(listed(world), [[...row, 1, true]]);
  await world.router.close();
});

test('a service or sidecar whose lease expired is a problem until it is back', async () => {
  const world = createWorld();
  await world.router.registry.register(service);
  await withSidecar(world);
  await world.clock.advanceAsync(50_000, 500);
  await settle(world);
  const open = () => listed(world).filter(([, , , , resolved]) => resolved === false);
  assert.deepEqual(open(), [
    ['shop/pod', 'timeout', 'ETL_TIMEOUT', 1, false],
    ['shop/enrich-1', 'timeout', 'ETL_TIMEOUT', 1, false],
  ]);
  await world.router.registry.register(service);
  await withSidecar(world);
  assert.deepEqual(open(), []);
  await world.router.close();
});

test('a refused position is a problem of its source', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const { positions, sidecars } = world.router;
  const { planVersion = 0 } = sidecars.assignment('shop/orders') ?? {};
  const request = { pipelineId: 'shop/orders', sidecarId: 'shop/pod', planVersion };
  const lanes = [{ source: 'in', partition: 'p0' }];
  const [lane] = await positions.openLanes({ ...request, lanes });
  const named = { pipeline: 'shop/orders', source: 'in', partition: 'p0' };
  const stale = { lane: named, epoch: (lane?.epoch ?? 0) - 1, position: new Uint8Array([1]) };
  await positions.commit([stale]);
  await positions.commit([stale]);
  assert.deepEqual(listed(world), [['shop/orders in', 'sourceError', 'ETL_FENCED', 2, false]]);
  await beat(world, registrationId, {});
  assert.equal(world.router.problems.list()[0]?.resolved, true);
  await world.router.close();
});

test('a problem somebody resolved stays so while nothing new happens', () => {
  const clock = new ManualClock(1000);
  const problems = new Problems(clock);
  const problem = {
    kind: 'pipelineFailure' as const,
    pipelineId: 'shop/orders',
    serviceId: undefined,
    stage: undefined,
    code: 'FAILED',
    message: 'x'.repeat(5000),
  };
  problems.record(problem, { occurrence: 'run 1' });
  assert.equal(problems.list()[0]?.message.length, 1000);
  problems.resolve('1');
  problems.record(problem, { occurrence: 'run 1' });
  assert.equal(problems.list()[0]?.resolved, true);
  problems.record(problem, { occurrence: 'run 2' });
  assert.deepEqual([problems.list()[0]?.id, problems.list()[0]?.resolved], ['2', false]);
});
