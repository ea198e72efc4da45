// Routers of one cluster as processes run them, over sockets and disks, in one process of the test.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { silentLogger } from '@etl-router/core';
import { loadConfig, type RouterConfig, type RunningRouter, startRouter } from '../src/index.ts';

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

export interface ClusterOptions {
  /** So many of the members found it; the others are added. Default: all. */
  readonly founders?: number;
  /**
   * Default 4,000: a machine that is busy with other tests may stall for a second, and no leader is to be lost by that.
   */
  readonly electionMs?: number;
}

export class Cluster {
  readonly #directory: string;
  readonly #ports: readonly number[];
  readonly #founders: number;
  readonly #electionMs: number;
  readonly #running = new Map<number, RunningRouter>();

  private constructor(
    directory: string,
    ports: readonly number[],
    { founders = ports.length, electionMs = 4000 }: ClusterOptions,
  ) {
    this.#directory = directory;
    this.#ports = ports;
    this.#founders = founders;
    this.#electionMs = electionMs;
  }

  static async make(
    context: TestContext,
    members: number,
    options: ClusterOptions = {},
  ): Promise<Cluster> {
    const directory = await mkdtemp(join(tmpdir(), 'etl-router-cluster-'));
    const cluster = new Cluster(directory, await freePorts(members), options);
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

  /** The data directory of a member. */
  dataOf(id: number): string {
    return join(this.#directory, String(id));
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
      'http-addr': '127.0.0.1:0',
      'metrics-addr': 'off',
      'data-dir': this.dataOf(id),
      peers: others.map((port) => `127.0.0.1:${port}`).join(','),
    };
    const text = `cluster: {election_timeout_ms: ${this.#electionMs}}`;
    const file = { name: 'router.yaml', text };
    return loadConfig({ flags, env: {}, file }).config;
  }
}
