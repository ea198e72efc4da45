// The order in which the process ends: not ready, no more intake, runs under way may finish, then the lease goes to the next
// one, then the rest is closed. Each step has its time; one that fails or does not end keeps no later one from its turn.

import { type Clock, type Logger, silentLogger, sleep } from '@etl-router/core';

/** One step of the end. */
export interface ShutdownStep {
  readonly name: string;
  readonly run: () => Promise<void> | void;
  /** After so long the next step begins. */
  readonly maxMs: number;
}

/** Where signals come from: the process, or a test. */
export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

export class Shutdown {
  readonly #steps: readonly ShutdownStep[];
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #begun = new AbortController();
  #ended: Promise<void> | undefined;

  constructor(options: {
    readonly steps: readonly ShutdownStep[];
    readonly clock: Clock;
    readonly logger?: Logger;
  }) {
    this.#steps = options.steps;
    this.#clock = options.clock;
    this.#logger = options.logger ?? silentLogger;
  }

  /** True from the moment that the end was asked for. */
  get stopping(): boolean {
    return this.#begun.signal.aborted;
  }

  /** Aborts when the end begins. */
  get signal(): AbortSignal {
    return this.#begun.signal;
  }

  /** Ends on SIGTERM and SIGINT; the result undoes that. */
  listen(source: SignalSource): () => void {
    const onTerm = (): void => void this.stop('SIGTERM');
    const onInt = (): void => void this.stop('SIGINT');
    source.on('SIGTERM', onTerm);
    source.on('SIGINT', onInt);
    return () => {
      source.off('SIGTERM', onTerm);
      source.off('SIGINT', onInt);
    };
  }

  /** Ends, once however often it is asked; resolves when every step had its turn. */
  stop(why: string): Promise<void> {
    this.#ended ??= this.#run(why);
    return this.#ended;
  }

  async #run(why: string): Promise<void> {
    this.#logger.info({ why }, 'stopping');
    this.#begun.abort(new Error(`stopping: ${why}`));
    for (const step of this.#steps) await this.#take(step);
    this.#logger.info('stopped');
  }

  async #take({ name, run, maxMs }: ShutdownStep): Promise<void> {
    const inTime = new AbortController();
    const late = sleep(this.#clock, maxMs, inTime.signal).then(
      () => this.#logger.warn({ step: name, maxMs }, 'did not end in time; going on'),
      () => undefined,
    );
    const done = Promise.resolve()
      .then(run)
      .catch((error: unknown) => {
        this.#logger.error({ step: name, err: error }, 'a step of the end failed; going on');
      });
    await Promise.race([done, late]);
    inTime.abort();
  }
}
