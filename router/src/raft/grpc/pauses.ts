// Pauses between attempts: doubled each time, and drawn, so that members that lost the same one do not return to it all
// at once.

import { type Clock, type Random, sleep } from '@etl-router/core';

const firstMs = 50;
const longestMs = 1000;

export class Pauses {
  readonly #random: Random;
  #nextMs = firstMs;

  constructor(random: Random) {
    this.#random = random;
  }

  /** An attempt succeeded. */
  reset(): void {
    this.#nextMs = firstMs;
  }

  /** Waits from half of this pause to all of it; returns early when `signal` aborts. */
  async wait(clock: Clock, signal: AbortSignal): Promise<void> {
    const pauseMs = this.#nextMs * (0.5 + this.#random.next() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, longestMs);
    try {
      await sleep(clock, pauseMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
