// The bundles that images hold, started as a container starts them: with nothing around them but Node.

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'etl-bundles-'));
  const args = ['--conditions=etl-source', 'scripts/build.ts', 'router', 'operator'];
  await run(process.execPath, args, { env: { ...process.env, BUILD_DIR: folder } });
});

after(() => rm(folder, { recursive: true, force: true }));

/** A process, with all that it said so far. */
interface Started {
  readonly child: ChildProcess;
  /** Resolves when it said so; rejects with what it said when it ends without. */
  readonly said: (pattern: RegExp) => Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

/** Starts a bundle in an empty folder. The environment is what is given and no more. */
async function start(
  context: TestContext,
  name: string,
  given: { readonly args?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Started> {
  const cwd = await mkdtemp(join(folder, 'cwd-'));
  const { args = [], env = {} } = given;
  const child = spawn(process.execPath, [join(folder, name, 'main.mjs'), ...args], { cwd, env });
  context.after(() => child.kill('SIGKILL'));
  let output = '';
  const hear = new EventEmitter();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      hear.emit('more');
    });
  }
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, output }));
  const said = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(output)) resolve();
      };
      hear.on('more', look);
      look();
      void ended.then(() => reject(new Error(`it ended without ${pattern}: ${output}`)));
    });
  return { child, said, ended };
}

test('the bundle of the router says its version', async (context) => {
  const { ended } = await start(context, 'router', { args: ['--version'] });
  const { code, output } = await ended;
  assert.equal(code, 0);
  assert.match(output, /^etl-router \d+\.\d+\.\d+ \([0-9a-f]{7,}\)/);
});

test('the bundle of the router serves, and stops when it is told to', async (context) => {
  const data = join(folder, 'data');
  await mkdir(data);
  const addresses = ['--listen-addr', '--http-addr', '--metrics-addr'];
  const args = ['--data-dir', data, ...addresses.flatMap((flag) => [flag, '127.0.0.1:0'])];
  const { child, said, ended } = await start(context, 'router', { args });
  await said(/the router is ready/);
  child.kill('SIGTERM');
  assert.equal((await ended).code, 0);
  assert.ok((await readdir(data)).length > 0, 'it wrote where it was told to');
});

test('the bundle of the operator refuses to run without an API server', async (context) => {
  const { ended } = await start(context, 'operator');
  const { code, output } = await ended;
  assert.equal(code, 78);
  assert.match(output, /ETL_CONFIG_INVALID: there is no Kubernetes API server/);
});

test('the bundle of the operator starts while the API server is away, and stops when told to', async (context) => {
  const kubeconfig = join(folder, 'kubeconfig');
  const server = `https://127.0.0.1:${await freePort()}`;
  await writeFile(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: { token: 't' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  const env = {
    KUBECONFIG: kubeconfig,
    ETL_ROUTER_IMAGE: 'etl-router/router:dev',
    ETL_METRICS_ADDR: '127.0.0.1:0',
  };
  const { child, said, ended } = await start(context, 'operator', { env });
  await said(/the operator starts/);
  child.kill('SIGTERM');
  assert.equal((await ended).code, 0);
});

test('what a bundle holds of others is named with its licence', async () => {
  const router = await readFile(join(folder, 'router', 'LICENCES.txt'), 'utf8');
  assert.match(router, /^classic-level \d+\.\d+\.\d+ \(MIT\)$/m);
  const operator = await readFile(join(folder, 'operator', 'LICENCES.txt'), 'utf8');
  assert.match(operator, /^@kubernetes\/client-node \d+\.\d+\.\d+ \(Apache-2\.0\)$/m);
  assert.doesNotMatch(operator, /\(see below\)|GPL/);
});

/** A port that nobody listens at. */
function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
