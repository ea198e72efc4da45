// Tells who is interested which rows changed, after they changed. Listeners read the rows themselves: what they are
// told is where to look, so a listener that is told twice or late loses nothing.

import type { Cancel } from '@etl-router/core';
import type { Touched } from '../state/table.ts';
import type { Tables } from '../state/tables.ts';

/** Tables that can be watched. */
export type TableName = Exclude<keyof Tables, 'all' | 'clock' | 'journal' | 'staged'>;

/** Called with the keys of one table that one entry changed, one maybe twice. Must not throw. */
export type ChangeListener = (keys: Iterable<string>) => void;

/** Listeners by table. */
export class ChangeFeed {
  readonly #listeners = new Map<string, Set<ChangeListener>>();
  readonly #onReplaced = new Set<() => void>();

  /** Calls `listener` for every change of `table` from now on. */
  on(table: TableName, listener: ChangeListener): Cancel {
    const listeners = this.#listeners.get(table) ?? new Set();
    this.#listeners.set(table, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Calls `listener` after a snapshot took the place of all rows: what happened in between is not known. */
  onReplaced(listener: () => void): Cancel {
    this.#onReplaced.add(listener);
    return () => this.#onReplaced.delete(listener);
  }

  /** Tells the listeners of an applied entry. */
  publish(touched: readonly Touched[]): void {
    for (const { table, keys } of touched) {
      for (const listener of this.#listeners.get(table) ?? []) listener(keys);
    }
  }

  /** Tells of the keys of all rows, of before and of now, and then that they were replaced. */
  publishReplaced(touched: readonly Touched[]): void {
    this.publish(touched);
    for (const listener of this.#onReplaced) listener();
  }
}
