// A client process of the Raft benchmark: keeps so many calls in flight to the leader for so long, and says how long
// each took. Runs what its parent asks, one task at a time, and ends with it.

import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import { keyCount, type Operation, valueBytes } from './cluster.ts';
import { dialects } from './dialects.ts';
import { makeUnary } from './unary.ts';

export interface Task {
  readonly dialect: 'etcd' | 'router';
  readonly operation: Operation;
  readonly address: string;
  /** Calls in flight. */
  readonly concurrency: number;
  readonly connections: number;
  /** Which part of the keys this process takes: every `clients`-th, from the `client`-th on. */
  readonly client: number;
  readonly clients: number;
  /** Runs so long without counting, then so long. */
  readonly warmMs: number;
  readonly runMs: number;
}

export interface Done {
  /** Milliseconds of every call that was answered within the time. */
  readonly latenciesMs: Float32Array;
  readonly failed: number;
  readonly firstError: string;
  readonly elapsedMs: number;
  /** Share of a core that this process used. */
  readonly cpu: number;
}

/** A call that failed is not tried again at once: the member may be electing. */
const pauseMs = 20;

async function run(task: Task): Promise<Done> {
  const { operation, concurrency, warmMs, runMs } = task;
  const dialect = dialects[task.dialect];
  const path = dialect.paths[operation];
  const requests = makeRequests(task);
  const calls = makeUnary(task.address, task.connections);
  const latencies: number[] = [];
  let failed = 0;
  let firstError = '';
  let next = 0;
  const startMs = performance.now() + warmMs;
  const endMs = startMs + runMs;
  let cpuBefore = process.cpuUsage();
  const counting = setTimeout(() => {
    cpuBefore = process.cpuUsage();
  }, warmMs);
  const keepCalling = async (): Promise<void> => {
    for (;;) {
      const request = requests[next++ % requests.length] as Buffer;
      const sentMs = performance.now();
      if (sentMs >= endMs) return;
      try {
        await calls.ask(path, request);
        const nowMs = performance.now();
        if (nowMs >= startMs && nowMs < endMs) latencies.push(nowMs - sentMs);
      } catch (error) {
        failed += 1;
        firstError ||= String(error);
        await wait(pauseMs);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, keepCalling));
  clearTimeout(counting);
  const { user, system } = process.cpuUsage(cpuBefore);
  calls.close();
  const cpu = (user + system) / 1000 / runMs;
  return { latenciesMs: Float32Array.from(latencies), failed, firstError, elapsedMs: runMs, cpu };
}

function makeRequests({ dialect, operation, client, clients }: Task): readonly Buffer[] {
  const requests: Buffer[] = [];
  for (let key = client; key < keyCount; key += clients) {
    const value = Buffer.alloc(valueBytes, `value of ${key}, `);
    requests.push(
      dialects[dialect].encode(operation, `key-${String(key).padStart(8, '0')}`, value),
    );
  }
  return requests;
}

process.on('message', (task: Task) => {
  void run(task).then(
    (done) => process.send?.(done),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
