// What the benchmark asks of a cluster, whoever made it: three processes, the member that leads, and the calls that
// are compared: write one small key, read it so that the answer is the last one written, and write many in one call.

import { setTimeout as wait } from 'node:timers/promises';
import type { MemberProcess } from './member-process.ts';
import { makeUnary } from './unary.ts';

/** Bytes of a value. */
export const valueBytes = 256;
/** Keys that are written in turn; both sides keep all of them. */
export const keyCount = 4096;

/** Writes in one call of a batch. etcd takes 128 at most. */
export const batchWrites = 64;
/** Batches that may be in flight at once, each with keys of its own. */
export const batchSlots = 8;

export type Operation = 'write' | 'read' | 'batch';

/** A request that is sent again and again. */
export interface Request {
  readonly bytes: Buffer;
  /** Where it holds a number of 8 bytes that is larger with every use. */
  readonly counters: readonly number[];
}

/** What a request is about. */
export interface Write {
  readonly keys: readonly string[];
  readonly value: Uint8Array;
  /** Of the lanes that the keys of a batch are. */
  readonly epoch: bigint;
}

/** How a kind of cluster is talked to. */
export interface Dialect {
  /** gRPC path of each operation. */
  readonly paths: { readonly [operation in Operation]: string };
  /** The request for one key, or with a batch for several, as it goes over the wire. */
  encode(operation: Operation, write: Write): Buffer;
  /** Whether an answer says that all was done. */
  isDone(operation: Operation, answer: Uint8Array): boolean;
  /** Whether the member that answers `path` leads. */
  readonly status: { readonly path: string; leads(answer: Uint8Array): boolean };
}

/** A cluster that runs. */
export interface Cluster {
  readonly name: string;
  readonly dialect: 'etcd' | 'router';
  readonly members: readonly MemberProcess[];
  /** Where clients reach the members, in the same order. */
  readonly addresses: readonly string[];
  /** Of the lanes for batches, where it has any. */
  readonly epoch?: bigint;
}

/** To start in, on a machine that is busy; an election takes a second or two. */
const electionMs = 120_000;
const askAgainMs = 50;

/** Address of the member that leads now. Throws as soon as a member is not running. */
export async function leaderOf(cluster: Cluster, { status }: Dialect): Promise<string> {
  const { name, members, addresses } = cluster;
  const startMs = performance.now();
  let last: unknown;
  while (performance.now() - startMs < electionMs) {
    for (const address of addresses) {
      for (const member of members) member.check();
      const call = makeUnary(address, 1);
      try {
        if (status.leads(await call.ask(status.path, Buffer.alloc(0)))) return address;
      } catch (error) {
        last = error;
      } finally {
        call.close();
      }
    }
    await wait(askAgainMs);
  }
  throw new Error(`${name} has no leader after ${electionMs} ms`, { cause: last });
}

/** Processor seconds of all members so far. */
export function cpuSOf({ members }: Cluster): number {
  return members.reduce((sum, member) => sum + member.cpuS(), 0);
}

export async function stopCluster({ members }: Cluster): Promise<void> {
  await Promise.all(members.map((member) => member.stop()));
}
