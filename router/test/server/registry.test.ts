import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, silentLogger } from '@etl-router/core';
import { ProblemWatch } from '../../src/server/problem-watch.ts';
import { Problems } from '../../src/server/problems.ts';
import { Proposer } from '../../src/server/proposer.ts';
import { Registry } from '../../src/server/registry.ts';
import type { ServiceInfo } from '../../src/server/service-view.ts';
import type { ServiceEvent, ServiceEvents } from '../../src/server/service-watch.ts';
import { createWorld, next, settle, type World } from './harness.ts';

const enrich: ServiceInfo = {
  serviceId: 'shop/enrich-1',
  name: 'enrich',
  namespace: 'shop',
  type: 'transform',
  endpoint: { host: '::1', port: 50_060, tls: true },
  labels: { tier: 'gold' },
  leaseTtlMs: 10_000,
};

function kinds({ events }: ServiceEvents): readonly string[] {
  return events.map((event) =>
    'service' in event ? `${event.kind} ${event.service.serviceId}` : event.kind,
  );
}

function service(events: ServiceEvents, index = 0) {
  const event = events.events[index] as Extract<ServiceEvent, { service: unknown }>;
  return event.service;
}

function beat(world: World, registrationId: number, health: 'healthy' | 'degraded' = 'healthy') {
  return world.router.registry.heartbeat({ serviceId: enrich.serviceId, registrationId, health });
}

test('what a service says of itself survives the round trip', async () => {
  const world = createWorld();
  const { registrationId } = await world.router.registry.register(enrich);
  const found = world.router.registry.get(enrich.serviceId);
  assert.deepEqual(found?.endpoint, enrich.endpoint);
  assert.deepEqual({ ...found?.labels }, enrich.labels);
  assert.equal(found?.registrationId, registrationId);
  assert.equal(found.type, 'transform');
  assert.equal(found.weight, 100);
  await world.router.close();
});

test('heartbeats stay out of the log, changes of health do not', async () => {
  const world = createWorld();
  const { registrationId } = await world.router.registry.register(enrich);
  const before = world.consensus.entries.length;
  for (let count = 0; count < 10; count++) await beat(world, registrationId);
  assert.equal(world.consensus.entries.length, before);
  await beat(world, registrationId, 'degraded');
  assert.equal(world.consensus.entries.length, before + 1);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'degraded');
  await world.router.close();
});

test('a silent service is unhealthy after one lease and gone after three', async () => {
  const world = createWorld();
  await world.router.registry.register(enrich);
  await world.clock.advanceAsync(10_000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'healthy');
  await world.clock.advanceAsync(1000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'unhealthy');
  assert.deepEqual(world.router.registry.endpoints({ namespace: 'shop', name: 'enrich' }), []);
  await world.clock.advanceAsync(20_000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId), undefined);
  await world.router.close();
});

test('a service that speaks again is healthy again', async () => {
  const world = createWorld();
  const { registrationId } = await world.router.registry.register(enrich);
  await world.clock.advanceAsync(11_000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'unhealthy');
  await beat(world, registrationId);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'healthy');
  await world.clock.advanceAsync(9000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'healthy');
  await world.router.close();
});

test('who leads anew gives everyone one full lease of grace', async () => {
  const world = createWorld();
  await world.router.registry.register(enrich);
  await world.router.follow();
  await world.clock.advanceAsync(60_000, 1000);
  world.router.lead();
  await world.clock.advanceAsync(9000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'healthy');
  await world.clock.advanceAsync(2000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'unhealthy');
  await world.router.close();
});

test('a process that stood still blames nobody for it', async () => {
  const world = createWorld();
  await world.router.registry.register(enrich);
  await world.clock.advanceAsync(5000, 500);
  world.clock.leap(3_600_000);
  await world.clock.advanceAsync(1000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'healthy');
  await world.clock.advanceAsync(5000, 500);
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'unhealthy');
  await world.router.close();
});

test('a heartbeat of an unknown or earlier registration is told to register again', async () => {
  const world = createWorld();
  await assert.rejects(beat(world, 1), { code: 'ETL_NOT_FOUND' });
  const { registrationId } = await world.router.registry.register(enrich);
  await world.router.registry.register(enrich);
  await assert.rejects(beat(world, registrationId), { code: 'ETL_NOT_FOUND' });
  await world.router.close();
});

test('a service that leaves drains first and then goes', async () => {
  const world = createWorld();
  const { registrationId } = await world.router.registry.register(enrich);
  await world.router.registry.deregister({ serviceId: enrich.serviceId, drainMs: 5000 });
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'draining');
  assert.deepEqual(world.router.registry.endpoints({ namespace: 'shop', name: 'enrich' }), []);
  await world.router.registry.heartbeat({
    serviceId: enrich.serviceId,
    registrationId,
    health: 'healthy',
  });
  assert.equal(world.router.registry.get(enrich.serviceId)?.health, 'draining');
  await world.clock.advanceAsync(5000);
  await settle();
  assert.equal(world.router.registry.get(enrich.serviceId), undefined);
  await world.router.registry.deregister({ serviceId: enrich.serviceId });
  await world.router.close();
});

test('a watch begins with all that is there and goes on with every change in order', async () => {
  const world = createWorld();
  const { registry } = world.router;
  const { registrationId } = await registry.register(enrich);
  const stop = new AbortController();
  const events = registry.watch({}, { signal: stop.signal });
  const first = await next(events);
  assert.deepEqual(kinds(first), ['added shop/enrich-1', 'synced']);
  await registry.register({ ...enrich, serviceId: 'shop/enrich-2' });
  await beat(world, registrationId, 'degraded');
  await registry.deregister({ serviceId: enrich.serviceId });
  const second = await next(events);
  assert.deepEqual(kinds(second), [
    'added shop/enrich-2',
    'healthChanged shop/enrich-1',
    'removed shop/enrich-1',
  ]);
  assert.equal(service(second, 2).health, 'degraded', 'what is removed is shown as it last was');
  stop.abort();
  assert.equal((await events.next()).done, true);
  await world.router.close();
});

test('a watch that comes back misses nothing and sees nothing twice', async () => {
  const world = createWorld();
  const { registry } = world.router;
  await registry.register(enrich);
  const { signal } = new AbortController();
  const { revision } = await next(registry.watch({}, { signal }));
  await registry.register({ ...enrich, serviceId: 'shop/enrich-2' });
  await registry.register({ ...enrich, serviceId: 'shop/enrich-3' });
  const back = registry.watch({}, { signal, afterRevision: revision });
  assert.deepEqual(kinds(await next(back)), ['added shop/enrich-2', 'added shop/enrich-3']);
  await world.router.close();
});

test('a watch from before the history begins anew and says so', async () => {
  const world = createWorld();
  const { registry } = world.router;
  await registry.register(enrich);
  await world.router.close();
  const later = createWorld({ host: world.host });
  const { signal } = new AbortController();
  const back = later.router.registry.watch({}, { signal, afterRevision: 0 });
  assert.deepEqual(kinds(await next(back)), ['reset', 'added shop/enrich-1', 'synced']);
  await later.router.close();
});

test('a watcher that never reads does not grow the history, and begins anew when it reads', async () => {
  const { host, consensus, clock, router } = createWorld();
  const proposer = new Proposer({ log: consensus, clock, random: seededRandom(2) });
  const registry = new Registry({
    host,
    proposer,
    clock,
    logger: silentLogger,
    problemWatch: new ProblemWatch({ host, problems: new Problems(clock) }),
    historyEvents: 100,
  });
  const { signal } = new AbortController();
  const slow = registry.watch({}, { signal });
  assert.deepEqual(kinds(await next(slow)), ['synced']);
  for (let count = 0; count < 250; count++) {
    await registry.register({ ...enrich, serviceId: `shop/s${count % 50}` });
  }
  const events = kinds(await next(slow));
  assert.equal(events[0], 'reset');
  assert.equal(events.length, 52);
  registry.close();
  await router.close();
});

test('a watcher with a filter is told when a service begins and ceases to match', async () => {
  const world = createWorld();
  const { registry } = world.router;
  const { registrationId } = await registry.register(enrich);
  await registry.register({ ...enrich, serviceId: 'other/x', namespace: 'other' });
  const { signal } = new AbortController();
  const filter = { namespace: 'shop', includeUnhealthy: false, labels: { tier: 'gold' } };
  const events = registry.watch(filter, { signal });
  assert.deepEqual(kinds(await next(events)), ['added shop/enrich-1', 'synced']);
  await registry.deregister({ serviceId: 'other/x' });
  await registry.heartbeat({ serviceId: enrich.serviceId, registrationId, health: 'unhealthy' });
  assert.deepEqual(kinds(await next(events)), ['removed shop/enrich-1']);
  await beat(world, registrationId);
  assert.deepEqual(kinds(await next(events)), ['added shop/enrich-1']);
  await registry.register({ ...enrich, labels: { tier: 'tin' } });
  assert.deepEqual(kinds(await next(events)), ['removed shop/enrich-1']);
  await world.router.close();
});

test('a service whose registration is not applied here yet is deregistered all the same', async () => {
  const world = createWorld();
  const { registry } = world.router;
  await registry.deregister({ serviceId: enrich.serviceId });
  await registry.deregister({ serviceId: enrich.serviceId, drainMs: 5000 });
  assert.equal(world.consensus.entries.length, 2);
  await world.router.close();
});

test('a member of a group that is deregistered leaves it, and the others are told what they own', async () => {
  const world = createWorld();
  const { registry, groups } = world.router;
  await groups.assignPartitions({ groupId: 'g', partitions: ['0', '1', '2', '3'] });
  for (const serviceId of ['shop/a', 'shop/b']) {
    await registry.register({ ...enrich, serviceId, groupId: 'g' });
    await groups.join({ groupId: 'g', memberId: serviceId });
  }
  const { signal } = new AbortController();
  const events = registry.watch({}, { signal });
  const first = await next(events);
  assert.deepEqual(
    [service(first, 0).partitions.length, service(first, 1).partitions.length],
    [2, 2],
  );
  await registry.deregister({ serviceId: 'shop/b' });
  await settle();
  const second = await next(events);
  assert.deepEqual(kinds(second).toSorted(), ['partitionsChanged shop/a', 'removed shop/b']);
  assert.deepEqual(service(second, 1).partitions, ['0', '1', '2', '3']);
  await world.router.close();
});
