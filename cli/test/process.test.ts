// etlctl as a process: signals, pipes that close, disks that are full, terminals. Everything else runs in process.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

const main = join(import.meta.dirname, '../src/main.ts');
const etlctl = [process.execPath, '--conditions=etl-source', main];
const shell = `${etlctl.map((word) => `'${word}'`).join(' ')}`;

const source = (name: string): string =>
  `apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: ${name}}\nspec: {generator: {}}\n`;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Running {
  readonly ended: Promise<Ended>;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly stdin: NodeJS.WritableStream;
}

function start(command: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const [file, ...args] = command as [string, ...string[]];
  const child = spawn(file, args, { env: { ...process.env, ...env } });
  const texts = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    texts.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    texts.err += chunk.toString();
  });
  child.stdin.on('error', () => {});
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...texts }));
  return { ended, kill: (signal) => void child.kill(signal), stdin: child.stdin };
}

/** A router of one answer for each question; `asked` gets every response that is to be answered. */
async function startRouter(
  t: TestContext,
  asked: (response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => asked(response));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const reply = (response: ServerResponse, data: object): void => {
  response.end(JSON.stringify({ data }));
};

const manyServices = Array.from({ length: 5000 }, (_, index) => ({
  serviceId: `service-${index}`,
  serviceName: 'mask',
  serviceType: 'TRANSFORM',
  endpoint: '127.0.0.1:7001',
  health: 'HEALTHY',
  registeredAt: '2026-01-01T00:00:00Z',
  lastHeartbeat: '2026-01-01T00:00:00Z',
}));

test('a reader that goes away ends it quietly', async (t) => {
  const server = await startRouter(t, (response) => reply(response, { services: manyServices }));
  for (const output of ['table', 'json', 'yaml', 'name']) {
    const line = `${shell} get services -s ${server} -o ${output} | head -1`;
    const { code, out, err } = await start(['bash', '-o', 'pipefail', '-c', line]).ended;
    assert.deepEqual([code, err, out.split('\n').length], [0, '', 2], output);
  }
});

test('an output that can not be written is a failure in one line', async (t) => {
  const server = await startRouter(t, (response) => reply(response, { services: manyServices }));
  const line = `${shell} get services -s ${server} > /dev/full`;
  const { code, err } = await start(['bash', '-c', line]).ended;
  assert.deepEqual([code, err], [1, 'error: can not write to standard output (ENOSPC)\n']);
});

test('a closed standard error changes no exit code', async () => {
  const line = `${shell} get services -s http://127.0.0.1:1 2>&-`;
  assert.equal((await start(['bash', '-c', line]).ended).code, 1);
});

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends a command that waits for a router with ${exitCode}`, async (t) => {
    let waiting = (): void => {};
    const asked = new Promise<void>((resolve) => {
      waiting = resolve;
    });
    const server = await startRouter(t, () => waiting());
    const { ended, kill } = start([...etlctl, 'get', 'pipelines', '-s', server]);
    await asked;
    kill(signal);
    assert.deepEqual(await ended, { code: exitCode, out: '', err: 'error: interrupted\n' });
  });
}

test('an interrupt in the middle of apply tells what was applied and what was not', async (t) => {
  let second = (): void => {};
  const asked = new Promise<void>((resolve) => {
    second = resolve;
  });
  let count = 0;
  const server = await startRouter(t, (response) => {
    count += 1;
    if (count > 1) second();
    else {
      const created = { success: true, message: null, code: null, outcome: 'created' };
      reply(response, { applyObject: { ...created, findings: [] } });
    }
  });
  const { ended, kill, stdin } = start([...etlctl, 'apply', '-f', '-', '-s', server]);
  stdin.end(['a', 'b', 'c'].map(source).join('---\n'));
  await asked;
  kill('SIGINT');
  assert.deepEqual(await ended, {
    code: 130,
    out: 'source/a created\n',
    err: 'error: source/b not applied: interrupted\nerror: source/c not sent\n',
  });
});

test('an interrupt ends it while it reads standard input', async () => {
  const { ended, kill, stdin } = start([...etlctl, 'apply', '-f', '-']);
  // More than a pipe holds: once it is written, someone reads.
  await new Promise((resolve) => void stdin.write('#'.repeat(1024 * 1024), resolve));
  kill('SIGINT');
  assert.deepEqual(await ended, { code: 130, out: '', err: 'error: interrupted\n' });
});

test('an endless standard input is refused as soon as it is too large', async () => {
  const line = `${shell} validate -f - < /dev/zero`;
  const { code, err } = await start(['bash', '-c', line]).ended;
  assert.deepEqual([code, err], [2, 'error: -f -: is larger than 16 MiB\n']);
});

test('a standard input that is closed or a folder holds no object', async () => {
  for (const input of ['<&-', '< /tmp']) {
    const { code, err } = await start(['bash', '-c', `${shell} validate -f - ${input}`]).ended;
    assert.deepEqual([code, err], [2, 'error: -f standard input: holds no object\n']);
  }
});

test('no colour is written, whatever the environment asks for', async () => {
  const line = [...etlctl, 'get', 'nonsense', '--server', 'http://127.0.0.1:1'];
  const plain = await start(line).ended;
  for (const env of [{ NO_COLOR: '1' }, { FORCE_COLOR: '3' }, { TERM: 'dumb' }])
    assert.deepEqual(await start(line, env).ended, plain);
  assert.doesNotMatch(plain.err, /\u001b/);
});
