// Cores on a network that a test drives by hand: messages lie in a queue until they are delivered or dropped. After
// each step the rules that no run may break are checked, see invariants.ts.

import type { RaftOptions } from '../../src/raft/core-state.ts';
import type { Message } from '../../src/raft/messages.ts';
import { Invariants } from './invariants.ts';
import { type Member, members } from './member.ts';

export class Network {
  readonly members: Map<number, Member>;
  queue: Message[] = [];
  /** Whether a message from one to another gets through. */
  readonly #cut = new Set<string>();
  readonly #invariants = new Invariants();

  constructor(all: readonly Member[]) {
    this.members = new Map(all.map((member) => [member.id, member]));
  }

  /** A cluster of these voters. */
  static of(ids: readonly number[], options: Partial<RaftOptions> = {}): Network {
    return new Network(members(ids, options));
  }

  member(id: number): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  /** Cuts a member off in both directions. */
  isolate(id: number): void {
    for (const other of this.members.keys()) {
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  cut(from: number, to: number): void {
    this.#cut.add(`${from} ${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Carries out the effects of all members. */
  drain(): void {
    for (const member of this.members.values()) this.queue.push(...member.drain());
    this.#invariants.check([...this.members.values()]);
  }

  /** Delivers until nothing is under way. Throws after 100,000 messages: a loop. */
  settle(): void {
    this.drain();
    for (let count = 0; this.queue.length > 0; count++) {
      if (count > 100_000) throw new Error('messages go on for ever');
      this.deliver();
    }
  }

  /** Delivers the oldest message, or the oldest that fits, and puts what it causes at the end. False: there is none. */
  deliver(fits: (message: Message) => boolean = () => true): boolean {
    const message = this.#take(fits);
    if (message === undefined) return false;
    const to = this.members.get(message.to);
    const isLost = to === undefined || to.isDown || this.#cut.has(`${message.from} ${message.to}`);
    if (isLost) this.#lose(message);
    else this.#hand(message, to);
    this.drain();
    return true;
  }

  /** Loses the oldest message that fits. */
  drop(fits: (message: Message) => boolean): boolean {
    const message = this.#take(fits);
    if (message !== undefined) this.#lose(message);
    this.drain();
    return message !== undefined;
  }

  /** Lets time pass for some members, or for all. */
  tick(count: number, ids: readonly number[] = [...this.members.keys()]): void {
    for (let at = 0; at < count; at++) {
      for (const id of ids) if (!this.member(id).isDown) this.member(id).raft.tick();
      this.settle();
    }
  }

  elect(id: number): void {
    this.member(id).raft.campaign();
    this.settle();
  }

  #take(fits: (message: Message) => boolean): Message | undefined {
    const at = this.queue.findIndex(fits);
    return at < 0 ? undefined : this.queue.splice(at, 1)[0];
  }

  #hand(message: Message, to: Member): void {
    if (message.type !== 'installSnapshot') return to.raft.step(message);
    const from = this.members.get(message.from);
    const stored = from?.snapshots.get(message.index);
    if (stored !== undefined) to.snapshots.set(message.index, stored);
    to.raft.step(message);
    from?.raft.reportSnapshot(message.to, true);
  }

  #lose({ type, from, to }: Message): void {
    if (type === 'installSnapshot') this.members.get(from)?.raft.reportSnapshot(to, false);
  }
}
