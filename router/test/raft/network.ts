// Cores on a network that a test drives by hand: messages lie in a queue until they are delivered, and disks are synced
// at once unless a test holds them back.

import { seededRandom } from '@etl-router/core';
import type { Configuration, ConfigurationChange } from '../../src/raft/configuration.ts';
import type { RaftOptions, ReadGrant, SnapshotWish } from '../../src/raft/core-state.ts';
import type { Message } from '../../src/raft/messages.ts';
import { Raft } from '../../src/raft/raft.ts';
import { MemoryLog } from './memory-log.ts';

/** Changes of members as entries hold them in tests: JSON; nothing: leave the joint configuration. */
export function encodeChange(change: ConfigurationChange): Uint8Array {
  return Buffer.from(change.steps.length === 0 ? '' : JSON.stringify(change));
}

export function decodeChange(data: Uint8Array): ConfigurationChange {
  if (data.length === 0) return { steps: [], autoLeave: false };
  return JSON.parse(Buffer.from(data).toString()) as ConfigurationChange;
}

/** One member. */
export class Member {
  readonly id: number;
  log: MemoryLog;
  raft: Raft;
  /** Commands applied, as text. */
  readonly applied: string[] = [];
  readonly reads: ReadGrant[] = [];
  readonly wishes: SnapshotWish[] = [];
  readonly alarms: string[] = [];
  /** While set nothing becomes durable, so no promise leaves. */
  isDiskHeld = false;
  readonly #options: Partial<RaftOptions>;
  #held: { readonly upTo: number; readonly messages: readonly Message[] }[] = [];

  constructor(id: number, configuration: Configuration, options: Partial<RaftOptions> = {}) {
    this.id = id;
    this.log = new MemoryLog();
    this.#options = options;
    this.raft = this.#start(configuration, 0);
  }

  #start(configuration: Configuration, applied: number): Raft {
    const source = seededRandom(this.id);
    const random = (): number => source.next();
    const { id, log } = this;
    return new Raft({ id, log, configuration, applied, random, ...this.#options });
  }

  /** Loses what was not durable and starts again. The test says what was applied. */
  restart(configuration: Configuration, applied = 0): void {
    this.log = this.log.afterCrash();
    this.#held = [];
    this.raft = this.#start(configuration, applied);
  }

  /** Carries out the effects until there are none; returns what it sent. */
  drain(): readonly Message[] {
    const sent: Message[] = [];
    for (;;) {
      const wasReady = this.raft.hasReady;
      const { record, messages, afterDurable, snapshots, reads, alarms } = this.raft.ready();
      if (record !== undefined) this.log.write(record);
      sent.push(...messages);
      this.reads.push(...reads);
      this.wishes.push(...snapshots);
      this.alarms.push(...alarms.map(({ message }) => message));
      this.#held.push({ upTo: this.log.count, messages: afterDurable });
      if (!this.isDiskHeld) this.log.sync();
      while (this.#held[0] !== undefined && this.#held[0].upTo <= this.log.durable) {
        for (const message of this.#held.shift()?.messages ?? []) {
          if (message.to === this.id) this.raft.step(message);
          else sent.push(message);
        }
      }
      this.#apply();
      if (!wasReady && !this.raft.hasReady) return sent;
    }
  }

  #apply(): void {
    const { applied, commitIndex } = this.raft.status();
    for (let index = Math.max(applied + 1, this.log.firstIndex); index <= commitIndex; index++) {
      const [entry] = this.log.entries(index, index + 1, Number.MAX_SAFE_INTEGER);
      if (entry === undefined) continue;
      if (entry.type === 'configuration') this.raft.applyConfiguration(decodeChange(entry.data));
      else if (entry.data.length > 0) this.applied.push(Buffer.from(entry.data).toString());
      this.raft.appliedTo(index);
    }
  }
}

export class Network {
  readonly members: ReadonlyMap<number, Member>;
  queue: Message[] = [];
  /** Whether a message from one to another gets through. */
  readonly #cut = new Set<string>();

  constructor(members: readonly Member[]) {
    this.members = new Map(members.map((member) => [member.id, member]));
  }

  member(id: number): Member {
    return this.members.get(id) as Member;
  }

  /** Cuts a member off in both directions. */
  isolate(id: number): void {
    for (const other of this.members.keys()) {
      this.#cut.add(`${id} ${other}`);
      this.#cut.add(`${other} ${id}`);
    }
  }

  cut(from: number, to: number): void {
    this.#cut.add(`${from} ${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Delivers until nothing is under way. Throws after 100,000 messages: a loop. */
  settle(): void {
    for (const member of this.members.values()) this.queue.push(...member.drain());
    for (let count = 0; this.queue.length > 0; count++) {
      if (count > 100_000) throw new Error('messages go on for ever');
      this.deliver();
    }
  }

  /** Delivers the oldest message and puts what it causes at the end. */
  deliver(): void {
    const message = this.queue.shift();
    if (message === undefined) return;
    const to = this.members.get(message.to);
    if (to === undefined || this.#cut.has(`${message.from} ${message.to}`)) return;
    to.raft.step(message);
    this.queue.push(...to.drain());
  }

  /** Lets time pass for some members, or for all. */
  tick(count: number, ids: readonly number[] = [...this.members.keys()]): void {
    for (let at = 0; at < count; at++) {
      for (const id of ids) this.member(id).raft.tick();
      this.settle();
    }
  }

  elect(id: number): void {
    this.member(id).raft.campaign();
    this.settle();
  }
}
