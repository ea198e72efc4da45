// The one way in which the engine's loops wait for each other: somebody waits, somebody else says that something
// changed, and the waiter looks again. No state is passed, so a wake-up too many does no harm.

import type { Clock } from '@etl-router/core';

export class Wake {
  #waiting: (() => void)[] = [];
  #version = 0;

  /** Changes with every {@link wake}. Read it before looking, where looking takes a while. */
  get version(): number {
    return this.#version;
  }

  /** Resolves at the next {@link wake}; at once when there was one since `seen` was the version. */
  wait(seen: number = this.#version): Promise<void> {
    if (seen !== this.#version) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves at the next {@link wake}, or after `delayMs`. */
  waitFor(clock: Clock, delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(delayMs, () => this.wake());
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  wake(): void {
    this.#version++;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Lets everything else in the process have its turn. */
export function yieldToLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
