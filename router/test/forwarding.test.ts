// What a client may ask of any member of a cluster, over sockets and disks: writes through a follower, reads that are
// linearizable or stale, and where the leader is when only that one will do.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { DescService } from '@bufbuild/protobuf';
import { isEtlError } from '@etl-router/core';
import { RouterAdmin } from '@etl-router/proto/admin';
import { createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { Health, ServiceRegistry } from '@etl-router/proto/registry';
import { SidecarCoordinator } from '@etl-router/proto/sidecar';
import { ChannelCredentials } from '@grpc/grpc-js';
import { type Address, formatAddress } from '../src/config/parse.ts';
import type { RunningRouter } from '../src/index.ts';
import { Cluster, shareCluster, until } from './cluster.ts';
import { allText } from './server/harness.ts';

const manifest = (path: string, object = 'in'): string =>
  JSON.stringify({
    apiVersion: 'etl.router/v1',
    kind: 'EtlSource',
    metadata: { name: object },
    spec: { file: { path, format: 'jsonl' } },
  });

const name = { kind: 'EtlSource', namespace: 'default', name: 'in' };

function clientOf<Service extends DescService>(
  t: TestContext,
  { addresses }: RunningRouter,
  service: Service,
): GrpcClient<Service> {
  const insecure = ChannelCredentials.createInsecure();
  const client = createClient(service, formatAddress(addresses.grpc), insecure);
  t.after(() => client.close());
  return client;
}

function adminOf(t: TestContext, router: RunningRouter): GrpcClient<typeof RouterAdmin> {
  return clientOf(t, router, RouterAdmin);
}

interface Answered {
  readonly data: { readonly [field: string]: unknown } | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions: {
      readonly code: string;
      readonly retryable?: boolean;
      readonly details?: { readonly [name: string]: unknown };
    };
  }[];
}

async function ask(
  { addresses: { http } }: RunningRouter,
  query: string,
  headers: { readonly [header: string]: string } = {},
): Promise<Answered> {
  assert(http !== undefined);
  const response = await fetch(`http://${formatAddress(http)}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query }),
  });
  return (await response.json()) as Answered;
}

/** What etlctl prints when it asks that member; rejects unless it succeeds. */
async function etlctl(
  { addresses: { http } }: RunningRouter,
  args: readonly string[],
  stdin = '',
): Promise<string> {
  assert(http !== undefined);
  const main = new URL('../../cli/src/main.ts', import.meta.url).pathname;
  const command = ['--conditions=etl-source', main, ...args, '-s', formatAddress(http)];
  const child = execFile(process.execPath, command);
  child.stdin?.end(stdin);
  assert(child.stdout && child.stderr);
  const [out, err] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  assert.equal(child.exitCode, 0, err);
  return out;
}

interface Three {
  readonly cluster: Cluster;
  readonly leader: number;
  readonly led: RunningRouter;
  readonly follower: RunningRouter;
}

async function rolesOf(cluster: Cluster): Promise<Three> {
  const [leader, led] = await cluster.leader();
  const follower = cluster.running.find((each) => each !== led) as RunningRouter;
  return { cluster, leader, led, follower };
}

/** A cluster of its own, for a test that stops members of it; it elects soon. */
async function three(t: TestContext): Promise<Three> {
  const cluster = await Cluster.make(t, 3, { electionMs: 1000 });
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  return await rolesOf(cluster);
}

const shared = shareCluster(3);

test('any member takes writes and shows them at once, a repeated request applies once', async (t) => {
  const { led, follower, cluster } = await rolesOf(shared());
  const [here, there] = [adminOf(t, follower), adminOf(t, led)];
  const request = { manifest: manifest('a.jsonl'), requestId: 'r-1' };
  const first = await here.applyObject(request);
  assert.equal(first.created, true);
  assert.equal(follower.router.objects.list().length, 1, 'it is applied where it was sent');
  assert.equal((await there.getObject({ name })).object?.resourceVersion, 1n);

  const again = await there.applyObject(request);
  assert.deepEqual([again.created, again.changed], [first.created, first.changed]);
  const other = { ...request, manifest: manifest('b.jsonl') };
  await assert.rejects(here.applyObject(other), { code: 'ETL_CONFLICT' });
  const { revision } = led.router;
  await Promise.all(
    cluster.running.map(async (each, at) => {
      const asked = `mutation { applyObject(input: { manifest: ${JSON.stringify(manifest(`${at}.jsonl`))} }) { outcome } }`;
      const { data } = await ask(each, asked);
      assert.deepEqual(data, { applyObject: { outcome: 'configured' } });
    }),
  );
  await led.router.barrier();
  assert.equal(led.router.revision, revision + 3);
});

test('a mutation that is sent again under its id takes effect once, at any member', async () => {
  const { led, follower } = await rolesOf(shared());
  const id = { 'x-etl-request-id': 'req-1' };
  const put = (path: string): string =>
    `applyObject(input: { manifest: ${JSON.stringify(manifest(path, 'twice'))} }) { outcome }`;
  const twice = `mutation { first: ${put('a.jsonl')} second: ${put('b.jsonl')} }`;
  const outcome = { first: { outcome: 'created' }, second: { outcome: 'configured' } };
  assert.deepEqual((await ask(follower, twice, id)).data, outcome);
  const { revision } = follower.router;
  assert.deepEqual((await ask(led, twice, id)).data, outcome);
  await follower.router.barrier();
  assert.equal(follower.router.revision, revision);
  const wrong = await ask(led, `mutation { ${put('c.jsonl')} }`, { 'x-etl-request-id': 'a b' });
  assert.deepEqual(wrong.data, { applyObject: { outcome: null } });
});

test('an operator that is fenced at one member is fenced at all, at once', async (t) => {
  const { cluster } = await rolesOf(shared());
  const admins = cluster.running.map((each) => adminOf(t, each));
  const under = (epoch: number): object => ({ metadata: { 'etl-operator-epoch': String(epoch) } });
  const change = { manifest: manifest('a.jsonl', 'fenced') };
  let epoch = 1;
  for (const [at, admin] of admins.entries()) {
    await admin.applyObject(change, under(epoch + 1));
    for (const other of [...admins.slice(at), ...admins.slice(0, at)])
      await assert.rejects(other.applyObject(change, under(epoch)), { code: 'ETL_FENCED' });
    epoch += 1;
  }
  await Promise.all(admins.map((admin) => admin.applyObject(change, under(epoch))));
});

test('what only the leader does says who leads and where', async (t) => {
  const { led, follower } = await rolesOf(shared());
  await until(() => hint(follower)['httpAddress'] !== undefined);
  const leads = led.router.cluster();
  const expected = {
    leader: leads.nodeId,
    leaderName: leads.nodeName,
    grpcAddress: formatAddress(led.addresses.grpc),
    httpAddress: led.addresses.http && formatAddress(led.addresses.http),
  };
  assert.deepEqual(hint(follower), expected);
  const transfer = 'mutation { transferLeadership { success } }';
  const { errors } = await ask(follower, transfer);
  assert.equal(errors?.[0]?.extensions.code, 'ETL_NOT_LEADER');
  assert.deepEqual(errors?.[0]?.extensions.details, expected);
  await assert.rejects(adminOf(t, follower).transferLeadership({}), {
    code: 'ETL_NOT_LEADER',
    retryable: true,
    details: expected,
  });
  const registry = clientOf(t, follower, ServiceRegistry);
  const beats = registry.heartbeat(
    (async function* () {
      yield { serviceId: 's-1', registrationId: 1n, health: { health: Health.HEALTHY } };
    })(),
  );
  await assert.rejects(beats[Symbol.asyncIterator]().next(), { details: expected });

  const members = '{ clusterStatus { members { name grpcAddress httpAddress } } }';
  const { data } = await ask(follower, members);
  const shown = data?.['clusterStatus'] as { readonly members: readonly object[] } | undefined;
  const listed = shown?.members ?? [];
  assert.equal(listed.length, 3);
  assert.deepEqual(
    listed.find((each) => 'name' in each && each.name === leads.nodeName),
    {
      name: leads.nodeName,
      grpcAddress: expected.grpcAddress,
      httpAddress: expected.httpAddress,
    },
  );
});

test('what a leader alone tells ends, with a word on who leads, when it ceases to', async (t) => {
  const { led, follower } = await rolesOf(shared());
  const sidecar = { sidecarId: 'shop/pod', namespace: 'shop', connectors: ['file'] };
  const { registrationId } = await clientOf(t, follower, SidecarCoordinator).registerSidecar({
    sidecar,
  });
  await led.router.objects.applyText(allText);
  const id = { sidecarId: 'shop/pod', registrationId };
  const coordinator = clientOf(t, led, SidecarCoordinator);
  const assignments = coordinator.watchPipelineAssignments(id)[Symbol.asyncIterator]();
  while ((await assignments.next()).value?.assign.length === 0);
  const services = clientOf(t, led, ServiceRegistry).watch({})[Symbol.asyncIterator]();
  await services.next();
  const query = encodeURIComponent(
    'subscription { pipelineRates(pipelineId: "shop/orders") { at } }',
  );
  const http = led.addresses.http as Address;
  const rates = await fetch(`http://${formatAddress(http)}/graphql?query=${query}`, {
    headers: { accept: 'text/event-stream' },
  });
  assert.equal(rates.status, 200);
  const events = rates.text();

  await led.router.members.transfer(follower.router.cluster().nodeId);
  await assert.rejects(assignments.next(), { code: 'ETL_NOT_LEADER' });
  assert.match(await events, /"code":"ETL_NOT_LEADER"/);
  assert.equal(led.router.pipelines.get('shop/orders')?.phase, 'unknown');
  const beat = { ...id, health: Health.HEALTHY };
  await assert.rejects(coordinator.heartbeat(beat), { code: 'ETL_NOT_LEADER' });
  await until(() => follower.router.cluster().role === 'leader');
  await clientOf(t, follower, SidecarCoordinator).heartbeat(beat);

  const next = services.next();
  const input =
    '{ serviceId: "s-1", serviceName: "mask", serviceType: TRANSFORM, endpoint: "127.0.0.1:1" }';
  const { data } = await ask(led, `mutation { registerService(input: ${input}) { success } }`);
  assert.deepEqual(data, { registerService: { success: true } });
  assert.equal((await next).value?.events.length, 1, 'what all know goes on');
});

test('etlctl needs to know one member only, whichever leads', async () => {
  const { led, follower, cluster } = await rolesOf(shared());
  await until(() => hint(follower)['httpAddress'] !== undefined);
  const applied = await etlctl(follower, ['apply', '-f', '-'], manifest('a.jsonl', 'by-hand'));
  assert.match(applied, /created/);
  assert.match(await etlctl(led, ['get', 'sources', '-o', 'name']), /^source\/by-hand$/m);
  const target = follower.router.cluster().nodeName;
  assert.match(await etlctl(follower, ['cluster', 'transfer', target]), /leads$/m);
  const [leads] = await cluster.leader();
  assert.equal(String(leads), target);
});

test('a write goes through while another member takes the lead', async (t) => {
  const { cluster, leader, follower } = await three(t);
  const admin = adminOf(t, follower);
  await admin.applyObject({ manifest: manifest('a.jsonl') });
  const stopped = cluster.stop(leader);
  const done = await admin.applyObject({
    manifest: manifest('b.jsonl'),
    requestId: 'r-2',
  });
  assert.equal(done.changed, true);
  await stopped;
  const other = cluster.running.find((each) => each !== follower) as RunningRouter;
  const { object } = await adminOf(t, other).getObject({ name });
  assert.equal(object?.resourceVersion, 2n);
});

test('a member that is left alone answers only stale reads, and says so soon', async (t) => {
  const { cluster, follower } = await three(t);
  const admin = adminOf(t, follower);
  await admin.applyObject({ manifest: manifest('a.jsonl') });
  const self = Number(follower.router.cluster().nodeName);
  await Promise.all([1, 2, 3].filter((id) => id !== self).map((id) => cluster.stop(id)));
  const sinceMs = performance.now();
  const objects = '{ objects { name } }';
  const [{ errors }] = await Promise.all([
    ask(follower, objects),
    assert.rejects(admin.getObject({ name }), isUnavailable),
    assert.rejects(admin.applyObject({ manifest: manifest('b.jsonl') }), (error) => {
      assert(isEtlError(error));
      assert.equal(error.code, 'ETL_UNAVAILABLE');
      return true;
    }),
  ]);
  // It gives up after five elections, which are 5 s; the rest is for a machine that is busy.
  assert(performance.now() - sinceMs < 30_000);
  assert.equal(errors?.[0]?.extensions.code, 'ETL_UNAVAILABLE');
  assert.equal(errors?.[0]?.extensions.retryable, true);
  const stale = { 'x-etl-consistency': 'stale' };
  assert.deepEqual((await ask(follower, objects, stale)).data, { objects: [{ name: 'in' }] });
  const { object } = await admin.getObject({ name }, { metadata: stale });
  assert.equal(object?.resourceVersion, 1n);
  const { data } = await ask(follower, '{ clusterStatus { health } version { version } }');
  assert.deepEqual(data?.['clusterStatus'], { health: 'UNHEALTHY' });
  const wrong = await ask(follower, objects, { 'x-etl-consistency': 'fresh' });
  assert.equal(wrong.errors?.[0]?.extensions.code, 'ETL_INVALID_ARGUMENT');
});

function isUnavailable(error: unknown): boolean {
  return isEtlError(error) && error.code === 'ETL_UNAVAILABLE' && error.retryable;
}

/** What a member tells of the leader. */
function hint({ router }: RunningRouter): { readonly [detail: string]: unknown } {
  try {
    router.checkLeads('do it');
  } catch (error) {
    if (isEtlError(error)) return error.details;
  }
  return {};
}
