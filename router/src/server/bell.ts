// Waiting for "something changed" without a queue: any number of changes before a waiter looks are one change.

/** A bell that wakes every waiter. */
export class Bell {
  readonly #waiters = new Set<() => void>();
  #rings = 0;

  /** How often it rang; to be given to {@link Bell.after}. */
  get rings(): number {
    return this.#rings;
  }

  ring(): void {
    this.#rings += 1;
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  /** Resolves when it has rung more often than `rings`, or when the signal aborts. Never rejects. */
  after(rings: number, signal: AbortSignal): Promise<void> {
    if (this.#rings > rings || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#waiters.delete(wake);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** Waiters at present. */
  get waiting(): number {
    return this.#waiters.size;
  }
}
