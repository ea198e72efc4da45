// A client process of the Raft benchmark: keeps so many calls in flight to the leader for so long, and says how long
// each took. Runs what its parent asks, one task at a time, and ends with it.

import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import {
  batchSlots,
  batchWrites,
  keyCount,
  type Operation,
  type Request,
  valueBytes,
} from './cluster.ts';
import { dialects } from './dialects.ts';
import { laneOf } from './lanes.ts';
import { makeUnary } from './unary.ts';

export interface Task {
  readonly dialect: 'etcd' | 'router';
  readonly operation: Operation;
  readonly address: string;
  /** Of the lanes of a batch. */
  readonly epoch?: bigint;
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
  const keepCalling = async (slot: number): Promise<void> => {
    for (;;) {
      const request = requests[operation === 'batch' ? slot : next++ % requests.length] as Request;
      count(request);
      const sentMs = performance.now();
      if (sentMs >= endMs) return;
      try {
        const answer = await calls.ask(path, request.bytes);
        if (!dialect.isDone(operation, answer)) throw new Error('a part of it was refused');
        const nowMs = performance.now();
        if (nowMs >= startMs && nowMs < endMs) latencies.push(nowMs - sentMs);
      } catch (error) {
        failed += 1;
        firstError ||= String(error);
        await wait(pauseMs);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, slot) => keepCalling(slot)));
  clearTimeout(counting);
  const { user, system } = process.cpuUsage(cpuBefore);
  calls.close();
  const cpu = (user + system) / 1000 / runMs;
  return { latenciesMs: Float32Array.from(latencies), failed, firstError, elapsedMs: runMs, cpu };
}

function makeRequests({
  dialect,
  operation,
  epoch = 0n,
  client,
  clients,
}: Task): readonly Request[] {
  const language = dialects[dialect];
  const value = Buffer.alloc(valueBytes, 'a value of the Raft benchmark, ');
  const requests: Request[] = [];
  if (operation === 'batch') {
    for (let slot = client; slot < batchSlots; slot += clients) {
      const keys = Array.from({ length: batchWrites }, (_, at) => laneOf(slot, at));
      const bytes = language.encode(operation, { keys, value, epoch });
      requests.push({ bytes, counters: placesOf(value, bytes) });
    }
    return requests;
  }
  for (let key = client; key < keyCount; key += clients) {
    const bytes = language.encode(operation, {
      keys: [`key-${String(key).padStart(8, '0')}`],
      value,
      epoch,
    });
    requests.push({ bytes, counters: [] });
  }
  return requests;
}

function placesOf(value: Buffer, bytes: Buffer): readonly number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(value); at >= 0; at = bytes.indexOf(value, at + value.length))
    places.push(at);
  return places;
}

/** Later than in every earlier run of any process. */
let lastCount = Date.now() * 4096;

/** Its answer came, so that nobody reads the bytes any more. */
function count({ bytes, counters }: Request): void {
  if (counters.length === 0) return;
  lastCount += 1;
  for (const at of counters) {
    bytes.writeUInt32BE(Math.floor(lastCount / 2 ** 32), at);
    bytes.writeUInt32BE(lastCount % 2 ** 32, at + 4);
  }
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
