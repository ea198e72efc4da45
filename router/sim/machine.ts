// The production state machine with someone who counts: after every entry its state is a number that can be compared.

import type { Machine } from '../src/applied/replica.ts';
import type { CommittedEntry } from '../src/consensus/consensus.ts';
import type { StateHost } from '../src/server/state-host.ts';
import type { StoredRow } from '../src/state/machine.ts';
import { hashOfRows, StateHash } from './state-hash.ts';

export class WatchedMachine implements Machine {
  readonly #host: StateHost;
  readonly #hash = new StateHash();

  /** The last entry whose effects the rows have. */
  seen = 0;
  #coming: readonly number[] = [];

  constructor(host: StateHost) {
    this.#host = host;
  }

  /** Of all rows, from what changed since they were restored. */
  get hash(): number {
    return this.#hash.value;
  }

  /** The same, from all rows as a snapshot has them. */
  get fullHash(): number {
    return hashOfRows(this.#host.rows());
  }

  /** Those that are applied from now on. */
  expect(entries: readonly CommittedEntry[]): void {
    this.#coming = entries.filter(({ data }) => data.length > 0).map(({ index }) => index);
  }

  apply(command: Uint8Array): ReturnType<StateHost['apply']> {
    const applied = this.#host.apply(command);
    const [index, ...coming] = this.#coming;
    this.#coming = coming;
    this.seen = index ?? this.seen;
    this.#hash.update(applied.touched, this.#host.tables);
    return applied;
  }

  restore(rows: Iterable<StoredRow>): void {
    this.#host.restore(rows);
    this.#hash.replace(this.#host.tables);
  }
}
