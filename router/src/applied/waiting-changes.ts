// Changes that wait to be written, in order. Of a row that several of them change, as each command changes the clock's,
// only the last one is kept: what is overwritten in time never costs a write, nor the encoding of its value. Many
// changes at once are not even looked at before they are written.

import type { Changes, RowChange } from './applied-store.ts';

export class WaitingChanges {
  #layers: Iterable<RowChange>[] = [];
  /** What comes behind all layers, by key. */
  #last = new Map<string, RowChange>();
  #hasMany = false;

  /** Rows that are to be written; without end where nobody counted them. */
  get count(): number {
    return this.#hasMany ? Number.POSITIVE_INFINITY : this.#last.size;
  }

  add(changes: Changes): void {
    for (const change of changes) {
      if ('many' in change) this.#addMany(change.many);
      else this.#last.set(nameOf(change), change);
    }
  }

  /** All of them, which do not wait here any more. */
  take(): Iterable<RowChange> {
    const layers = [...this.#layers, this.#last.values()];
    this.#layers = [];
    this.#last = new Map();
    this.#hasMany = false;
    return concatenated(layers);
  }

  #addMany(many: Iterable<RowChange>): void {
    this.#layers.push(this.#last.values(), many);
    this.#last = new Map();
    this.#hasMany = true;
  }
}

function* concatenated(layers: readonly Iterable<RowChange>[]): Generator<RowChange> {
  for (const layer of layers) yield* layer;
}

function nameOf({ key }: RowChange): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
