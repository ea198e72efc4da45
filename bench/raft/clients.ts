// The client processes: started once, given the same task each, and their answers put together.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Done, Task } from './load.ts';

/** What a turn of all clients came to. */
export interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  readonly firstError: string;
  /** Cores that the clients used together. */
  readonly clientCpu: number;
  readonly count: number;
}

export class Clients {
  readonly #children: readonly ChildProcess[];

  constructor(count: number) {
    const path = join(import.meta.dirname, 'load.ts');
    this.#children = Array.from({ length: count }, () =>
      fork(path, { execArgv: ['--conditions=etl-source'], serialization: 'advanced' }),
    );
  }

  /** `concurrency` calls in flight over the first `clients` processes. */
  async run(
    task: Omit<Task, 'client' | 'clients' | 'connections'>,
    clients: number,
    connections: number,
  ): Promise<Load> {
    const parts = this.#children.slice(0, clients);
    const done = await Promise.all(
      parts.map((child, client) =>
        ask(child, {
          ...task,
          concurrency: Math.ceil(task.concurrency / clients),
          connections: Math.ceil(connections / clients),
          client,
          clients,
        }),
      ),
    );
    return toLoad(done);
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'close');
        child.kill('SIGKILL');
        await ended;
      }),
    );
  }
}

async function ask(child: ChildProcess, task: Task): Promise<Done> {
  const asked = new AbortController();
  const { signal } = asked;
  const answered = once(child, 'message', { signal }) as Promise<[Done]>;
  const ended = once(child, 'exit', { signal }).then(() => {
    throw new Error('a client process ended before it was done');
  });
  child.send(task);
  try {
    const [done] = await Promise.race([answered, ended]);
    return done as Done;
  } finally {
    asked.abort();
    await Promise.allSettled([answered, ended]);
  }
}

function toLoad(done: readonly Done[]): Load {
  const count = done.reduce((sum, { latenciesMs }) => sum + latenciesMs.length, 0);
  const all = new Float32Array(count);
  let at = 0;
  for (const { latenciesMs } of done) {
    all.set(latenciesMs, at);
    at += latenciesMs.length;
  }
  all.sort();
  const elapsedMs = Math.max(...done.map((each) => each.elapsedMs));
  return {
    perSecond: (count / elapsedMs) * 1000,
    p50Ms: quantile(all, 0.5),
    p99Ms: quantile(all, 0.99),
    failed: done.reduce((sum, each) => sum + each.failed, 0),
    firstError: done.find(({ firstError }) => firstError !== '')?.firstError ?? '',
    clientCpu: done.reduce((sum, { cpu }) => sum + cpu, 0),
    count,
  };
}

/** Of a sorted series; 0 for none. */
function quantile(sorted: Float32Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
