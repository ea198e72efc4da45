// Three routers over a long life: a million entries through snapshots and compaction, with the memory and the disk that
// each member holds on the way, and then a state of 100 MB, which a new member has to take over.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AddLearnerRequestSchema,
  AddLearnerResponseSchema,
  GetClusterStatusResponseSchema,
} from '@etl-router/proto/admin';
import { SaveCheckpointRequestSchema } from '@etl-router/proto/checkpoint';
import type { Bench, BenchOptions, BenchResult } from './lib/bench.ts';
import { formatTable } from './lib/report.ts';
import { rounded } from './lib/statistics.ts';
import { Clients } from './raft/clients.ts';
import { type Cluster, leaderOf } from './raft/cluster.ts';
import { dialects } from './raft/dialects.ts';
import { freePorts, type MemberProcess } from './raft/member-process.ts';
import { routerDirectory, startRouter, startRouters } from './raft/routers.ts';
import { makeUnary } from './raft/unary.ts';

const cache = resolve(import.meta.dirname, '../.cache/bench/raft');
const entriesWanted = 1_000_000;
/** Growth is counted from here on: by then segments, snapshots and heaps have their size. */
const settledAt = 0.3;
const stateBytes = 100 * 1024 * 1024;
const checkpointBytes = 256 * 1024;
const catchUpMaxS = 15;
/** A member that needs a tenth more at the end than after a third of the way is growing. */
const growthMax = 1.1;
const newMember = 4;

/** What the members hold at one moment. */
interface Sample {
  readonly entries: number;
  readonly rssMib: readonly number[];
  readonly diskMib: readonly number[];
}

async function run({ quick }: BenchOptions): Promise<BenchResult> {
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'scale-'));
  const clients = new Clients(2);
  const started: MemberProcess[] = [];
  try {
    const cluster = await startRouters(directory);
    started.push(...cluster.members);
    const wanted = quick ? entriesWanted / 20 : entriesWanted;
    const samples = await live(clients, cluster, { directory, wanted });
    const bytes = quick ? stateBytes / 20 : stateBytes;
    await fill(await leaderOf(cluster, dialects.router), bytes);
    const [api = 0, raft = 0] = await freePorts(2);
    const place = {
      id: newMember,
      directory,
      address: `127.0.0.1:${api}`,
      raftAddress: `127.0.0.1:${raft}`,
      peers: cluster.raftAddresses.map((address, at) => `${at + 1}@${address}`),
    };
    started.push(startRouter(place));
    const catchUpS = await catchUp(cluster, place);
    return report(samples, { catchUpS, bytes });
  } finally {
    await Promise.allSettled([clients.stop(), ...started.map((member) => member.stop())]);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes until the log came so far, and looks at the members on the way. */
async function live(
  clients: Clients,
  cluster: Cluster,
  { directory, wanted }: { readonly directory: string; readonly wanted: number },
): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const startMs = performance.now();
  for (let entries = 0; entries < wanted; ) {
    if (performance.now() - startMs > 3_600_000) throw new Error(`${entries} entries in an hour`);
    const address = await leaderOf(cluster, dialects.router);
    const task = { dialect: 'router', operation: 'write', address, concurrency: 256 } as const;
    const { firstError, count, failed } = await clients.run(
      { ...task, warmMs: 0, runMs: 5000 },
      2,
      4,
    );
    if (failed > count / 100) throw new Error(`${failed} of ${count} failed, as: ${firstError}`);
    entries = await commitIndexOf(address);
    samples.push({
      entries,
      rssMib: cluster.members.map((member) => member.rssMib()),
      diskMib: cluster.members.map((_, at) => diskMib(routerDirectory({ id: at + 1, directory }))),
    });
  }
  return samples;
}

/** Fills the state with checkpoints that nothing replaces. */
async function fill(address: string, bytes: number): Promise<void> {
  const calls = makeUnary(address, 4);
  const path = dialects.router.paths.write;
  const count = Math.ceil(bytes / checkpointBytes);
  let next = 0;
  const write = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) {
      const data = new Uint8Array(checkpointBytes).fill(at % 251);
      const checkpoint = { serviceId: `large-${at}`, checkpointId: '1', data };
      const request = create(SaveCheckpointRequestSchema, { checkpoint });
      await calls.ask(path, Buffer.from(toBinary(SaveCheckpointRequestSchema, request)));
    }
  };
  await Promise.all(Array.from({ length: 4 }, write));
  calls.close();
}

/** Seconds from the change of members until the new one has applied what was committed then. */
async function catchUp(
  cluster: Cluster,
  place: { readonly id: number; readonly directory: string } & {
    readonly address: string;
    readonly raftAddress: string;
  },
): Promise<number> {
  const identity = join(routerDirectory(place), 'data', 'router', 'identity.json');
  const { nodeId } = JSON.parse(
    await until('the new member is started', () => readFileSync(identity, 'utf8')),
  ) as { readonly nodeId: number };
  const leader = await leaderOf(cluster, dialects.router);
  const wanted = await commitIndexOf(leader);
  const call = makeUnary(leader, 1);
  const startMs = performance.now();
  const request = create(AddLearnerRequestSchema, {
    name: String(place.id),
    raftId: BigInt(nodeId),
    address: place.raftAddress,
    requestId: `bench-${nodeId}`,
  });
  const bytes = Buffer.from(toBinary(AddLearnerRequestSchema, request));
  fromBinary(
    AddLearnerResponseSchema,
    await call.ask('/etl.router.v1.RouterAdmin/AddLearner', bytes),
  );
  call.close();
  await until('the new member has caught up', async () => {
    const { appliedIndex } = await statusOf(place.address);
    if (Number(appliedIndex) < wanted) throw new Error(`it is at ${appliedIndex} of ${wanted}`);
  });
  return (performance.now() - startMs) / 1000;
}

/** Asks again until it does not throw, for two minutes at most. */
async function until<Result>(what: string, ask: () => Result | Promise<Result>): Promise<Result> {
  const startMs = performance.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() - startMs > 120_000)
        throw new Error(`${what}: not so`, { cause: error });
      await wait(50);
    }
  }
}

async function statusOf(address: string) {
  const call = makeUnary(address, 1);
  try {
    const answer = await call.ask(dialects.router.status.path, Buffer.alloc(0));
    return fromBinary(GetClusterStatusResponseSchema, answer);
  } finally {
    call.close();
  }
}

async function commitIndexOf(address: string): Promise<number> {
  return Number((await statusOf(address)).commitIndex);
}

/** What a folder takes on the disk. */
function diskMib(directory: string): number {
  let blocks = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    // A file may be removed between the two calls.
    blocks += statSync(join(directory, name), { throwIfNoEntry: false })?.blocks ?? 0;
  }
  return (blocks * 512) / 1024 / 1024;
}

function report(
  samples: readonly Sample[],
  { catchUpS, bytes }: { readonly catchUpS: number; readonly bytes: number },
): BenchResult {
  const last = samples.at(-1) as Sample;
  const settled = samples.find(({ entries }) => entries >= last.entries * settledAt) as Sample;
  const after = samples.filter(({ entries }) => entries > settled.entries);
  const peak = (pick: (sample: Sample) => readonly number[], of: readonly Sample[]): number =>
    Math.max(...of.flatMap(pick));
  const growth = (pick: (sample: Sample) => readonly number[]): number => {
    const before = samples.filter(({ entries }) => entries <= settled.entries);
    return peak(pick, after.length === 0 ? samples : after) / peak(pick, before);
  };
  const rssOf = ({ rssMib }: Sample): readonly number[] => rssMib;
  const diskOf = ({ diskMib: disk }: Sample): readonly number[] => disk;
  const shown = samples.filter((_, at) => at % Math.ceil(samples.length / 12) === 0);
  return {
    text: [
      formatTable([
        ['entries', 'MiB of memory', 'MiB of disk'],
        ...[...new Set([...shown, last])].map(({ entries, rssMib, diskMib: disk }) => [
          String(entries),
          rssMib.map((each) => each.toFixed(0)).join(' '),
          disk.map((each) => each.toFixed(0)).join(' '),
        ]),
      ]),
      '',
      `A new member took over a state of ${(bytes / 1e6).toFixed(0)} MB in ${catchUpS.toFixed(1)} s.`,
    ].join('\n'),
    ratios: [
      { name: 'memory', value: growthMax / growth(rssOf), required: 1 },
      { name: 'disk', value: growthMax / growth(diskOf), required: 1 },
      { name: 'catch_up', value: catchUpMaxS / catchUpS, required: 1 },
    ],
    raw: {
      entries: samples.map(({ entries }) => entries),
      'memory, MiB, largest': samples.map((sample) => rounded(Math.max(...sample.rssMib))),
      'disk, MiB, largest': samples.map((sample) => rounded(Math.max(...sample.diskMib))),
      'catch up, s': [rounded(catchUpS)],
    },
    settings: { entriesWanted, stateBytes: bytes, checkpointBytes, growthMax, catchUpMaxS },
  };
}

export const bench: Bench = {
  about: 'three routers over a million entries: memory, disk; a new member takes over 100 MB',
  rounds: 1,
  run,
};
