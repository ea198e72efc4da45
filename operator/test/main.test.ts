// The operator as a process: what it says and how it ends, from its settings to SIGKILL at a failpoint.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { seededRandom, systemClock } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import { declareCluster, ownNetwork } from './cluster/bench.ts';
import { clusters, StandIn } from './cluster/stand-in.ts';
import { FaultyApiServer } from './faulty-api-server/faulty-api-server.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const lease = {
  collection: '/apis/coordination.k8s.io/v1/leases',
  namespace: 'etl-system',
  name: 'etl-operator',
};

interface Running {
  readonly child: ChildProcess;
  /** Lines of the log, and what else came on standard error. */
  readonly lines: string[];
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

function start(t: TestContext, env: { readonly [name: string]: string }): Running {
  const child = spawn(process.execPath, ['--conditions=etl-source', main], {
    env: { PATH: process.env['PATH'], HOME: '/nowhere', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  let rest = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  const exit = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }));
  return { child, lines, exit };
}

/** A server with the world behind it, going on by itself at a pace that machines bear. */
async function startServer(t: TestContext) {
  const server = await FaultyApiServer.start();
  const network = ownNetwork();
  const options = { server, clock: systemClock, random: seededRandom(1), network };
  const standIn = new StandIn(options);
  const folder = await mkdtemp(join(tmpdir(), 'etl-operator-'));
  const KUBECONFIG = join(folder, 'kubeconfig');
  await writeFile(KUBECONFIG, server.kubeConfig().exportConfig());
  t.after(async () => {
    await standIn.close();
    await server.close();
    await rm(folder, { recursive: true });
  });
  let tickedAtMs = 0;
  const until = async (condition: () => boolean, what: string): Promise<void> => {
    const startMs = systemClock.monotonicMs();
    while (!condition()) {
      const nowMs = systemClock.monotonicMs();
      assert.ok(nowMs - startMs < 120_000, `in vain: ${what}`);
      if (nowMs - tickedAtMs > 50) {
        tickedAtMs = nowMs;
        await standIn.tick();
      }
      assert.deepEqual(standIn.violations, []);
      await nextTurn();
    }
  };
  const env = {
    KUBECONFIG,
    POD_NAME: 'etl-operator-0',
    POD_NAMESPACE: 'etl-system',
    ETL_ROUTER_IMAGE: 'etl/router:v1',
    ETL_METRICS_ADDR: '127.0.0.1:0',
  };
  return { server, standIn, until, env };
}

function readiness(server: FaultyApiServer): string | undefined {
  const found = server.store.find({ collection: clusters, namespace: 'shop', name: 'main' });
  const { status } = (found ?? {}) as unknown as Partial<EtlRouterCluster>;
  return status?.conditions?.find(({ type }) => type === 'Ready')?.status;
}

function holder(server: FaultyApiServer): string | undefined {
  const found = server.store.find(lease)?.['spec'] as { holderIdentity?: string } | undefined;
  return found?.holderIdentity;
}

test('killed in the middle and started anew it makes the cluster, answers its probes, and ends with 0', async (t) => {
  const { server, until, env } = await startServer(t);
  declareCluster(server, { replicas: 1 });
  const failing = { ...env, ETL_FAILPOINT: 'after-objects' };
  const first = start(t, failing);
  let died: string | null | undefined;
  void first.exit.then(({ signal }) => {
    died = signal;
  });
  await until(() => died !== undefined, 'the failpoint');
  assert.equal(died, 'SIGKILL');
  // Whoever can not wait for it to run out deletes the lease of the dead.
  server.store.delete(lease);
  const second = start(t, env);
  await until(() => readiness(server) === 'True', 'ready');
  const line = second.lines.find((each) => each.includes('the operator starts')) ?? '{}';
  const { probes } = JSON.parse(line) as { probes: string };
  assert.equal((await fetch(`http://${probes}/livez`)).status, 200);
  assert.equal((await fetch(`http://${probes}/readyz`)).status, 200);
  const metrics = await (await fetch(`http://${probes}/metrics`)).text();
  const wanted = ['leader_election_master_status{name="etl-operator"} 1'];
  wanted.push('etl_operator_cluster_condition{namespace="shop",cluster="main",type="Ready"} 1');
  for (const sample of wanted) assert.ok(metrics.includes(sample), sample);
  second.child.kill('SIGTERM');
  assert.deepEqual(await second.exit, { code: 0, signal: null });
  assert.equal(holder(server), '');
  const secrets = server.store.list('/api/v1/secrets').flatMap(({ data }) =>
    Object.entries(data as { [key: string]: string })
      .filter(([key]) => key.endsWith('.key'))
      .flatMap(([, text]) => [text, Buffer.from(text, 'base64').toString().split('\n')[1] ?? '']),
  );
  assert.equal(secrets.length, 6);
  const said = [...first.lines, ...second.lines].join('\n') + metrics;
  for (const secret of secrets) assert.ok(!said.includes(secret), 'a key was said');
});

test('settings that can not be are refused in one line, with 78', async (t) => {
  const { env } = await startServer(t);
  const { KUBECONFIG: _, ...noServer } = env;
  const cases = [
    [noServer, /KUBECONFIG/],
    [{ ...env, KUBECONFIG: '/nowhere/kubeconfig' }, /KUBECONFIG.*nowhere/],
    [{ ...env, ETL_ROUTER_IMAGE: 'no tag' }, /ETL_ROUTER_IMAGE/],
    [{ ...env, ETL_METRICS_ADDR: 'here' }, /ETL_METRICS_ADDR/],
    [{ ...env, ETL_FAILPOINT: 'after-lunch' }, /ETL_FAILPOINT/],
  ] as const;
  await Promise.all(
    cases.map(async ([given, pattern]) => {
      const { exit, lines } = start(t, given);
      assert.deepEqual(await exit, { code: 78, signal: null });
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0] ?? '', pattern);
    }),
  );
});
