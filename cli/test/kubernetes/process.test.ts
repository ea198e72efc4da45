// etlctl as a process on its way into a cluster: it ends when it is done, when it is interrupted, and when nobody answers,
// whatever is still open then.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { FakeKubernetes } from './kubernetes.ts';
import { startShop } from './shop.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

interface Running {
  readonly ended: Promise<{ readonly code: number | null; readonly err: string }>;
  readonly kill: (signal: NodeJS.Signals) => void;
}

function start(t: TestContext, kubeconfig: string, ...args: readonly string[]): Running {
  const child = spawn(
    process.execPath,
    ['--conditions=etl-source', main, 'get', 'services', '-n', 'shop', ...args],
    { env: { PATH: process.env['PATH'], KUBECONFIG: kubeconfig, ETLCTL_CLUSTER: 'main' } },
  );
  t.after(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => {
    err += String(chunk);
  });
  child.stdout.resume();
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, err }));
  return { ended, kill: (signal) => void child.kill(signal) };
}

/** Resolves when the API server was asked for a port of a pod. */
async function portAsked(kubernetes: FakeKubernetes): Promise<void> {
  await new Promise<void>((resolve) => {
    kubernetes.onForward = resolve;
  });
}

test('it ends when it has its answer, though the connection could go on', async (t) => {
  const kubernetes = await startShop(t);
  const { ended } = start(t, await kubernetes.kubeconfig());
  assert.deepEqual(await ended, { code: 0, err: 'No services are registered.\n' });
});

test('Ctrl-C ends it while a node does not answer', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.silent.add('main-2');
  const asked = portAsked(kubernetes);
  const { ended, kill } = start(t, await kubernetes.kubeconfig());
  await asked;
  kill('SIGINT');
  assert.deepEqual(await ended, { code: 130, err: 'error: interrupted\n' });
});

test('it ends when no node answers in time', async (t) => {
  const kubernetes = await startShop(t);
  for (const pod of ['main-1', 'main-2', 'main-3']) kubernetes.silent.add(pod);
  const { ended } = start(t, await kubernetes.kubeconfig(), '--timeout', '3s');
  const { code, err } = await ended;
  assert.equal(code, 124);
  assert.match(err, /can not open pods\/portforward of shop\/main-2/);
});

test('a plug-in that never answers ends with it', async (t) => {
  const kubernetes = await startShop(t);
  const file = join(await kubernetes.folder(), 'plug-in.sh');
  await writeFile(file, '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 });
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: file };
  const { ended } = start(t, await kubernetes.kubeconfig({ exec }), '--timeout', '500ms');
  const { code, err } = await ended;
  assert.equal(code, 124);
  assert.match(err, /the credentials of user anna did not come within 0\.5s/);
});
