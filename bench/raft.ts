// Three routers against three members of etcd, side by side on one machine and one disk: the same client processes
// keep so many calls in flight to the leader of each in turn. A write is one key with a value of 256 bytes, answered
// once a majority has it on disk and the leader applied it; a read is linearizable.

import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Bench, type BenchOptions, type BenchResult, takeTurns } from './lib/bench.ts';
import { formatTable } from './lib/report.ts';
import { median, ratioOfRounds, rounded } from './lib/statistics.ts';
import { buildEtcd, type Etcd, systemEtcd } from './peers/etcd/build.ts';
import { startEtcd } from './peers/etcd/start.ts';
import { Clients, type Load } from './raft/clients.ts';
import {
  batchSlots,
  batchWrites,
  type Cluster,
  cpuSOf,
  keyCount,
  leaderOf,
  type Operation,
  stopCluster,
  valueBytes,
} from './raft/cluster.ts';
import { dialects } from './raft/dialects.ts';
import { openLanes } from './raft/lanes.ts';
import { startRouters } from './raft/routers.ts';

const cache = resolve(import.meta.dirname, '../.cache/bench/raft');
/** What statfs says of tmpfs and ramfs: there a sync costs nothing. */
const memoryFileSystems: readonly number[] = [0x01021994, 0x858458f6];
/** Calls of one client process on one connection; a router takes 256 at most. */
const callsPerConnection = 64;
/** Client processes, so that none of them is what is measured. */
const maxClients = 2;

interface Case {
  readonly operation: Operation;
  readonly concurrency: number;
  /** Times the best etcd, at least. */
  readonly required?: number;
}

const cases: readonly Case[] = [
  { operation: 'write', concurrency: 1, required: 0.7 },
  { operation: 'write', concurrency: 16 },
  { operation: 'write', concurrency: 64, required: 1 },
  { operation: 'write', concurrency: 256, required: 1 },
  { operation: 'read', concurrency: 1 },
  { operation: 'read', concurrency: 64 },
  { operation: 'batch', concurrency: batchSlots },
];

/** Calls of each operation before anything counts: a runtime that compiles what is called often has done so by then. */
const warmUpCalls = 20_000;
/** On a machine that does not get that far. */
const warmUpMs = 30_000;

interface Turn extends Load {
  /** Microseconds of processor that all members used for one call. */
  readonly memberUs: number;
  readonly clientUs: number;
}

/** What a call is, and how many are in flight: the name of a row and of a ratio. */
function nameOf({ operation, concurrency }: Case): string {
  return operation === 'write' ? String(concurrency) : `${operation} ${concurrency}`;
}

async function measure(
  clients: Clients,
  cluster: Cluster,
  { operation, concurrency }: Case,
  runMs: number,
): Promise<Turn> {
  const { dialect, epoch = 0n } = cluster;
  const address = await leaderOf(cluster, dialects[dialect]);
  const task = { dialect, operation, address, epoch, concurrency, warmMs: runMs / 5, runMs };
  const processes = Math.min(maxClients, Math.ceil(concurrency / callsPerConnection));
  const before = cpuSOf(cluster);
  const load = await clients.run(task, processes, Math.ceil(concurrency / callsPerConnection));
  const { count, failed, firstError, perSecond, clientCpu } = load;
  if (failed > count / 100) {
    throw new Error(`${cluster.name}: ${failed} of ${count} calls failed, such as: ${firstError}`);
  }
  const counted = (perSecond * (task.warmMs + runMs)) / 1000;
  return {
    ...load,
    memberUs: ((cpuSOf(cluster) - before) / counted) * 1e6,
    clientUs: (clientCpu / perSecond) * 1e6,
  };
}

/** Every cluster alike does as many calls as it takes to be as fast as it gets. */
async function warmUp(
  clients: Clients,
  clusters: readonly Cluster[],
  calls: number,
): Promise<void> {
  for (const cluster of clusters) {
    for (const operation of ['write', 'read', 'batch'] as const) {
      const concurrency = operation === 'batch' ? batchSlots : 64;
      const startMs = performance.now();
      for (let done = 0; done < calls && performance.now() - startMs < warmUpMs; ) {
        const { count } = await measure(clients, cluster, { operation, concurrency }, 1000);
        done += operation === 'batch' ? count * batchWrites : count;
      }
    }
  }
}

async function run({ rounds, quick }: BenchOptions): Promise<BenchResult> {
  const peers = [systemEtcd(), buildEtcd()].filter((peer) => peer !== undefined);
  if (peers.length === 0) {
    throw new Error('this benchmark compares with etcd: install etcd-server, or Go to build it');
  }
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'run-'));
  checkDisk(directory);
  const clients = new Clients(maxClients);
  const clusters: Cluster[] = [];
  try {
    const routers = await startRouters(directory);
    clusters.push(routers);
    const epoch = await openLanes(await leaderOf(routers, dialects.router));
    clusters[0] = { ...routers, epoch };
    for (const peer of peers) clusters.push(await startEtcd(directory, peer));
    await warmUp(clients, clusters, quick ? 0 : warmUpCalls);
    return report(await takeAll(clients, clusters, { rounds, runMs: quick ? 500 : 3000 }), peers);
  } finally {
    await Promise.allSettled([clients.stop(), ...clusters.map(stopCluster)]);
    rmSync(directory, { recursive: true, force: true });
  }
}

function checkDisk(directory: string): void {
  if (!memoryFileSystems.includes(statfsSync(directory).type)) return;
  throw new Error(`${directory} is in memory, where a sync costs nothing; use a real disk`);
}

/** Every case of every cluster in every round: by case, then by cluster. */
type Turns = ReadonlyMap<Case, ReadonlyMap<string, readonly Turn[]>>;

async function takeAll(
  clients: Clients,
  clusters: readonly Cluster[],
  { rounds, runMs }: { readonly rounds: number; readonly runMs: number },
): Promise<Turns> {
  const turns = cases.flatMap((each) =>
    clusters.map((cluster): [string, () => Promise<Turn>] => [
      `${nameOf(each)} ${cluster.name}`,
      () => measure(clients, cluster, each, runMs),
    ]),
  );
  const taken = await takeTurns(new Map(turns), rounds);
  return new Map(
    cases.map((each) => [
      each,
      new Map(clusters.map(({ name }) => [name, taken.get(`${nameOf(each)} ${name}`) as Turn[]])),
    ]),
  );
}

function report(turns: Turns, peers: readonly Etcd[]): BenchResult {
  const rates = (of: readonly Turn[]): number[] => of.map(({ perSecond }) => perSecond);
  const compared = Array.from(turns, ([each, byCluster]) => {
    const [ours, ...theirs] = Array.from(byCluster.values()) as [Turn[], ...Turn[][]];
    const best = theirs.reduce((a, b) => (median(rates(b)) > median(rates(a)) ? b : a));
    return { each, ours, best };
  });
  const p99 = (of: readonly Turn[]): number[] => of.map(({ p99Ms }) => p99Ms);
  const batch = compared.find(({ each }) => each.operation === 'batch');
  const single = compared.find(({ each }) => each.concurrency === 256);
  const inBatches = batch && rates(batch.ours).map((rate) => rate * batchWrites);
  return {
    text: [
      tableOf(turns),
      '',
      `Values of ${valueBytes} bytes under ${keyCount} keys, in the clear, every member syncing to the same disk; calls`,
      `over @grpc/grpc-js to the leader, ${callsPerConnection} to a connection, from ${maxClients} processes at most.`,
      `A batch is ${batchWrites} writes in one call: CommitPositions, and a Txn of puts. Of it calls/s are shown.`,
      'router: SaveCheckpoint and GetCheckpoint; etcd: Put and Range. Each ratio is to the faster etcd;',
      'batched to 256: our writes a second in batches, to the puts a second of etcd with 256 in flight.',
    ].join('\n'),
    ratios: [
      ...compared.map(({ each, ours, best }) => ({
        name: nameOf(each),
        value: ratioOfRounds(rates(ours), rates(best)),
        ...(each.required === undefined ? {} : { required: each.required }),
      })),
      ...(inBatches && single
        ? [{ name: 'batched to 256', value: ratioOfRounds(inBatches, rates(single.best)) }]
        : []),
      ...compared.map(({ each, ours, best }) => ({
        name: `p99 ${nameOf(each)}`,
        value: ratioOfRounds(p99(best), p99(ours)),
      })),
    ],
    raw: Object.fromEntries(Array.from(turns).flatMap(([each, of]) => seriesOf(each, of))),
    settings: { valueBytes, keyCount, callsPerConnection, maxClients, warmUpCalls, peers },
  };
}

function seriesOf(
  each: Case,
  byCluster: ReadonlyMap<string, readonly Turn[]>,
): [string, readonly number[]][] {
  return Array.from(byCluster).flatMap(([cluster, of]) => {
    const series = (unit: string, pick: (turn: Turn) => number): [string, readonly number[]] => [
      `${nameOf(each)}, ${cluster}, ${unit}`,
      of.map((turn) => rounded(pick(turn))),
    ];
    return [
      series('calls/s', ({ perSecond }) => perSecond),
      series('p50 ms', ({ p50Ms }) => p50Ms),
      series('p99 ms', ({ p99Ms }) => p99Ms),
      series('members us/call', ({ memberUs }) => memberUs),
      series('failed', ({ failed }) => failed),
    ];
  });
}

function tableOf(turns: Turns): string {
  const rows = Array.from(turns).flatMap(([each, byCluster]) =>
    Array.from(byCluster, ([cluster, of]) => {
      const middle = (pick: (turn: Turn) => number): number => median(of.map(pick));
      const rates = of.map(({ perSecond }) => perSecond);
      return [
        `${each.operation} ${each.concurrency}, ${cluster}`,
        median(rates).toFixed(0),
        `${Math.min(...rates).toFixed(0)} - ${Math.max(...rates).toFixed(0)}`,
        middle(({ p50Ms }) => p50Ms).toFixed(2),
        middle(({ p99Ms }) => p99Ms).toFixed(2),
        middle(({ memberUs }) => memberUs).toFixed(0),
        middle(({ clientUs }) => clientUs).toFixed(0),
        middle(({ clientCpu }) => clientCpu * 100).toFixed(0),
        String(of.reduce((sum, { failed }) => sum + failed, 0)),
      ];
    }),
  );
  const head = [
    ...['', 'calls/s', 'min - max', 'p50 ms', 'p99 ms'],
    ...['members us/call', 'client us/call', 'client CPU %', 'failed'],
  ];
  return formatTable([head, ...rows]);
}

export const bench: Bench = {
  about: 'writes and reads of three routers, against three members of etcd',
  rounds: 5,
  run,
};
