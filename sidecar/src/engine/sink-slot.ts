// The place of a sink in a run. A sink whose other side is away when the run starts keeps nobody waiting but those who
// want to write to it: its edge's overflow policy acts meanwhile.

import type { EtlError, Sink } from '@etl-router/core';

export class SinkSlot {
  readonly #opened = Promise.withResolvers<Sink>();
  #sink: Sink | undefined;

  constructor() {
    // Whoever waits hears of it; where nobody does the run ends with it.
    this.#opened.promise.catch(() => {});
  }

  /** Undefined until it was open for the first time. */
  get sink(): Sink | undefined {
    return this.#sink;
  }

  /** Resolves once the sink is open; rejects when it can not be opened or the run ends. */
  get opened(): Promise<Sink> {
    return this.#opened.promise;
  }

  fill(sink: Sink): void {
    this.#sink = sink;
    this.#opened.resolve(sink);
  }

  fail(error: EtlError): void {
    this.#opened.reject(error);
  }
}
