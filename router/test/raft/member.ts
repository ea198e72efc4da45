// One core with a driver that a test holds in its hands: a log in memory, a disk that can be held back, a state that is
// the list of commands applied, and snapshots of it.

import { seededRandom } from '@etl-router/core';
import {
  type Configuration,
  type ConfigurationChange,
  configurationOf,
} from '../../src/raft/configuration.ts';
import type { RaftOptions, ReadGrant, Ready, SnapshotWish } from '../../src/raft/core-state.ts';
import type { Message } from '../../src/raft/messages.ts';
import { Raft } from '../../src/raft/raft.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { MemoryLog } from './memory-log.ts';

/** Changes of members as entries hold them in tests: JSON; nothing: leave the joint configuration. */
export function encodeChange(change: ConfigurationChange): Uint8Array {
  return Buffer.from(change.steps.length === 0 ? '' : JSON.stringify(change));
}

export function decodeChange(data: Uint8Array): ConfigurationChange {
  if (data.length === 0) return { steps: [], autoLeave: false };
  return JSON.parse(Buffer.from(data).toString()) as ConfigurationChange;
}

/** What a member would find in a snapshot file. */
export interface StoredState {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
  readonly applied: readonly string[];
}

/** Watches what a member does; for transcripts. */
export interface MemberObserver {
  ready(ready: Ready): void;
  sent(message: Message): void;
  applied(entry: Entry): void;
}

const silent: MemberObserver = { ready() {}, sent() {}, applied() {} };

export class Member {
  readonly id: number;
  log = new MemoryLog();
  raft: Raft;
  /** Commands applied, as text. */
  applied: readonly string[] = [];
  readonly reads: ReadGrant[] = [];
  readonly wishes: SnapshotWish[] = [];
  readonly alarms: string[] = [];
  readonly snapshots = new Map<number, StoredState>();
  observer: MemberObserver = silent;
  /** It crashed and was not started again. */
  isDown = false;
  /** While set nothing becomes durable, so no promise leaves. */
  isDiskHeld = false;
  /** While set nothing that is committed is applied. */
  isApplyHeld = false;
  readonly #options: Partial<RaftOptions>;
  #held: { readonly upTo: number; readonly messages: readonly Message[] }[] = [];

  constructor(id: number, configuration: Configuration, options: Partial<RaftOptions> = {}) {
    this.id = id;
    this.#options = options;
    this.snapshots.set(0, { index: 0, term: 0, configuration, applied: [] });
    this.raft = this.#start();
  }

  /** The commands that its latest snapshot holds are applied, the others are again. */
  #start(): Raft {
    const { id, log } = this;
    const { configuration, applied, index } = this.snapshots.get(log.snapshot.index) as StoredState;
    this.applied = applied;
    const random = seededRandom(id);
    const state = { id, log, configuration, applied: index };
    return new Raft({ ...state, random: () => random.next(), ...this.#options });
  }

  /** Begins with these terms in its log, from index 1, as if that had been replicated before. */
  seed(terms: readonly number[], term: number, commit = 0): void {
    const entries = terms.map((each, at): Entry => {
      return { index: at + 1, term: each, type: 'normal', data: Buffer.from(`${each}.${at + 1}`) };
    });
    this.log.write({ hardState: { term, vote: 0, commit }, entries });
    this.log.sync();
    this.raft = this.#start();
  }

  crash(): void {
    this.log = this.log.afterCrash();
    this.#held = [];
    this.isDown = true;
    this.isDiskHeld = false;
  }

  /** Starts from what was durable. */
  restart(): void {
    if (!this.isDown) this.crash();
    this.isDown = false;
    this.raft = this.#start();
  }

  /** Takes a snapshot of what is applied; releases entries up to `releaseTo`. */
  snapshot(releaseTo?: number): void {
    const { applied: index, configuration } = this.raft.status();
    const term = this.log.term(index) as number;
    this.snapshots.set(index, { index, term, configuration, applied: this.applied });
    this.log.write({ snapshot: { index, term } });
    this.log.sync();
    if (releaseTo !== undefined) this.log.release(releaseTo);
  }

  /** Carries out the effects until there are none; returns what it sent. */
  drain(): readonly Message[] {
    const sent: Message[] = [];
    while (!this.isDown) {
      const wasReady = this.raft.hasReady;
      const ready = this.raft.ready();
      if (wasReady) this.observer.ready(ready);
      this.#carryOut(ready, sent);
      this.#keepPromises(sent);
      this.#apply();
      if (!wasReady && !this.raft.hasReady) break;
    }
    return sent;
  }

  #carryOut(ready: Ready, sent: Message[]): void {
    const { record, messages, afterDurable, snapshots, reads, alarms } = ready;
    if (record?.snapshot !== undefined)
      this.applied = (this.snapshots.get(record.snapshot.index) as StoredState).applied;
    if (record !== undefined) this.log.write(record);
    for (const message of messages) this.#send(message, sent);
    this.reads.push(...reads);
    this.wishes.push(...snapshots);
    this.alarms.push(...alarms.map(({ message }) => message));
    this.#held.push({ upTo: this.log.count, messages: afterDurable });
    for (const { to, term, snapshot } of snapshots) {
      const { configuration } = this.snapshots.get(snapshot.index) as StoredState;
      const body = { type: 'installSnapshot', index: snapshot.index } as const;
      const header = { ...body, indexTerm: snapshot.term, configuration };
      this.#send({ from: this.id, to, term, ...header }, sent);
    }
  }

  #keepPromises(sent: Message[]): void {
    if (!this.isDiskHeld) this.log.sync();
    while (this.#held[0] !== undefined && this.#held[0].upTo <= this.log.durable) {
      for (const message of this.#held.shift()?.messages ?? []) {
        if (message.to === this.id) this.raft.step(message);
        else this.#send(message, sent);
      }
    }
  }

  #send(message: Message, sent: Message[]): void {
    this.observer.sent(message);
    sent.push(message);
  }

  #apply(): void {
    if (this.isApplyHeld) return;
    const { applied, commitIndex } = this.raft.status();
    for (let index = applied + 1; index <= commitIndex; index++) {
      const [entry] = this.log.entries(index, index + 1, Number.MAX_SAFE_INTEGER) as [Entry];
      if (entry.type === 'configuration') this.raft.applyConfiguration(decodeChange(entry.data));
      else if (entry.data.length > 0)
        this.applied = [...this.applied, Buffer.from(entry.data).toString()];
      this.observer.applied(entry);
      this.raft.appliedTo(index);
    }
  }
}

/** A member for each id, all of them voters; `options` may differ by member. */
export function members(
  ids: readonly number[],
  options: Partial<RaftOptions> = {},
  configuration: Configuration = configurationOf(...ids),
): readonly Member[] {
  return ids.map((id) => new Member(id, configuration, options));
}
