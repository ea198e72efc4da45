// Three routers as processes run them, over sockets and disks, in one process of the test.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '@etl-router/core';
import { loadConfig, type RouterConfig, type RunningRouter, startRouter } from '../src/index.ts';
import { allText } from './server/harness.ts';

const version = { version: '0', commit: 'test' };

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(
    servers.map(async (server) => {
      server.close();
      await once(server, 'close');
    }),
  );
  return ports;
}

class Cluster {
  readonly #directory: string;
  readonly #ports: readonly number[];
  /** So many found it; the others are added. */
  readonly #founders: number;
  readonly #running = new Map<number, RunningRouter>();

  constructor(directory: string, ports: readonly number[], founders: number) {
    this.#directory = directory;
    this.#ports = ports;
    this.#founders = founders;
  }

  static async make(
    context: TestContext,
    members: number,
    founders: number = members,
  ): Promise<Cluster> {
    const directory = await mkdtemp(join(tmpdir(), 'etl-router-cluster-'));
    const cluster = new Cluster(directory, await freePorts(members), founders);
    context.after(async () => {
      await cluster.close();
      await rm(directory, { recursive: true, force: true });
    });
    return cluster;
  }

  async start(id: number, signal?: AbortSignal): Promise<RunningRouter> {
    const config = this.#configOf(id);
    const running = await startRouter({
      ...{ config, version, logger: silentLogger, drainMs: 100 },
      ...(signal && { signal }),
    });
    this.#running.set(id, running);
    return running;
  }

  /** Where the Raft port of a member is. */
  addressOf(id: number): string {
    return `127.0.0.1:${this.#ports[id - 1]}`;
  }

  async stop(id: number): Promise<void> {
    const running = this.#running.get(id);
    this.#running.delete(id);
    await running?.close();
  }

  get running(): readonly RunningRouter[] {
    return [...this.#running.values()];
  }

  /** Resolves with the one that leads, once all that run agree on it. */
  async leader(): Promise<readonly [number, RunningRouter]> {
    const until = performance.now() + 20_000;
    while (performance.now() < until) {
      const names = this.running.map(({ router }) => router.cluster().leaderName);
      const found = [...this.#running].find(([, { router }]) => router.cluster().role === 'leader');
      if (found !== undefined && names.every((name) => name === String(found[0]))) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error('no leader that all agree on in 20 s');
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.stop(id)));
  }

  #configOf(id: number): RouterConfig {
    const founders = this.#ports.slice(0, this.#founders);
    const others = founders.filter((_, at) => at !== id - 1);
    const flags = {
      'node-id': String(id),
      'listen-addr': '127.0.0.1:0',
      'raft-addr': this.addressOf(id),
      'http-addr': 'off',
      'metrics-addr': 'off',
      'data-dir': join(this.#directory, String(id)),
      peers: others.map((port) => `127.0.0.1:${port}`).join(','),
    };
    // A machine that is busy with other tests may stall for a second; no leader is to be lost by that.
    const file = { name: 'router.yaml', text: 'cluster: {election_timeout_ms: 4000}' };
    return loadConfig({ flags, env: {}, file }).config;
  }
}

test('three routers found a cluster, agree, and go on without the one that led', async (context) => {
  const cluster = await Cluster.make(context, 3);
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [first, led] = await cluster.leader();
  const { outcomes } = await led.router.objects.applyText(allText);
  assert(outcomes.every(({ error }) => error === undefined));
  for (const { router } of cluster.running) {
    await router.barrier();
    assert.equal(router.revision, led.router.revision);
  }
  const follower = cluster.running.find(({ router }) => router !== led.router) as RunningRouter;
  const refused = await follower.router.objects.applyText(allText.replace('in.jsonl', 'x.jsonl'));
  assert.equal(refused.outcomes[1]?.error?.code, 'ETL_NOT_LEADER');

  await cluster.stop(first);
  const [second, leads] = await cluster.leader();
  assert.notEqual(second, first);
  const changed = await leads.router.objects.applyText(allText.replace('in.jsonl', 'new.jsonl'));
  assert(changed.outcomes.every(({ error }) => error === undefined));

  const again = await cluster.start(first);
  await cluster.leader();
  await again.router.barrier();
  assert.equal(again.router.revision, leads.router.revision);
  const ids = cluster.running.map(({ router }) => router.cluster().clusterId);
  assert.equal(new Set(ids).size, 1);
});

test('a member that is lost is replaced by another one, which then leads', async (context) => {
  const cluster = await Cluster.make(context, 4, 3);
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [first, led] = await cluster.leader();
  const { outcomes } = await led.router.objects.applyText(allText);
  assert(outcomes.every(({ error }) => error === undefined));
  const lost = first === 3 ? 2 : 3;
  await cluster.stop(lost);

  const fourth = await cluster.start(4);
  const { nodeId } = fourth.router.cluster();
  assert.deepEqual(fourth.router.members.list(), [], 'it belongs to nobody yet');
  const peer = { id: nodeId, name: '4', address: cluster.addressOf(4) };
  await led.router.members.addLearner(peer);
  const idOf = (name: number): number =>
    led.router.members.list().find((member) => member.name === String(name))?.id as number;
  await until(() => isCaughtUp(led, nodeId));
  await led.router.members.promote(nodeId, { replaces: idOf(lost) });
  await until(() => led.router.members.health() === 'healthy');
  assert.deepEqual(
    led.router.members.list().map(({ name, role }) => [name, role]),
    [1, 2, 3, 4]
      .filter((id) => id !== lost)
      .map((id) => [String(id), id === first ? 'leader' : 'voter']),
  );

  assert.equal(await led.router.members.transfer(nodeId), '4');
  const [now] = await cluster.leader();
  assert.equal(now, 4);
  const changed = await fourth.router.objects.applyText(allText.replace('in.jsonl', 'new.jsonl'));
  assert(changed.outcomes.every(({ error }) => error === undefined));
  await fourth.router.members.remove(idOf(first));
  assert.equal(fourth.router.members.list().length, 2);
  const again = await fourth.router.objects.applyText(allText);
  assert(again.outcomes.every(({ error }) => error === undefined));
});

function isCaughtUp({ router }: RunningRouter, id: number): boolean {
  const member = router.members.list().find((each) => each.id === id);
  return member?.healthy === true && member.matchIndex === router.cluster().lastIndex;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    assert(performance.now() < deadline, 'it did not come to hold in 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a member that waits for the others ends when it is told to', async (context) => {
  const cluster = await Cluster.make(context, 3);
  const stop = new AbortController();
  const starting = cluster.start(2, stop.signal);
  stop.abort();
  await assert.rejects(starting);
});
