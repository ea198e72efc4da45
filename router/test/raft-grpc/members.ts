// Members over real sockets for the tests of the transport: each with a receiver that writes down what it hears.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, silentLogger, systemClock } from '@etl-router/core';
import type { PeerSecurity } from '../../src/raft/grpc/security.ts';
import {
  GrpcTransport,
  type GrpcTransportOptions,
  type Participation,
} from '../../src/raft/grpc/transport.ts';
import type { Message, MessageBody } from '../../src/raft/messages.ts';
import type { Peer, RaftReceiver } from '../../src/raft/transport.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';

export const clusterId = 'test-cluster';

/** What a member heard, and a way to wait for it. */
export class Heard {
  readonly messages: Message[] = [];
  readonly unreachable: number[] = [];
  readonly shipped: { readonly id: number; readonly arrived: boolean }[] = [];
  #waiters: { readonly isDone: () => boolean; readonly done: () => void }[] = [];

  /** What it does with commands that others hand over. */
  take: RaftReceiver['propose'] = () => Promise.reject(new Error('it takes no commands'));

  readonly receiver: RaftReceiver = {
    propose: (command, options) => this.take(command, options),
    receive: (message: Message): void => {
      this.messages.push(message);
      this.#look();
    },
    unreachable: (id: number): void => {
      this.unreachable.push(id);
      this.#look();
    },
    snapshotSent: (id: number, arrived: boolean): void => {
      this.shipped.push({ id, arrived });
      this.#look();
    },
  };

  /** Resolves when it heard enough. */
  until(isDone: (heard: Heard) => boolean): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    this.#waiters.push({ isDone: () => isDone(this), done: waiter.resolve });
    this.#look();
    return waiter.promise;
  }

  #look(): void {
    const due = this.#waiters.filter(({ isDone }) => isDone());
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter));
    for (const { done } of due) done();
  }
}

export interface Member {
  readonly transport: GrpcTransport;
  readonly heard: Heard;
  readonly directory: string;
  readonly peer: Peer;
}

export type MemberOptions = Partial<Omit<GrpcTransportOptions, 'self' | 'listenAddress'>> & {
  readonly id: number;
  readonly name?: string;
  readonly host?: string;
  readonly port?: number;
  /** The cluster its data directory is of. */
  readonly clusterId?: string;
  readonly security?: PeerSecurity;
  /** Null: it belongs to no cluster yet. */
  readonly participation?: Partial<Participation> | null;
};

/** Members that are closed, with their directories, when the test ends. */
export class Members {
  readonly #cleanups: (() => Promise<void>)[] = [];

  async add(options: MemberOptions): Promise<Member> {
    const { id, name = `m${id}`, clusterId: own = '', participation = {}, ...rest } = options;
    const { host = '127.0.0.1', port = 0 } = options;
    const directory = await this.directory();
    const transport = await GrpcTransport.listen({
      listenAddress: { host, port },
      security: { insecure: true },
      snapshots: { disk: nodeDisk, directory },
      clock: systemClock,
      random: seededRandom(id),
      logger: silentLogger,
      snapshotBytesPerS: 1024 ** 3,
      ...rest,
      self: { id, name, clusterId: own },
    });
    this.#cleanups.push(() => transport.close());
    const heard = new Heard();
    if (participation !== null) {
      transport.start({
        clusterId,
        receiver: heard.receiver,
        isInitialised: () => true,
        ...participation,
      });
    }
    return { transport, heard, directory, peer: { id, name, address: transport.address } };
  }

  async directory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'raft-grpc-'));
    this.#cleanups.push(() => rm(directory, { recursive: true }));
    return directory;
  }

  onClose(cleanup: () => Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.toReversed()) await cleanup();
  }
}

/** Runs a test with members that it need not close. */
export function withMembers(run: (members: Members) => Promise<void>): () => Promise<void> {
  return async () => {
    const members = new Members();
    try {
      await run(members);
    } finally {
      await members.close();
    }
  };
}

export function message(from: number, to: number, body: MessageBody, term = 1): Message {
  return { from, to, term, ...body };
}

export function heartbeat(from: number, to: number, commitIndex = 1): Message {
  return message(from, to, { type: 'heartbeat', commitIndex, readContext: 0 });
}

/** An append of one entry of that index. */
export function append(from: number, to: number, index: number, bytes = 100): Message {
  return message(from, to, {
    type: 'appendEntries',
    previousIndex: index - 1,
    previousTerm: 1,
    entries: [{ index, term: 1, type: 'normal', data: new Uint8Array(bytes).fill(index % 251) }],
    commitIndex: 0,
  });
}
