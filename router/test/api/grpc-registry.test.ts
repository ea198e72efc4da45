import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Health,
  type HeartbeatRequestSchema,
  ServiceEventType,
  type ServiceInfoSchema,
  ServiceType,
  type WatchResponse,
} from '@etl-router/proto/registry';
import { saying, start, uint64Max } from './fixture.ts';

type Info = MessageInitShape<typeof ServiceInfoSchema>;

function info(serviceId: string, change: Partial<Info> = {}): Info {
  return {
    serviceId,
    name: 'enrich',
    namespace: 'shop',
    type: ServiceType.TRANSFORM,
    endpoint: { host: '127.0.0.1', port: 7000 },
    ...change,
  } as Info;
}

async function* once<Item>(item: Item): AsyncGenerator<Item, void, void> {
  yield item;
}

/** The next message of a stream that must have one. */
async function next<Item>(stream: AsyncIterator<Item>): Promise<Item> {
  const { value, done } = await stream.next();
  assert.notEqual(done, true, 'the stream ended');
  return value as Item;
}

async function withService(t: TestContext) {
  const fixture = await start(t);
  const { registrationId } = await fixture.registry.register({ service: info('a') });
  return { ...fixture, registrationId };
}

test('a service registers, is listed with what it said, and is found by its name', async (t) => {
  const { registry } = await start(t);
  const service = info('shop/pod/enrich', {
    labels: { zone: 'a' },
    capabilities: ['b', 'a'],
    weight: 5,
  });
  const registered = await registry.register({ service, leaseTtlMs: 60_000, requestId: 'first' });
  assert.equal(registered.leaseTtlMs, 60_000);
  assert.equal(registered.heartbeatIntervalMs, 20_000);
  const { services, revision } = await registry.listServices({ filter: { namespace: 'shop' } });
  assert.equal(services.length, 1);
  assert.equal(revision, registered.revision);
  assert.equal(services[0]?.registrationId, registered.registrationId);
  assert.deepEqual(services[0]?.info?.capabilities, ['a', 'b']);
  assert.equal(services[0]?.health?.health, Health.HEALTHY);
  assert.notEqual(services[0]?.registeredAt, undefined);
  const { endpoints } = await registry.getServiceEndpoints({ namespace: 'shop', name: 'enrich' });
  assert.deepEqual(
    endpoints.map(({ serviceId, endpoint, weight }) => [serviceId, endpoint?.port, weight]),
    [['shop/pod/enrich', 7000, 5]],
  );
  const none = await registry.getServiceEndpoints({ namespace: 'other', name: 'enrich' });
  assert.deepEqual(none.endpoints, []);
});

test('a repeated registration of one request id is answered as the first was', async (t) => {
  const { registry } = await start(t);
  const first = await registry.register({ service: info('a'), requestId: 'r-1' });
  const again = await registry.register({ service: info('a'), requestId: 'r-1' });
  assert.equal(again.registrationId, first.registrationId);
  const other = await registry.register({ service: info('a'), requestId: 'r-2' });
  assert.notEqual(other.registrationId, first.registrationId);
});

test('services come in pages whose tokens survive what is added between them', async (t) => {
  const { registry } = await start(t);
  for (const id of ['b', 'd', 'c']) await registry.register({ service: info(id) });
  const first = await registry.listServices({ pageSize: 2 });
  assert.deepEqual(
    first.services.map((service) => service.info?.serviceId),
    ['b', 'c'],
  );
  await registry.register({ service: info('a') });
  const second = await registry.listServices({ pageSize: 2, pageToken: first.nextPageToken });
  assert.deepEqual(
    second.services.map((service) => service.info?.serviceId),
    ['d'],
  );
  assert.equal(second.nextPageToken, '');
  await assert.rejects(
    registry.listServices({ pageToken: '%%%' }),
    saying('ETL_INVALID_ARGUMENT', /page_token/),
  );
  await assert.rejects(
    registry.listServices({ pageSize: 1001 }),
    saying('ETL_INVALID_ARGUMENT', /page_size/),
  );
});

test('registrations that lack something are refused by the name of the field', async (t) => {
  const { registry } = await start(t);
  const cases: readonly (readonly [
    MessageInitShape<typeof ServiceInfoSchema> | undefined,
    RegExp,
  ])[] = [
    [undefined, /^service is missing|^service: is missing/],
    [info(''), /service\.service_id/],
    [info('a', { name: '' }), /service\.name/],
    [info('a', { namespace: '' }), /service\.namespace/],
    [info('a', { namespace: 'Not A Label' }), /namespace/],
    [{ ...info('a'), endpoint: undefined } as never, /service\.endpoint/],
    [info('a', { endpoint: { host: '', port: 1 } }), /service\.endpoint\.host/],
    [info('a', { endpoint: { host: 'h', port: 65_536 } }), /port/],
    [info('a', { type: ServiceType.UNSPECIFIED }), /service\.type/],
    [info('a', { type: 99 as ServiceType }), /service\.type: 99/],
    [info('x'.repeat(400)), /service_id/],
    [info('a', { weight: 10_001 }), /weight/],
  ];
  for (const [service, message] of cases) {
    await assert.rejects(
      registry.register(service === undefined ? {} : { service }),
      saying('ETL_INVALID_ARGUMENT', message),
    );
  }
  await assert.rejects(
    registry.register({ service: info('a'), leaseTtlMs: 1 }),
    saying('ETL_INVALID_ARGUMENT', /lease_ttl_ms/),
  );
  await assert.rejects(
    registry.register({ service: info('a'), requestId: 'x'.repeat(129) }),
    saying('ETL_INVALID_ARGUMENT', /request_id/),
  );
  const labels = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`l${n}`, '']));
  await assert.rejects(
    registry.register({ service: info('a', { labels }) }),
    saying('ETL_LIMIT_EXCEEDED', /service\.labels/),
  );
  assert.deepEqual((await registry.listServices({})).services, []);
});

test('heartbeats are answered one by one and carry what the group gives the service', async (t) => {
  const { registry, running } = await start(t);
  const service = info('a', { groupId: 'g' });
  const { registrationId } = await registry.register({ service, leaseTtlMs: 60_000 });
  await registry.joinGroup({ groupId: 'g', memberId: 'a', stage: 'enrich' });
  await running.router.groups.assignPartitions({ groupId: 'g', partitions: ['0', '1'] });
  const beat = {
    serviceId: 'a',
    registrationId,
    health: { health: Health.DEGRADED, message: 'slow' },
  };
  const asked = Promise.withResolvers<void>();
  async function* beats(): AsyncGenerator<
    MessageInitShape<typeof HeartbeatRequestSchema>,
    void,
    void
  > {
    yield beat;
    await asked.promise;
    yield { ...beat, health: { health: Health.HEALTHY } };
  }
  const answers = registry.heartbeat(beats())[Symbol.asyncIterator]();
  const first = await next(answers);
  assert.equal(first.deadlineMs, 60_000);
  const [command] = first.commands;
  assert.equal(command?.command.case, 'own');
  assert.deepEqual(command?.command.case === 'own' && command.command.value.partitions, ['0', '1']);
  const [degraded] = (await registry.listServices({})).services;
  assert.deepEqual(
    [degraded?.health?.health, degraded?.health?.message],
    [Health.DEGRADED, 'slow'],
  );
  asked.resolve();
  await next(answers);
  const [healthy] = (await registry.listServices({})).services;
  assert.equal(healthy?.health?.health, Health.HEALTHY);
  assert.equal((await answers.next()).done, true);
});

test('a heartbeat of another registration, or with a number beyond 2^53, ends the stream', async (t) => {
  const { registry, registrationId } = await withService(t);
  const good = { serviceId: 'a', registrationId, health: { health: Health.HEALTHY } };
  const cases = [
    [{ ...good, registrationId: registrationId + 1n }, 'ETL_NOT_FOUND', /register again/],
    [{ ...good, registrationId: uint64Max }, 'ETL_INVALID_ARGUMENT', /registration_id/],
    [{}, 'ETL_INVALID_ARGUMENT', /service_id/],
    [{ ...good, health: undefined }, 'ETL_INVALID_ARGUMENT', /health/],
    [{ ...good, health: { health: 42 as Health } }, 'ETL_INVALID_ARGUMENT', /health\.health: 42/],
    [{ ...good, load: { cpuCores: Number.NaN } }, 'ETL_INVALID_ARGUMENT', /load\.cpu_cores/],
    [{ ...good, load: { memoryBytes: uint64Max } }, 'ETL_INVALID_ARGUMENT', /load\.memory_bytes/],
  ] as const;
  for (const [beat, code, message] of cases) {
    const answers = registry.heartbeat(once(beat as never))[Symbol.asyncIterator]();
    await assert.rejects(answers.next(), saying(code, message));
  }
});

test('a watch gives all, then changes, and goes on after a revision without repeating', async (t) => {
  const { registry } = await withService(t);
  const stop = new AbortController();
  const filter = { namespace: 'shop' };
  const watch = registry.watch({ filter }, { signal: stop.signal })[Symbol.asyncIterator]();
  const types = ({ events }: WatchResponse): ServiceEventType[] => events.map(({ type }) => type);
  const opening = await next(watch);
  assert.deepEqual(types(opening), [ServiceEventType.ADDED, ServiceEventType.SYNCED]);
  await registry.register({ service: info('b') });
  const added = await next(watch);
  assert.deepEqual(types(added), [ServiceEventType.ADDED]);
  assert.equal(added.events[0]?.service?.info?.serviceId, 'b');
  await registry.deregister({ serviceId: 'a' });
  const removed = await next(watch);
  assert.deepEqual(types(removed), [ServiceEventType.REMOVED]);
  assert(removed.revision > added.revision);
  stop.abort();
  await assert.rejects(watch.next(), saying('ETL_CANCELLED', /./));

  const back = registry.watch({ filter, afterRevision: added.revision })[Symbol.asyncIterator]();
  assert.deepEqual(types(await next(back)), [ServiceEventType.REMOVED]);
  await back.return?.();
  const bad = registry.watch({ afterRevision: uint64Max })[Symbol.asyncIterator]();
  await assert.rejects(bad.next(), saying('ETL_INVALID_ARGUMENT', /after_revision/));
});

test('streams end with a word to connect again when the router stops', async (t) => {
  const { registry, running } = await withService(t);
  const watch = registry.watch({})[Symbol.asyncIterator]();
  await next(watch);
  const ended = assert.rejects(watch.next(), saying('ETL_UNAVAILABLE', /connect again/));
  await running.close();
  await ended;
});

test('members of a group share it, and leaving what was left is no error', async (t) => {
  const { registry } = await start(t);
  const { generation } = await registry.joinGroup({ groupId: 'g', memberId: 'a' });
  assert(generation > 0n);
  await registry.leaveGroup({ groupId: 'g', memberId: 'a' });
  await registry.leaveGroup({ groupId: 'g', memberId: 'a' });
  await assert.rejects(registry.joinGroup({}), saying('ETL_INVALID_ARGUMENT', /group_id/));
  await assert.rejects(
    registry.leaveGroup({ groupId: 'g' }),
    saying('ETL_INVALID_ARGUMENT', /member_id/),
  );
});

test('a service that was deregistered is gone at once, or drains as long as it asked', async (t) => {
  const { registry, registrationId } = await withService(t);
  await registry.deregister({ serviceId: 'a', registrationId, drainTimeoutMs: 60_000 });
  const hidden = await registry.listServices({});
  assert.deepEqual(hidden.services, []);
  const { services } = await registry.listServices({ filter: { includeUnhealthy: true } });
  assert.equal(services[0]?.health?.health, Health.DRAINING);
  const beat = { serviceId: 'a', registrationId, health: { health: Health.HEALTHY } };
  const answers = registry.heartbeat(once(beat))[Symbol.asyncIterator]();
  assert.equal((await next(answers)).commands[0]?.command.case, 'drain');
  await registry.deregister({ serviceId: 'a' });
  await registry.deregister({ serviceId: 'a' });
  const gone = await registry.listServices({ filter: { includeUnhealthy: true } });
  assert.deepEqual(gone.services, []);
  await assert.rejects(
    registry.deregister({ serviceId: 'a', drainTimeoutMs: 600_001 }),
    saying('ETL_INVALID_ARGUMENT', /drain_timeout_ms/),
  );
  await assert.rejects(registry.deregister({}), saying('ETL_INVALID_ARGUMENT', /service_id/));
});
