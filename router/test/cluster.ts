// Routers of one cluster as processes run them, over sockets and disks, in one process of the test.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { silentLogger, systemRandom } from '@etl-router/core';
import { loadConfig, type RouterConfig, type RunningRouter, startRouter } from '../src/index.ts';

const version = { version: '0', commit: 'test' };

/** Whatever is waited for comes sooner, on a slow machine too, or does not come. */
const patienceMs = 120_000;

/**
 * Ports that were free a moment ago. Below those that the system gives to whoever asks for any: what else runs does not
 * take one while its member is down.
 */
async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 10_000 + systemRandom.below(20_000);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** Asks again and again until it holds. */
export async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!holds()) {
    assert(performance.now() < endMs, `it did not come to hold in ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Of a test, or of all tests of a file. */
interface Lifetime {
  after(end: () => Promise<void>): void;
}

export interface ClusterOptions {
  /** So many of the members found it; the others are added. Default: all. */
  readonly founders?: number;
  /**
   * Default 4,000: a machine that is busy with other tests may stall for a second, and no leader is to be lost by that.
   */
  readonly electionMs?: number;
  /** They listen on every interface, and are told by the list of members where they are reached. */
  readonly everywhere?: boolean;
}

export class Cluster {
  readonly #directory: string;
  readonly #ports: readonly number[];
  readonly #founders: number;
  readonly #electionMs: number;
  readonly #everywhere: boolean;
  readonly #running = new Map<number, RunningRouter>();

  private constructor(
    directory: string,
    ports: readonly number[],
    { founders = ports.length, electionMs = 4000, everywhere = false }: ClusterOptions,
  ) {
    this.#directory = directory;
    this.#ports = ports;
    this.#founders = founders;
    this.#electionMs = electionMs;
    this.#everywhere = everywhere;
  }

  static async make(
    lifetime: Lifetime,
    members: number,
    options: ClusterOptions = {},
  ): Promise<Cluster> {
    const directory = await mkdtemp(join(tmpdir(), 'etl-router-cluster-'));
    const cluster = new Cluster(directory, await freePorts(members), options);
    lifetime.after(async () => {
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
    let found: readonly [number, RunningRouter] | undefined;
    await until(() => {
      const names = this.running.map(({ router }) => router.cluster().leaderName);
      found = [...this.#running].find(([, { router }]) => router.cluster().role === 'leader');
      return found !== undefined && names.every((name) => name === String(found?.[0]));
    });
    return found as readonly [number, RunningRouter];
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.stop(id)));
  }

  #configOf(id: number): RouterConfig {
    const founders = this.#ports.slice(0, this.#founders);
    const others = founders.filter((_, at) => at !== id - 1);
    const peers = this.#everywhere
      ? [...new Set([1, id])].map((each) => `${each}@${this.addressOf(each)}`)
      : others.map((port) => `127.0.0.1:${port}`);
    const flags = {
      'node-id': String(id),
      'listen-addr': '127.0.0.1:0',
      'raft-addr': this.#everywhere ? `0.0.0.0:${this.#ports[id - 1]}` : this.addressOf(id),
      insecure: String(this.#everywhere),
      'http-addr': '127.0.0.1:0',
      'metrics-addr': 'off',
      'data-dir': this.dataOf(id),
      peers: peers.join(','),
    };
    const text = `cluster: {election_timeout_ms: ${this.#electionMs}}`;
    const file = { name: 'router.yaml', text };
    return loadConfig({ flags, env: {}, file }).config;
  }
}

/** A cluster whose members run for all tests of the file that calls this; each finds what the one before it left. */
export function shareCluster(members: number): () => Cluster {
  const ends: (() => Promise<void>)[] = [];
  let cluster: Cluster | undefined;
  before(async () => {
    const made = await Cluster.make({ after: (end) => void ends.push(end) }, members);
    cluster = made;
    await Promise.all(Array.from({ length: members }, (_, at) => made.start(at + 1)));
  });
  after(async () => {
    for (const end of ends) await end();
  });
  return () => {
    assert(cluster !== undefined, 'it is there while tests run');
    return cluster;
  };
}
