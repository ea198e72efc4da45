// The list of where records begin and end while a batch is made or opened: numbers in one growing array, because
// half a million boxed ones a second would cost more than reading the records.

/** Pairs of start and end, in the order in which they were added. */
export class SpanList {
  #bounds: Uint32Array<ArrayBuffer>;
  #length = 0;

  /** `capacity` is how many numbers it holds before it grows. */
  constructor(capacity = 256) {
    this.#bounds = new Uint32Array(Math.max(16, capacity));
  }

  /** Pairs added since the last {@link take}. */
  get count(): number {
    return this.#length >>> 1;
  }

  push(start: number, end: number): void {
    if (this.#length + 2 > this.#bounds.length) {
      const grown = new Uint32Array(this.#bounds.length * 2 + 2);
      grown.set(this.#bounds);
      this.#bounds = grown;
    }
    this.#bounds[this.#length++] = start;
    this.#bounds[this.#length++] = end;
  }

  /** All pairs, as an array of their own; the list starts over. */
  take(): Uint32Array<ArrayBuffer> {
    const taken = this.#bounds.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }
}
