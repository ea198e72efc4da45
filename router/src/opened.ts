// What a start has opened so far, so that a failure of a later step, or the end, closes all of it.

/** Closes one thing. */
export type Close = () => Promise<void> | void;

/** Everything that was opened: servers close together, so that one grace is enough, then the rest in reverse. */
export class Opened {
  readonly #servers: Close[] = [];
  readonly #closers: Close[] = [];
  #closing: Promise<void> | undefined;

  add(close: Close): void {
    this.#closers.push(close);
  }

  addServer(close: Close): void {
    this.#servers.push(close);
  }

  /** Closes all, also after one that fails, and throws what the first of them threw. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  /** Closes all after a failure, which is what matters then: what goes wrong meanwhile is not thrown. */
  async abandon(): Promise<void> {
    await Promise.allSettled([this.close()]);
  }

  async #closeAll(): Promise<void> {
    const outcomes = await Promise.allSettled(this.#servers.map(async (close) => close()));
    for (const close of this.#closers.reverse()) {
      outcomes.push(...(await Promise.allSettled([(async () => close())()])));
    }
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
  }
}
