import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StateHost } from '../../src/server/state-host.ts';
import {
  allText,
  createWorld,
  pipelineText,
  settle,
  sinkText,
  sourceText,
  type World,
  withPipeline,
  withSidecar,
} from './harness.ts';

function held(world: World) {
  return world.router.sidecars.assignment('shop/orders');
}

function remove(world: World, kind: 'EtlSink' | 'EtlPipeline', name: string): Promise<unknown> {
  return world.router.objects.delete({ kind, namespace: 'shop', name });
}

const orders = { namespace: 'shop', name: 'orders' };

test('a pipeline that was applied before its references waits and says for what', async () => {
  const world = createWorld();
  await withSidecar(world);
  const { findings } = await world.router.objects.applyText(pipelineText);
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [
      ['UnresolvedRef', 'warning'],
      ['UnresolvedRef', 'warning'],
    ],
  );
  await settle(world);
  assert.equal(held(world), undefined);
  const view = world.router.pipelines.get('shop/orders');
  assert.equal(view?.phase, 'pending');
  assert.deepEqual(
    view.unresolved.map(({ kind, name }) => [kind, name]),
    [
      ['EtlSource', 'in'],
      ['EtlSink', 'out'],
    ],
  );
  await world.router.objects.applyText([sourceText, sinkText].join('---'));
  await settle(world);
  assert.equal(held(world)?.pipeline.stages[0]?.connector?.type, 'file');
  await world.router.close();
});

test('a pipeline without a sidecar is placed when one comes', async () => {
  const world = createWorld();
  await world.router.objects.applyText(allText);
  await settle(world);
  assert.equal(world.router.pipelines.get('shop/orders')?.phase, 'pending');
  await withSidecar(world);
  await settle(world);
  assert.equal(held(world)?.sidecarId, 'shop/pod');
  await world.router.close();
});

test('pausing changes the assignment and stopping ends it', async () => {
  const world = createWorld();
  await withPipeline(world);
  const before = held(world);
  await world.router.objects.setPipelineState(orders, 'paused');
  await settle(world);
  assert.equal(held(world)?.pipeline.state, 'paused');
  assert(Number(held(world)?.planVersion) > Number(before?.planVersion));
  await world.router.objects.setPipelineState(orders, 'stopped');
  await settle(world);
  assert.equal(held(world), undefined);
  await world.router.objects.setPipelineState(orders, 'running');
  await settle(world);
  assert.equal(held(world)?.pipeline.state, 'running');
  await world.router.close();
});

test('a reference that goes tears nothing down, and the pipeline can still be paused and stopped', async () => {
  const world = createWorld();
  await withPipeline(world);
  const before = held(world);
  await remove(world, 'EtlSink', 'out');
  await settle(world);
  assert.equal(held(world)?.planVersion, before?.planVersion);
  const view = world.router.pipelines.get('shop/orders');
  assert.deepEqual(view?.unresolved, [{ stage: 'out', kind: 'EtlSink', name: 'out' }]);
  await world.router.objects.setPipelineState(orders, 'paused');
  await settle(world);
  assert.equal(held(world)?.pipeline.state, 'paused');
  assert.equal(held(world)?.pipeline.stages[1]?.connector?.type, 'file');
  assert.equal(held(world)?.generation, 1);
  await world.router.objects.setPipelineState(orders, 'stopped');
  await settle(world);
  assert.equal(held(world), undefined);
  await world.router.close();
});

test('a change of a referenced object reaches the assignment', async () => {
  const world = createWorld();
  await withPipeline(world);
  await world.router.objects.applyText(sinkText.replace('out.jsonl', 'other.jsonl'));
  await settle(world);
  assert.deepEqual(held(world)?.pipeline.stages[1]?.connector?.config['path'], 'other.jsonl');
  await world.router.close();
});

test('a deleted pipeline is nowhere', async () => {
  const world = createWorld();
  await withPipeline(world);
  await remove(world, 'EtlPipeline', 'orders');
  await settle(world);
  assert.equal(held(world), undefined);
  assert.equal(world.router.pipelines.get('shop/orders'), undefined);
  await world.router.close();
});

test('a new leader finds the plan carried out and proposes nothing', async () => {
  const world = createWorld();
  await withSidecar(world, 'shop/b');
  await withPipeline(world);
  await withSidecar(world, 'shop/a');
  await settle(world);
  await world.router.close();
  const again = createWorld({ host: new StateHost(world.host.rows()) });
  await settle(again);
  assert.equal(again.consensus.entries.length, 0);
  assert.equal(held(again)?.sidecarId, held(world)?.sidecarId);
  await again.router.close();
});

test('what a sidecar ran moves to another one when it goes, and stays when there is no other', async () => {
  const world = createWorld();
  await withPipeline(world);
  await world.router.sidecars.deregister('shop/pod');
  await settle(world);
  assert.equal(held(world)?.sidecarId, 'shop/pod');
  await withSidecar(world, 'shop/pod-2');
  await settle(world);
  assert.equal(held(world)?.sidecarId, 'shop/pod-2');
  await world.router.close();
});

test('a pipeline uses a registered service of its own namespace only', async () => {
  const world = createWorld();
  await withSidecar(world);
  const grpc = sinkText.replace(/file: .*/, 'grpc: {service: loader}}');
  await world.router.objects.applyText([pipelineText, sourceText, grpc].join('---'));
  const loader = {
    name: 'loader',
    type: 'sink' as const,
    endpoint: { host: '127.0.0.1', port: 50_070, tls: false },
  };
  await world.router.registry.register({ ...loader, serviceId: 'x/loader', namespace: 'other' });
  await settle(world);
  assert.equal(held(world), undefined);
  await world.router.registry.register({ ...loader, serviceId: 'shop/loader', namespace: 'shop' });
  await settle(world);
  assert.deepEqual(held(world)?.stages[1], {
    stage: 'out',
    sidecar: 'shop/pod',
    endpoint: '127.0.0.1:50070',
  });
  await world.router.close();
});

test('a proposal that fails is tried again', async () => {
  const world = createWorld();
  await world.router.objects.applyText(allText);
  await settle(world);
  const registering = withSidecar(world);
  await Promise.resolve();
  world.consensus.failNext = 1;
  await registering;
  await settle(world);
  assert.equal(world.consensus.failNext, 0);
  assert.equal(held(world), undefined);
  await world.clock.advanceAsync(2000);
  await settle(world);
  assert.notEqual(held(world), undefined);
  await world.router.close();
});
