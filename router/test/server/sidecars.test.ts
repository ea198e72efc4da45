import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createWorld,
  next,
  pipelineText,
  report,
  settle,
  withPipeline,
  withSidecar,
} from './harness.ts';

const service = {
  name: 'enrich',
  namespace: 'shop',
  type: 'transform' as const,
  endpoint: { host: '127.0.0.1', port: 50_060, tls: false },
};

test('the services beside a sidecar become exactly those it registers with', async () => {
  const world = createWorld();
  const { sidecars, registry } = world.router;
  const info = { sidecarId: 'shop/pod', namespace: 'shop' };
  await registry.register({ ...service, serviceId: 'shop/elsewhere' });
  await sidecars.register(info, [
    { ...service, serviceId: 'shop/pod/a' },
    { ...service, serviceId: 'shop/pod/b' },
  ]);
  await sidecars.register(info, [
    { ...service, serviceId: 'shop/pod/b' },
    { ...service, serviceId: 'shop/pod/c' },
  ]);
  assert.deepEqual(
    registry.list().map(({ serviceId, sidecarId }) => [serviceId, sidecarId]),
    [
      ['shop/elsewhere', ''],
      ['shop/pod/b', 'shop/pod'],
      ['shop/pod/c', 'shop/pod'],
    ],
  );
  await world.router.close();
});

test('assignments are pushed as they are made, changed and ended', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const { sidecars, objects } = world.router;
  const stop = new AbortController();
  const changes = sidecars.watch('shop/pod', { registrationId, signal: stop.signal });
  const first = await next(changes);
  assert.deepEqual(
    first.assign.map(({ pipelineId }) => pipelineId),
    ['shop/orders'],
  );
  await objects.applyText(pipelineText.replace('name: orders', 'name: more'));
  await settle(world);
  const second = await next(changes);
  assert.deepEqual(
    second.assign.map(({ pipelineId }) => pipelineId),
    ['shop/more'],
  );
  await objects.setPipelineState({ namespace: 'shop', name: 'orders' }, 'stopped');
  await objects.setPipelineState({ namespace: 'shop', name: 'more' }, 'paused');
  await settle(world);
  const third = await next(changes);
  assert.deepEqual(
    third.revoke.map(({ pipelineId }) => pipelineId),
    ['shop/orders'],
  );
  assert.equal(third.assign[0]?.pipeline.state, 'paused');
  stop.abort();
  assert.equal((await changes.next()).done, true);
  await world.router.close();
});

test('a sidecar that knows its assignments is told only what differs', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const { sidecars } = world.router;
  const { planVersion = 0 } = sidecars.assignment('shop/orders') ?? {};
  const known = [
    { pipelineId: 'shop/orders', planVersion },
    { pipelineId: 'shop/gone', planVersion: 1 },
  ];
  const { signal } = new AbortController();
  const change = await next(sidecars.watch('shop/pod', { registrationId, known, signal }));
  assert.deepEqual(change.assign, []);
  assert.deepEqual(change.revoke, [{ pipelineId: 'shop/gone', planVersion: 1 }]);
  await world.router.close();
});

test('a heartbeat is answered with what the sidecar should run less what it runs', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const { sidecars, live } = world.router;
  const beat = { sidecarId: 'shop/pod', registrationId, health: 'healthy' as const };
  const empty = await sidecars.heartbeat({ ...beat, pipelines: [] });
  assert.equal(empty.change.assign.length, 1);
  const { planVersion = 0 } = sidecars.assignment('shop/orders') ?? {};
  const same = await sidecars.heartbeat({ ...beat, pipelines: [report({ planVersion })] });
  assert.deepEqual([same.change.assign, same.change.revoke], [[], []]);
  assert.equal(live.get('shop/orders')?.sidecarId, 'shop/pod');
  const stale = await sidecars.heartbeat({
    ...beat,
    pipelines: [report({ planVersion: planVersion - 1 })],
  });
  assert.equal(stale.change.assign[0]?.planVersion, planVersion);
  const foreign = await sidecars.heartbeat({
    ...beat,
    pipelines: [report({ planVersion }), report({ pipelineId: 'shop/gone', planVersion: 1 })],
  });
  assert.deepEqual(foreign.change.revoke, [{ pipelineId: 'shop/gone', planVersion: 1 }]);
  assert.equal(live.get('shop/gone'), undefined, 'only the holder reports on a pipeline');
  await world.router.close();
});

test('a sidecar that registered anew ends the watch and the heartbeats of its former self', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const { sidecars } = world.router;
  const { signal } = new AbortController();
  const changes = sidecars.watch('shop/pod', { registrationId, signal });
  await next(changes);
  const waiting = changes.next();
  await withSidecar(world);
  await assert.rejects(waiting, { code: 'ETL_NOT_FOUND' });
  const beat = { sidecarId: 'shop/pod', registrationId, health: 'healthy' as const, pipelines: [] };
  await assert.rejects(sidecars.heartbeat(beat), { code: 'ETL_NOT_FOUND' });
  await world.router.close();
});

test('a sidecar that falls silent is removed and its pipelines move', async () => {
  const world = createWorld();
  await withPipeline(world);
  const second = await withSidecar(world, 'shop/pod-2');
  const beat = {
    sidecarId: 'shop/pod-2',
    registrationId: second,
    health: 'healthy' as const,
    pipelines: [],
  };
  for (let passedMs = 0; passedMs < 16_000; passedMs += 4000) {
    await world.clock.advanceAsync(4000, 500);
    await world.router.sidecars.heartbeat(beat);
  }
  await settle(world);
  assert.equal(world.router.sidecars.get('shop/pod')?.health, 'unhealthy');
  assert.equal(world.router.sidecars.assignment('shop/orders')?.sidecarId, 'shop/pod-2');
  for (let passedMs = 0; passedMs < 32_000; passedMs += 4000) {
    await world.clock.advanceAsync(4000, 500);
    await world.router.sidecars.heartbeat(beat);
  }
  assert.equal(world.router.sidecars.get('shop/pod'), undefined);
  await world.router.close();
});

test('a report is forgotten with the assignment', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const { sidecars, live, objects } = world.router;
  const beat = { sidecarId: 'shop/pod', registrationId, health: 'healthy' as const };
  await sidecars.heartbeat({ ...beat, pipelines: [report()] });
  assert.notEqual(live.get('shop/orders'), undefined);
  await objects.delete({ kind: 'EtlPipeline', namespace: 'shop', name: 'orders' });
  assert.equal(live.get('shop/orders'), undefined);
  await world.router.close();
});

test('a sidecar speaks for the services beside it and for no others', async () => {
  const world = createWorld();
  const { sidecars, registry } = world.router;
  const info = { sidecarId: 'shop/pod', namespace: 'shop', leaseTtlMs: 10_000 };
  const { registrationId } = await sidecars.register(info, [
    { ...service, serviceId: 'shop/pod/a' },
  ]);
  await registry.register({ ...service, serviceId: 'shop/lone', leaseTtlMs: 10_000 });
  const beat = {
    sidecarId: 'shop/pod',
    registrationId,
    health: 'healthy' as const,
    pipelines: [],
    services: [
      { serviceId: 'shop/pod/a', health: 'degraded' as const, message: 'slow' },
      { serviceId: 'shop/lone', health: 'degraded' as const },
    ],
  };
  for (let passedMs = 0; passedMs < 12_000; passedMs += 4000) {
    await world.clock.advanceAsync(4000, 500);
    await sidecars.heartbeat(beat);
  }
  assert.equal(registry.get('shop/pod/a')?.health, 'degraded');
  assert.equal(registry.get('shop/pod/a')?.healthMessage, 'slow');
  assert.equal(registry.get('shop/lone')?.health, 'unhealthy');
  await world.router.close();
});
