// Appends sent to one member and not answered yet, bounded in number and bytes: a slow member holds back only its own
// stream. A ring, since it is touched for every message.

import { assert } from '@etl-router/core';

export interface InflightLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export class Inflights {
  readonly #limits: InflightLimits;
  readonly #lastIndexes: number[] = [];
  readonly #sizes: number[] = [];
  #start = 0;
  #bytes = 0;

  constructor(limits: InflightLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#lastIndexes.length - this.#start;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing more may be sent; the bound of bytes may be passed by one message. */
  get isFull(): boolean {
    const { maxMessages, maxBytes } = this.#limits;
    return this.count >= maxMessages || this.#bytes >= maxBytes;
  }

  /** Notes a message whose last entry is `lastIndex`. */
  add(lastIndex: number, bytes: number): void {
    assert(!this.isFull, 'a message was sent past the bound of those in flight');
    assert(this.count === 0 || lastIndex >= (this.#lastIndexes.at(-1) as number), 'they ascend');
    this.#lastIndexes.push(lastIndex);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** Forgets all messages up to the one that ends at or before `index`. */
  freeTo(index: number): void {
    while (this.count > 0 && (this.#lastIndexes[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number;
      this.#start++;
    }
    if (this.#start < 64 && this.count > 0) return;
    this.#lastIndexes.splice(0, this.#start);
    this.#sizes.splice(0, this.#start);
    this.#start = 0;
  }

  clear(): void {
    this.#lastIndexes.length = 0;
    this.#sizes.length = 0;
    this.#start = 0;
    this.#bytes = 0;
  }
}
