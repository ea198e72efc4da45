// What the leader knows of one member, and how fast it may send to it. `probe`: where the logs part is not known, one
// append per heartbeat. `replicate`: appends are sent without waiting, as many as may be in flight. `snapshot`:
// nothing is sent until the snapshot has arrived.

import { assert } from '@etl-router/core';
import { type InflightLimits, Inflights } from './inflights.ts';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export class Progress {
  /** The last entry known to agree and to be durable there. */
  match = 0;
  /** The entry to send next. */
  next: number;
  state: ProgressState = 'probe';
  /** It was heard of since the leader last counted. */
  isActive = false;
  /** It was heard of between the last two counts. */
  wasActive = false;
  /** `probe`: an append was sent, and waits for an answer or for the next heartbeat's. */
  isPaused = false;
  /** The commit index that the last append carried. */
  told = 0;
  /** `snapshot`: the index that is on its way. */
  pendingSnapshot = 0;
  readonly inflights: Inflights;

  constructor(next: number, limits: InflightLimits) {
    this.next = next;
    this.inflights = new Inflights(limits);
  }

  /** Nothing may be sent to it now. */
  get isBlocked(): boolean {
    if (this.state === 'replicate') return this.inflights.isFull;
    return this.state === 'snapshot' || this.isPaused;
  }

  toProbe(): void {
    // A snapshot that arrived moves the next entry past it, one that failed does not.
    const after = this.state === 'snapshot' ? this.pendingSnapshot : this.match;
    this.#enter('probe');
    this.next = Math.max(this.match, after) + 1;
  }

  toReplicate(): void {
    this.#enter('replicate');
    this.next = this.match + 1;
  }

  toSnapshot(index: number): void {
    this.#enter('snapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
  }

  /** The snapshot did not arrive. */
  snapshotFailed(): void {
    this.pendingSnapshot = 0;
    this.toProbe();
  }

  /** Notes that entries up to `lastIndex` were sent; without entries nothing but a probe was. */
  sent(count: number, lastIndex: number, bytes: number): void {
    assert(this.state !== 'snapshot', 'nothing is sent while a snapshot is on its way');
    if (this.state === 'probe') this.isPaused = true;
    else if (count > 0) {
      this.next = lastIndex + 1;
      this.inflights.add(lastIndex, bytes);
    }
  }

  /** It holds everything up to `index`. False: that was known. */
  accepted(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.isPaused = false;
    return true;
  }

  /**
   * It refused an append after `rejected`, and may agree up to `hint`. False: the refusal is older than what is known
   * since.
   */
  refused(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.isPaused = false;
    return true;
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.isPaused = false;
    if (state !== 'replicate') this.told = 0;
    this.pendingSnapshot = 0;
    this.inflights.clear();
  }
}
