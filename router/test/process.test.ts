import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '@etl-router/core';
import { ChannelCredentials, Client } from '@grpc/grpc-js';
import { formatAddress } from '../src/config/parse.ts';
import { startRouter } from '../src/process.ts';
import {
  atEnd,
  type Fixture,
  healthOf,
  makeConfig,
  makeDirectory,
  saying,
  start,
} from './api/fixture.ts';
import { allText, pipelineText, sinkText, sourceText } from './server/harness.ts';

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const version = { version: '1.2.3', commit: 'abc' };
const free = [
  '--listen-addr',
  '127.0.0.1:0',
  '--http-addr',
  '127.0.0.1:0',
  '--metrics-addr',
  'off',
];

interface Program {
  readonly graphql: string;
  stop(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Runs the program until it is ready. */
async function run(t: TestContext, args: readonly string[]): Promise<Program> {
  const child = spawn(process.execPath, ['--conditions=etl-source', program, ...args], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const gone = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  atEnd(t, () => void child.kill('SIGKILL'));
  for await (const line of createInterface({ input: child.stderr })) {
    const { msg, http } = JSON.parse(line) as { msg: string; http: string };
    if (msg !== 'the router is ready') continue;
    child.stderr.resume();
    return {
      graphql: `http://${http}/graphql`,
      stop: async (signal) => {
        child.kill(signal);
        const [code, by] = await gone;
        return { code, signal: by };
      },
    };
  }
  throw new Error('the program ended before it was ready');
}

/** Runs the program to its end. */
async function runToEnd(
  args: readonly string[],
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const child = spawn(process.execPath, ['--conditions=etl-source', program, ...args]);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

async function ask(url: string, query: string, variables: object = {}): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as { data: unknown; errors?: unknown };
  assert.equal(errors, undefined);
  return data;
}

const applyDocument = `mutation Apply($manifest: String!) {
  applyObject(input: { manifest: $manifest }) { success message outcome }
}`;
const objectsDocument = 'query { objects { kind namespace name resourceVersion } }';

test('what was applied is there after kill -9, and SIGTERM ends with 0', async (t) => {
  const directory = await makeDirectory(t);
  const args = [...free, '--data-dir', directory];
  const first = await run(t, args);
  for (const manifest of [sourceText, sinkText, pipelineText]) {
    await ask(first.graphql, applyDocument, { manifest });
  }
  const before = await ask(first.graphql, objectsDocument);
  assert.equal((before as { objects: unknown[] }).objects.length, 3);
  assert.equal((await first.stop('SIGKILL')).signal, 'SIGKILL');
  const second = await run(t, args);
  assert.deepEqual(await ask(second.graphql, objectsDocument), before);
  assert.deepEqual(await second.stop('SIGTERM'), { code: 0, signal: null });
});

test('SIGTERM ends a router that still waits for its peers', { timeout: 30_000 }, async (t) => {
  const directory = await makeDirectory(t);
  const peers = ['--insecure', '--node-id', '1', '--peers', '2@127.0.0.1:1'];
  const args = ['--conditions=etl-source', program, ...free, '--data-dir', directory, ...peers];
  const child = spawn(process.execPath, args);
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('waiting for the cluster')) resolve();
    });
    child.once('close', () => resolve());
  });
  child.kill('SIGTERM');
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  assert.deepEqual([code, signal], [0, null], said);
});

test('a state beyond the interval of snapshots is the same after a restart', async (t) => {
  const directory = await makeDirectory(t);
  const base = makeConfig(directory);
  const config = { ...base, cluster: { ...base.cluster, snapshotInterval: 100 } };
  const first = await startRouter({ config, logger: silentLogger, version });
  for (let at = 0; at < 350; at++) {
    const labels = { at: String(at) };
    await first.router.registry.register({
      serviceId: `svc-${at % 7}`,
      name: 'enrich',
      namespace: 'shop',
      type: 'transform',
      endpoint: { host: '127.0.0.1', port: 7000, tls: false },
      labels,
    });
  }
  const services = first.router.registry.list().map(({ labels, revision }) => [labels, revision]);
  assert(first.router.cluster().snapshotIndex >= 100);
  await first.close();
  const second = await startRouter({ config, logger: silentLogger, version });
  atEnd(t, () => second.close());
  assert.deepEqual(
    second.router.registry.list().map(({ labels, revision }) => [labels, revision]),
    services,
  );
  assert(second.router.cluster().firstIndex > 100, 'what snapshots stand for was released');
});

test('a configuration with faults ends with 78 and every fault; help and print-config end with 0', async (t) => {
  const directory = await makeDirectory(t);
  const data = ['--data-dir', directory];
  const [bad, unknown, help, print] = await Promise.all([
    runToEnd(['--node-id', 'zero', '--log-level', 'loud', ...data]),
    runToEnd(['--nod-id', '1']),
    runToEnd(['--help']),
    runToEnd([...free, '--print-config', ...data]),
  ]);
  assert.equal(bad.code, 78);
  assert.match(bad.err, /2 faults/);
  assert.match(bad.err, /--node-id/);
  assert.match(bad.err, /--log-level/);
  assert.equal(unknown.code, 78);
  assert.match(unknown.err, /--nod-id/);
  assert.deepEqual([help.code, help.err], [0, '']);
  assert.match(help.out, /--listen-addr/);
  assert.equal(print.code, 0);
  assert.match(print.out, /node\.listen_addr +127\.0\.0\.1:0 +flag/);
});

test('damaged storage ends with 65 and one line that says where', async (t) => {
  const directory = await makeDirectory(t);
  await (
    await startRouter({ config: makeConfig(directory), logger: silentLogger, version })
  ).close();
  await writeFile(`${directory}/router/identity.json`, '{"formatVersion":1}');
  const ended = await runToEnd([...free, '--log-level', 'silent', '--data-dir', directory]);
  assert.equal(ended.code, 65);
  assert.match(ended.err, /^etl-router: ETL_STORAGE_CORRUPT: .*identity\.json.*\n$/);
});

test('a taken port is named by its flag, and nothing stays open', async (t) => {
  const { running } = await start(t);
  const taken = formatAddress(running.addresses.grpc);
  const http = formatAddress(running.addresses.http ?? running.addresses.grpc);
  const directory = await makeDirectory(t);
  const cases = [
    [{ 'listen-addr': taken }, /--listen-addr: .* is in use/],
    [{ 'http-addr': http }, /--http-addr: .* is in use/],
  ] as const;
  for (const [flags, message] of cases) {
    const config = makeConfig(directory, flags);
    await assert.rejects(
      startRouter({ config, logger: silentLogger, version }),
      saying('ETL_PORT_IN_USE', message),
    );
  }
  const after = await startRouter({ config: makeConfig(directory), logger: silentLogger, version });
  await after.close();
});

test('a data directory has one router at a time', async (t) => {
  const directory = await makeDirectory(t);
  await start(t, { config: makeConfig(directory) });
  await assert.rejects(
    startRouter({ config: makeConfig(directory), logger: silentLogger, version }),
    saying('ETL_CONFLICT', /in use by process/),
  );
});

test('health, probes and metrics say that it leads', async (t) => {
  const config = makeConfig(await makeDirectory(t), { 'metrics-addr': '127.0.0.1:0' });
  const { running } = await start(t, { config });
  const { http, metrics } = running.addresses;
  assert(http !== undefined && metrics !== undefined);
  const get = async (address: typeof http, path: string): Promise<string> =>
    (await fetch(`http://${formatAddress(address)}${path}`)).text();
  assert.deepEqual(JSON.parse(await get(http, '/health')), {
    status: 'healthy',
    nodeId: '1',
    isLeader: true,
    leaderId: '1',
  });
  assert.match(await get(metrics, '/readyz'), /\nok\n$/);
  const text = await get(metrics, '/metrics');
  for (const line of [
    'etl_router_is_leader 1',
    'etl_router_term 2',
    'etl_router_commit_index 2',
    'etl_router_applied_index 2',
  ]) {
    assert(text.includes(`\n${line}\n`), line);
  }
  assert.match(text, /\nprocess_cpu_user_seconds_total /);
});

test('who stops says so first, hands over while it still answers, and stops then', async (t) => {
  const config = makeConfig(await makeDirectory(t), { 'metrics-addr': '127.0.0.1:0' });
  const fixture = await start(t, { config });
  const { running, address } = fixture;
  const { router, addresses } = running;
  assert(addresses.metrics !== undefined);
  const readiness = `http://${formatAddress(addresses.metrics)}/readyz`;
  const client = new Client(address, ChannelCredentials.createInsecure());
  atEnd(t, () => client.close());
  const [self] = router.members.list();
  assert(self !== undefined);
  t.mock.method(router.members, 'list', () => [self, { ...self, id: 2, role: 'voter' }]);
  const seen: unknown[] = [];
  t.mock.method(router.members, 'transfer', async () => {
    const ready = await fetch(readiness, { headers: { connection: 'close' } });
    seen.push(ready.status, /^\[-\] process: it stops$/m.test(await ready.text()));
    seen.push(await healthOf(client));
    seen.push(await dataOf(fixture, 'query { version { version } }'));
    return '2';
  });
  await running.close();
  assert.deepEqual(seen, [503, true, 'not serving', { version: { version: '1.2.3' } }]);
  await assert.rejects(fetch(readiness));
});

async function dataOf(fixture: Fixture, document: string): Promise<unknown> {
  const { data, errors } = await fixture.graphql(document);
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data === undefined ? undefined : JSON.parse(JSON.stringify(data));
}

test('documents of the earlier system are answered letter by letter', async (t) => {
  const fixture = await start(t);
  await fixture.registry.register({
    service: {
      serviceId: 'svc-1',
      name: 'enrich',
      namespace: 'default',
      type: 2,
      endpoint: { host: '10.0.0.1', port: 7000 },
    },
  });
  assert.deepEqual(
    await dataOf(fixture, 'query { clusterStatus { nodeId role currentTerm leaderId } }'),
    { clusterStatus: { nodeId: '1', role: 'LEADER', currentTerm: '2', leaderId: '1' } },
  );
  assert.deepEqual(
    await dataOf(fixture, 'query { services { serviceId serviceType endpoint health } }'),
    {
      services: [
        {
          serviceId: 'svc-1',
          serviceType: 'TRANSFORM',
          endpoint: '10.0.0.1:7000',
          health: 'HEALTHY',
        },
      ],
    },
  );
  const created = (await dataOf(
    fixture,
    'mutation { createPipeline(input: { pipelineId: "my-pipeline" name: "My Pipeline" config: "..." }) { success message } }',
  )) as { createPipeline: { success: boolean; message: string } };
  assert.equal(created.createPipeline.success, false);
  assert.match(created.createPipeline.message, /^config: /);
});

test('a pipeline is applied, shown, paused, resumed and deleted by GraphQL', async (t) => {
  const fixture = await start(t);
  const texts = allText.split('---');
  for (const manifest of texts) {
    const { data } = await fixture.graphql(applyDocument, { manifest });
    assert.deepEqual(data?.['applyObject'], { success: true, message: null, outcome: 'created' });
  }
  const show =
    'query { pipeline(pipelineId: "shop/orders") { pipelineId name enabled state phase stages { name kind connector } } }';
  assert.deepEqual(await dataOf(fixture, show), {
    pipeline: {
      pipelineId: 'shop/orders',
      name: 'orders',
      enabled: true,
      state: 'running',
      phase: 'pending',
      stages: [
        { name: 'in', kind: 'source', connector: 'file' },
        { name: 'out', kind: 'sink', connector: 'file' },
      ],
    },
  });
  const change = async (field: string): Promise<unknown> => {
    const document = `mutation { ${field}(pipelineId: "shop/orders") { success message } }`;
    return ((await dataOf(fixture, document)) as { [name: string]: unknown })[field];
  };
  assert.deepEqual(await change('disablePipeline'), {
    success: true,
    message: 'pipeline shop/orders disabled',
  });
  assert.equal(fixture.running.router.pipelines.get('shop/orders')?.pipeline?.state, 'paused');
  assert.deepEqual(await change('enablePipeline'), {
    success: true,
    message: 'pipeline shop/orders enabled',
  });
  assert.deepEqual(await change('deletePipeline'), {
    success: true,
    message: 'pipeline shop/orders deleted',
  });
  assert.deepEqual(await dataOf(fixture, show), { pipeline: null });
  assert.deepEqual(await change('deletePipeline'), {
    success: false,
    message: 'EtlPipeline shop/orders does not exist',
  });
});

test('the log is seen in the metrics: its size, its quota and the time of its syncs', async (t) => {
  const flags = { 'metrics-addr': '127.0.0.1:0', 'log-quota-bytes': '16777216' };
  const config = makeConfig(await makeDirectory(t), flags);
  const running = await startRouter({ config, logger: silentLogger, version });
  atEnd(t, () => running.close());
  await running.router.objects.applyText(allText);
  const { metrics } = running.addresses;
  assert(metrics !== undefined);
  const text = await (await fetch(`http://${formatAddress(metrics)}/metrics`)).text();
  const valueOf = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  assert.equal(valueOf('etl_router_log_quota_bytes'), 16_777_216);
  assert.equal(valueOf('etl_router_log_bytes'), running.router.cluster().logBytes);
  assert(valueOf('etl_router_log_sync_seconds_count') >= 2);
  assert(valueOf('etl_router_log_sync_seconds_sum') > 0);
  assert(valueOf('etl_router_log_written_bytes_total') > 0);
});

test('a quota too small for a segment is refused by the name of its setting', async () => {
  await assert.rejects(
    async () => makeConfig('/data', { 'log-quota-bytes': '1000' }),
    /--log-quota-bytes: needs a whole number from 16777216/,
  );
});
