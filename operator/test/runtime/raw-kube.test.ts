import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isEtlError, ManualClock } from '@etl-router/core';
import { isConflict, isStatus } from '../../src/runtime/api-error.ts';
import { KubeConnection } from '../../src/runtime/connection.ts';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';
import { RawKube } from '../../src/runtime/raw-kube.ts';
import { FaultyApiServer } from '../faulty-api-server/faulty-api-server.ts';
import { selfSigned } from '../faulty-api-server/self-signed.ts';
import {
  configMaps,
  eventually,
  objectOf,
  pods,
  refTo,
  startBench,
  turns,
  widgets,
} from './harness.ts';

const manager = { fieldManager: 'etl-operator' };

test('fields that nobody here knows survive reading and applying', async (t) => {
  const { client } = await startBench(t);
  const made = objectOf(pods, 'a', { spec: { newUnknownField: { deep: [1, 2] } } });
  await client.create(pods, made);
  const read = await client.get<UntypedObject>(refTo(pods, 'a'));
  assert.deepEqual(read['spec'], { newUnknownField: { deep: [1, 2] } });
  await client.apply(
    refTo(pods, 'a'),
    objectOf(pods, 'a', { metadata: { labels: { x: 'y' } } }),
    manager,
  );
  const after = await client.get<UntypedObject>(refTo(pods, 'a'));
  assert.deepEqual(after['spec'], { newUnknownField: { deep: [1, 2] } });
});

test('two hundred calls share a few connections', async (t) => {
  const { server, client } = await startBench(t);
  for (let call = 0; call < 200; call++) await client.listPage(pods);
  assert.equal(server.connections, 1);
});

test('a list comes in pages, and its items say their kind', async (t) => {
  const { client } = await startBench(t);
  for (const name of ['a', 'b', 'c']) await client.create(pods, objectOf(pods, name));
  const first = await client.listPage(pods, { namespace: 'shop' }, { limit: 2 });
  assert.deepEqual(
    first.items.map(({ kind, metadata }) => [kind, metadata.name]),
    [
      ['Pod', 'a'],
      ['Pod', 'b'],
    ],
  );
  const second = await client.listPage(
    pods,
    { namespace: 'shop' },
    { limit: 2, continue: first.continue },
  );
  assert.deepEqual(
    second.items.map(({ metadata }) => metadata.name),
    ['c'],
  );
  assert.equal(second.continue, undefined);
  assert.equal(second.resourceVersion, first.resourceVersion);
});

test('metadata alone is read where only metadata is asked for', async (t) => {
  const { client } = await startBench(t);
  await client.create(pods, objectOf(pods, 'a', { data: { secret: 'canary' } }));
  const page = await client.listPage(pods, { metadataOnly: true });
  assert.doesNotMatch(JSON.stringify(page), /canary/);
  assert.equal(page.items[0]?.metadata.name, 'a');
});

test('a call that is never answered ends at its deadline', async (t) => {
  const { server, client, until } = await startBench(t);
  server.faults.add({ verb: 'patch' }, { do: 'hang' });
  let failure: unknown;
  const call = client.apply(refTo(pods, 'a'), objectOf(pods, 'a'), {
    ...manager,
    deadlineMs: 5000,
  });
  call.catch((error: unknown) => {
    failure = error;
  });
  await until(() => failure !== undefined, 'the deadline');
  assert.ok(isEtlError(failure) && failure.code === 'ETL_TIMEOUT', String(failure));
});

test('Retry-After is honoured, and the call succeeds after it', async (t) => {
  const { server, client, clock, until, metric } = await startBench(t);
  server.faults.add({ verb: 'list' }, { do: 'status', status: 429, retryAfterSeconds: 7 }, 2);
  const startMs = clock.monotonicMs();
  let done = false;
  const call = client.listPage(pods).then(() => {
    done = true;
  });
  await until(() => done, 'the answer', 100);
  await call;
  assert.ok(clock.monotonicMs() - startMs >= 14_000);
  const labels = { method: 'GET', host: new URL(server.url).host };
  assert.equal(await metric('rest_client_requests_total', { ...labels, code: '429' }), 2);
  assert.equal(await metric('rest_client_requests_total', { ...labels, code: '200' }), 1);
});

test('500 without Retry-After is told at once', async (t) => {
  const { server, client } = await startBench(t);
  server.faults.add({}, { do: 'status', status: 500 }, 1);
  await assert.rejects(client.listPage(pods), (error) => isStatus(error, 500) && error.retryable);
});

test('thirty calls go at once, then twenty a second', async (t) => {
  const { server, client, clock, until } = await startBench(t, { callsPerSecond: 20, burst: 30 });
  const calls = Array.from({ length: 50 }, () => client.listPage(pods));
  await eventually(() => server.requests.length === 30, 'the burst');
  await turns();
  assert.equal(server.requests.length, 30);
  const startMs = clock.monotonicMs();
  await until(() => server.requests.length === 50, 'the rest');
  await Promise.all(calls);
  const tookMs = clock.monotonicMs() - startMs;
  assert.ok(tookMs >= 950 && tookMs < 1500, String(tookMs));
});

test('nothing that changes something is sent by a process that may not write', async (t) => {
  let leads = false;
  const { server, client } = await startBench(t, { mayWrite: () => leads });
  const refused = (error: unknown): boolean => isEtlError(error) && error.code === 'ETL_NOT_LEADER';
  const ref = refTo(pods, 'a');
  await assert.rejects(client.create(pods, objectOf(pods, 'a')), refused);
  await assert.rejects(client.apply(ref, objectOf(pods, 'a'), manager), refused);
  await assert.rejects(client.applyStatus(ref, objectOf(pods, 'a'), manager), refused);
  await assert.rejects(client.jsonPatch(ref, []), refused);
  await assert.rejects(client.replace(ref, objectOf(pods, 'a')), refused);
  await assert.rejects(client.delete(ref), refused);
  await assert.rejects(client.createEvent(objectOf(pods, 'a')), refused);
  assert.equal(server.requests.length, 0);
  await client.listPage(pods);
  leads = true;
  await client.create(pods, objectOf(pods, 'a'));
});

test('who lost the lease while the server asked to wait does not write after it', async (t) => {
  let leads = true;
  const { server, client, until } = await startBench(t, { mayWrite: () => leads });
  server.faults.add({ verb: 'create' }, { do: 'status', status: 429, retryAfterSeconds: 5 }, 1);
  let failure: unknown;
  client.create(pods, objectOf(pods, 'a')).catch((error: unknown) => {
    failure = error;
  });
  await turns();
  leads = false;
  await until(() => failure !== undefined, 'the refusal', 100);
  assert.ok(isEtlError(failure) && failure.code === 'ETL_NOT_LEADER');
  assert.equal(server.writes.length, 0);
});

test('another object of the same name is not deleted', async (t) => {
  const { client } = await startBench(t);
  const first = await client.create(pods, objectOf(pods, 'a'));
  await client.delete(refTo(pods, 'a'), { uid: first.metadata.uid });
  await client.create(pods, objectOf(pods, 'a'));
  await assert.rejects(client.delete(refTo(pods, 'a'), { uid: first.metadata.uid }), isConflict);
  await client.get(refTo(pods, 'a'));
});

test('a patch whose test fails changes nothing', async (t) => {
  const { client } = await startBench(t);
  await client.create(configMaps, objectOf(configMaps, 'a', { data: { x: '1' } }));
  const ref = refTo(configMaps, 'a');
  const to = (was: string) => [
    { op: 'test', path: '/data/x', value: was } as const,
    { op: 'replace', path: '/data/x', value: '2' } as const,
  ];
  await assert.rejects(client.jsonPatch(ref, to('other')), (error) => isStatus(error, 422));
  assert.deepEqual((await client.jsonPatch<UntypedObject>(ref, to('1')))['data'], { x: '2' });
});

test('status and the rest are written apart', async (t) => {
  const { client } = await startBench(t);
  const ref = refTo(widgets, 'a');
  await client.apply(ref, objectOf(widgets, 'a', { spec: { n: 1 }, status: { n: 9 } }), manager);
  const applied = await client.applyStatus<UntypedObject>(
    ref,
    objectOf(widgets, 'a', { spec: { n: 7 }, status: { n: 2 } }),
    { fieldManager: 'etl-operator-status' },
  );
  assert.deepEqual([applied['spec'], applied['status']], [{ n: 1 }, { n: 2 }]);
});

test('a conflict of managers is an error unless it is forced', async (t) => {
  const { client } = await startBench(t);
  const ref = refTo(widgets, 'a');
  await client.apply(ref, objectOf(widgets, 'a', { spec: { n: 1, m: 1 } }), {
    fieldManager: 'kubectl',
  });
  const ours = objectOf(widgets, 'a', { spec: { n: 2 } });
  await assert.rejects(client.apply(ref, ours, { ...manager, force: false }), isConflict);
  const after = await client.apply<UntypedObject>(ref, ours, manager);
  assert.deepEqual(after['spec'], { n: 2, m: 1 });
});

test('a connection that was reset is an error with a way out, and the next call goes through', async (t) => {
  const { server, client } = await startBench(t);
  server.faults.add({ verb: 'create' }, { do: 'reset' }, 1);
  await assert.rejects(
    client.create(pods, objectOf(pods, 'a')),
    (error) => isEtlError(error) && error.code === 'ETL_UNAVAILABLE',
  );
  await client.create(pods, objectOf(pods, 'a'));
});

test('a token file that changed is read again after a 401', async (t) => {
  const { server, clock } = await startBench(t);
  const folder = await mkdtemp(join(tmpdir(), 'etl-token-'));
  t.after(() => rm(folder, { recursive: true }));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, 'old');
  const connection = new KubeConnection(
    server.kubeConfig({ authProvider: { name: 'tokenFile', config: { tokenFile } } }),
    clock,
  );
  t.after(() => connection.close());
  const client = new RawKube({ connection, clock });
  await client.listPage(pods);
  assert.equal(server.lastAuthorization, 'Bearer old');
  await writeFile(tokenFile, 'new');
  server.faults.add({}, { do: 'status', status: 401 }, 1);
  await assert.rejects(client.listPage(pods), (error) => isStatus(error, 401));
  await client.listPage(pods);
  assert.equal(server.lastAuthorization, 'Bearer new');
});

test('a certificate file that changed means new connections; what is under way ends on the old one', async (t) => {
  const { server, clock } = await startBench(t);
  const folder = await mkdtemp(join(tmpdir(), 'etl-cert-'));
  t.after(() => rm(folder, { recursive: true }));
  const certFile = join(folder, 'cert');
  await writeFile(certFile, 'one');
  const connection = new KubeConnection(server.kubeConfig({ certFile }), clock);
  t.after(() => connection.close());
  const client = new RawKube({ connection, clock, burst: 100 });
  await client.listPage(pods);
  await client.listPage(pods);
  assert.equal(server.connections, 1);
  await writeFile(certFile, 'two');
  clock.advance(10_001);
  await client.listPage(pods);
  assert.equal(server.connections, 2);
  clock.advance(10_001);
  await client.listPage(pods);
  assert.equal(server.connections, 2);
});

test('an authority that is replaced on disk is trusted from then on, and no other one', async (t) => {
  const clock = new ManualClock();
  const folder = await mkdtemp(join(tmpdir(), 'etl-ca-'));
  t.after(() => rm(folder, { recursive: true }));
  const caFile = join(folder, 'ca.crt');
  const [old, anew] = [selfSigned(), selfSigned()];
  await writeFile(caFile, old.cert);
  const server = await FaultyApiServer.start(clock, old);
  t.after(() => server.close());
  const connection = new KubeConnection(server.kubeConfig({}, { caFile }), clock);
  t.after(() => connection.close());
  const client = new RawKube({ connection, clock });
  await client.listPage(pods);
  await client.listPage(pods);
  assert.equal(server.connections, 1);
  server.renew(anew);
  const untrusted = (error: unknown): boolean =>
    isEtlError(error) && error.code === 'ETL_UNAVAILABLE' && /certificate/.test(error.message);
  await assert.rejects(client.listPage(pods), untrusted);
  await writeFile(caFile, anew.cert);
  clock.advance(10_001);
  await client.listPage(pods);
});
