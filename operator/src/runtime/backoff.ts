// Waits that double until they reach a bound, with jitter so that those who failed together do not come back together.

import type { Random } from '@etl-router/core';

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** A wait is longer than its base by up to this share of it. Default 1, as in client-go. */
  readonly jitter?: number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: Random;
  #failures = 0;

  constructor(options: BackoffOptions, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  /** Failures since the last reset. */
  get failures(): number {
    return this.#failures;
  }

  /** Counts a failure; how long to wait after it. */
  nextMs(): number {
    const { firstMs, maxMs, jitter = 1 } = this.#options;
    const baseMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.#failures, 40));
    this.#failures += 1;
    return Math.min(maxMs, baseMs * (1 + jitter * this.#random.next()));
  }

  reset(): void {
    this.#failures = 0;
  }
}
