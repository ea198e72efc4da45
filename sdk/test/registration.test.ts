// Services that make themselves known to a router, which is a real one in a folder of its own.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLogger, sleep, systemClock } from '@etl-router/core';
import { createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { ServiceRegistry } from '@etl-router/proto/registry';
import { loadConfig, type RunningRouter, startRouter } from '@etl-router/router';
import { type RunningService, serveTransform } from '@etl-router/sdk';
import { credentials } from '@grpc/grpc-js';
import { quiet } from './fixture.ts';

interface Fixture {
  readonly running: RunningRouter;
  readonly address: string;
  readonly registry: GrpcClient<typeof ServiceRegistry>;
}

async function startRegistry(t: TestContext, listen = '127.0.0.1:0'): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), 'etl-sdk-'));
  const flags = {
    'listen-addr': listen,
    'http-addr': 'off',
    'metrics-addr': 'off',
    'data-dir': directory,
  };
  const { config } = loadConfig({ flags, env: {}, file: undefined });
  const version = { version: '0.0.0', commit: 'none' };
  const running = await startRouter({ config, logger: silentLogger, version, drainMs: 0 });
  const address = `127.0.0.1:${running.addresses.grpc.port}`;
  const registry = createClient(ServiceRegistry, address, credentials.createInsecure());
  t.after(async () => {
    registry.close();
    await running.close();
    await rm(directory, { recursive: true, force: true });
  });
  return { running, address, registry };
}

function serveRegistered(router: string): Promise<RunningService> {
  return serveTransform({
    name: 'enrich',
    ...quiet,
    process: (record) => record,
    recordTypes: ['order'],
    register: {
      router,
      service: 'enrich',
      namespace: 'shop',
      labels: { zone: 'a' },
      leaseTtlMs: 3000,
    },
  });
}

const wanted = { namespace: 'shop', name: 'enrich' };

async function endpoints({ registry }: Fixture): Promise<string[]> {
  const answer = await registry.getServiceEndpoints(wanted);
  return answer.endpoints.map(({ endpoint }) => `${endpoint?.host}:${endpoint?.port}`);
}

test('a registered service is found by name, beats, and is gone when it closes', async (t) => {
  const fixture = await startRegistry(t);
  const service = await serveRegistered(fixture.address);
  await service.registered;
  assert.deepEqual(await endpoints(fixture), [service.address]);
  const beats = async (): Promise<bigint | undefined> => {
    const { services } = await fixture.registry.listServices({ filter: wanted });
    const last = services[0]?.lastHeartbeatAt;
    return last === undefined ? undefined : last.seconds * 1000n + BigInt(last.nanos) / 1_000_000n;
  };
  const { services } = await fixture.registry.listServices({ filter: wanted });
  assert.equal(services[0]?.info?.serviceId, `shop/enrich/${service.address}`);
  assert.deepEqual(services[0]?.info?.recordTypes, ['order']);
  assert.deepEqual(services[0]?.info?.labels, { zone: 'a' });
  let first = await beats();
  while (first === undefined) first = await beats();
  while ((await beats()) === first) await sleep(systemClock, 20);
  await service.close();
  assert.deepEqual(await endpoints(fixture), []);
});

test('a service that was forgotten registers again', async (t) => {
  const fixture = await startRegistry(t);
  const service = await serveRegistered(fixture.address);
  t.after(() => service.close());
  await service.registered;
  const serviceId = `shop/enrich/${service.address}`;
  await fixture.registry.deregister({ serviceId, requestId: 'forget' });
  while ((await endpoints(fixture)).length === 0) await sleep(systemClock, 20);
  assert.deepEqual(await endpoints(fixture), [service.address]);
});

test('a service outlives its router and registers with the next one', async (t) => {
  const first = await startRegistry(t);
  const service = await serveRegistered(first.address);
  t.after(() => service.close());
  await service.registered;
  await first.running.close();
  const next = await startRegistry(t, first.address);
  while ((await endpoints(next)).length === 0) await sleep(systemClock, 20);
  assert.deepEqual(await endpoints(next), [service.address]);
});

test('a service that never meets its router closes all the same', async () => {
  const service = await serveRegistered('127.0.0.1:1');
  await service.close();
  await service.registered;
});
