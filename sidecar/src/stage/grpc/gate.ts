// Lets so many calls in at once and the others wait in order: a service that wants one batch at a time gets one, however
// many lanes there are.

/** A bound on what is in progress. Who waits is bounded by the lanes, each of which has one call at most. */
export class Gate {
  #free: number;
  readonly #waiting = new Set<() => void>();

  /** Lets `most` in at once. */
  constructor(most: number) {
    this.#free = most;
  }

  /** Runs `call` when there is room. Rejects with the signal's reason when it aborts first. */
  async run<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      return await call();
    } finally {
      this.#leave();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(enter);
        reject(signal.reason as Error);
      };
      this.#waiting.add(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Gives the room to the one who waits longest. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
