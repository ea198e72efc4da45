// Linearizable reads that wait (thesis 6.4): a read is granted when a quorum confirmed, after it came, that this leader
// still leads, and an entry of its term is committed. Contexts ascend, so one heartbeat confirms all before it.

import { EtlError } from '@etl-router/core';

export interface PendingRead {
  readonly from: number;
  /** The asker's name of it. */
  readonly context: number;
  /** The commit index when it came; it is at least that of every write answered before. */
  readonly index: number;
  /** The heartbeat that confirms it. */
  readonly round: number;
}

export class ReadQueue {
  readonly #max: number;
  #pending: PendingRead[] = [];
  /** Came before the leader's first commit. */
  #postponed: Pick<PendingRead, 'from' | 'context'>[] = [];
  /** The last round that heartbeats carried. */
  #announced = 0;
  /** The last round that each member confirmed. */
  readonly #confirmed = new Map<number, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The round that heartbeats carry; 0 while nothing waits. */
  get round(): number {
    return this.#pending.length === 0 ? 0 : this.#announced;
  }

  /** Reads came that no heartbeat carries yet. */
  get hasUnannounced(): boolean {
    return (this.#pending.at(-1)?.round ?? 0) > this.#announced;
  }

  /** Begins a round for the reads that came since the last one began; false when none did. */
  announce(): boolean {
    if (!this.hasUnannounced) return false;
    this.#announced++;
    return true;
  }

  get count(): number {
    return this.#pending.length + this.#postponed.length;
  }

  /** Queues a read for the next round: only heartbeats that leave after it came confirm it. Throws ETL_LIMIT_EXCEEDED. */
  add(from: number, context: number, index: number): void {
    this.#checkRoom();
    this.#pending.push({ from, context, index, round: this.#announced + 1 });
  }

  /** Queues a read until the leader has committed an entry of its term. */
  postpone(from: number, context: number): void {
    this.#checkRoom();
    this.#postponed.push({ from, context });
  }

  takePostponed(): readonly Pick<PendingRead, 'from' | 'context'>[] {
    const taken = this.#postponed;
    this.#postponed = [];
    return taken;
  }

  /** A member confirmed a round. */
  confirm(id: number, round: number): void {
    if (round <= (this.#confirmed.get(id) ?? 0) || round > this.#announced) return;
    this.#confirmed.set(id, round);
  }

  confirmedBy(id: number): number {
    return this.#confirmed.get(id) ?? 0;
  }

  /** Takes what the rounds up to `round` confirm. */
  takeTo(round: number): readonly PendingRead[] {
    const count = this.#pending.findIndex((read) => read.round > round);
    return this.#pending.splice(0, count < 0 ? this.#pending.length : count);
  }

  /** Takes everything: leadership ended. */
  clear(): readonly Pick<PendingRead, 'from' | 'context'>[] {
    const all = [...this.#pending, ...this.#postponed];
    this.#pending = [];
    this.#postponed = [];
    this.#confirmed.clear();
    return all;
  }

  #checkRoom(): void {
    if (this.count < this.#max) return;
    throw new EtlError('ETL_LIMIT_EXCEEDED', `${this.#max} reads wait for a quorum; try again`, {
      retryable: true,
    });
  }
}
