// Changes that wait to be written. Of a row that several of them change, as each command changes the clock's, only the
// last one is kept: what is overwritten in time never costs a write, nor the encoding of its value.

import type { RowChange } from './applied-store.ts';

export class WaitingChanges {
  #byKey = new Map<string, RowChange>();

  /** Rows that are to be written. */
  get size(): number {
    return this.#byKey.size;
  }

  add(changes: readonly RowChange[]): void {
    for (const change of changes) this.#byKey.set(nameOf(change), change);
  }

  /** All of them, which do not wait here any more. */
  take(): Iterable<RowChange> {
    const taken = this.#byKey;
    this.#byKey = new Map();
    return taken.values();
  }
}

function nameOf({ key }: RowChange): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
