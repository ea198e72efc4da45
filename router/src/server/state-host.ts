// Holds the state machine and feeds it: committed entries go in, in order, and their answers, their changes for the
// applied store and the word to those who watch come out.

import { type Applied, StateMachine, type StoredRow } from '../state/machine.ts';
import type { Touched } from '../state/table.ts';
import type { Tables } from '../state/tables.ts';
import { ChangeFeed } from './change-feed.ts';
import { stateDigest } from './digest.ts';

const nothing: Applied = { result: new Uint8Array(), changes: [], touched: [] };

/** The state and who listens to it. */
export class StateHost {
  readonly feed: ChangeFeed = new ChangeFeed();
  #machine: StateMachine;

  /** Starts from the rows of the applied store; none for an empty one. */
  constructor(rows: Iterable<StoredRow> = []) {
    this.#machine = StateMachine.load(rows);
  }

  /** The rows. For reading; the state machine alone changes them. */
  get tables(): Tables {
    return this.#machine.tables;
  }

  /**
   * Applies one committed entry. The caller writes the changes and the entry's index in one batch, before it answers
   * the proposer. An entry without data, such as the first of a term, does nothing.
   */
  apply(entry: Uint8Array): Applied {
    if (entry.length === 0) return nothing;
    const applied = this.#machine.apply(entry);
    this.feed.publish(applied.touched);
    return applied;
  }

  /** Replaces everything by a snapshot. Watchers see every row as changed. */
  restore(rows: Iterable<StoredRow>): void {
    const before = this.#machine.tables;
    this.#machine = StateMachine.load(rows);
    const touched: Touched[] = [];
    for (const [index, table] of this.#machine.tables.all.entries()) {
      const keys = new Set([...(before.all[index]?.keys() ?? []), ...table.keys()]);
      touched.push({ table: table.name, keys });
    }
    this.feed.publishReplaced(touched);
  }

  /** Every row, for a snapshot. */
  rows(): Iterable<StoredRow> {
    return this.#machine.rows();
  }

  /** Equal on every member and replay at the same log index. */
  digest(): string {
    return stateDigest(this.#machine.rows());
  }
}
