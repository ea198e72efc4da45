// Puts the parts of an operator together and runs them in order: caches fill, a process is elected, controllers work. It
// ends in the opposite order, and by itself when the lease is lost.

import { type Clock, type Logger, type Random, silentLogger } from '@etl-router/core';
import type { Controller } from './controller.ts';
import type { EventRecorder } from './events.ts';
import type { CacheView } from './informer.ts';
import type { LeaderElection } from './leader-election.ts';
import { Shutdown, type ShutdownStep } from './shutdown.ts';

const syncTimeoutMs = 120_000;
/** Runs under way may finish; after that they are told to end. */
const drainMs = 25_000;

export interface ManagerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly informers: readonly CacheView[];
  readonly controllers: readonly Controller[];
  readonly events: EventRecorder;
  /** Without one this process acts alone. */
  readonly election?: LeaderElection;
  readonly logger?: Logger;
  /** What is closed last, such as connections and servers. */
  readonly close?: () => Promise<void> | void;
  /** Called once when this process begins to lead, before its controllers start. */
  readonly onLeading?: () => void;
}

/** How the work of a manager ended. */
export type ManagerEnd = 'stopped' | 'lost';

export class Manager {
  readonly shutdown: Shutdown;
  readonly #options: ManagerOptions;
  readonly #logger: Logger;

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { clock } = options;
    this.shutdown = new Shutdown({ clock, logger: this.#logger, steps: this.#steps() });
  }

  /**
   * Runs until {@link Shutdown.stop} or until the lease is lost; everything is closed when it resolves. Rejects when the
   * caches can not be filled in two minutes although the API server answers: start anew then, as after `lost`.
   */
  async run(): Promise<ManagerEnd> {
    const { informers, election } = this.#options;
    let end: ManagerEnd = 'stopped';
    try {
      for (const informer of informers) informer.start();
      const synced = Promise.all(informers.map((informer) => informer.whenSynced(syncTimeoutMs)));
      await Promise.race([synced, this.#stopped()]);
      if (!this.shutdown.stopping) {
        if (election === undefined) {
          this.#lead();
          await this.#stopped();
        } else {
          end = await election.run(this.shutdown.signal, () => this.#lead());
        }
      }
    } finally {
      await this.shutdown.stop(end === 'lost' ? 'the lease was lost' : 'the work ended');
    }
    return end;
  }

  #lead(): void {
    this.#options.onLeading?.();
    for (const controller of this.#options.controllers) controller.start();
    this.#logger.info(
      { controllers: this.#options.controllers.map(({ name }) => name) },
      'controllers started',
    );
  }

  #stopped(): Promise<void> {
    const { signal } = this.shutdown;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    );
  }

  #steps(): ShutdownStep[] {
    const { controllers, informers, events, election, close } = this.#options;
    const all = (work: readonly Promise<void>[]): Promise<void> =>
      Promise.all(work).then(() => undefined);
    return [
      {
        name: 'controllers',
        maxMs: drainMs + 1000,
        run: () => all(controllers.map((each) => each.stop(drainMs))),
      },
      { name: 'events', maxMs: 2000, run: () => events.close() },
      { name: 'lease', maxMs: 2000, run: () => election?.release() },
      { name: 'caches', maxMs: 1000, run: () => all(informers.map((each) => each.close())) },
      { name: 'connections', maxMs: 5000, run: () => close?.() },
    ];
  }
}
