// Makes the world as a key says it should be, again and again. An event only says which key to look at. A run has a
// deadline; one that fails is logged, counted and tried again later; one that fails for a defect costs its key and never
// the process.

import {
  type Clock,
  EtlError,
  isEtlError,
  type Logger,
  type Random,
  silentLogger,
  toEtlError,
} from '@etl-router/core';
import { fromKey } from './kube-object.ts';
import type { ReconcileResult, RuntimeMetrics } from './metrics.ts';
import { WorkQueue } from './work-queue.ts';

/** What a run leaves to be done. */
export interface ReconcileOutcome {
  /** Look at the key again after so long, whatever happens until then. */
  readonly requeueAfterMs?: number;
  /** Look at it again soon, as after a failure, though nothing failed. */
  readonly requeue?: boolean;
}

/** What a run is given beside its key. */
export interface ReconcileContext {
  /** Aborts at the deadline of the run and when the process stops. */
  readonly signal: AbortSignal;
  /** Says with each line which controller, object and run it is about. */
  readonly logger: Logger;
  /** Names this run in logs. */
  readonly reconcileId: string;
  /** Adds what is known of the object, such as its generation, to the lines that follow. */
  readonly addLogFields: (fields: { readonly [name: string]: string | number }) => void;
}

export type Reconcile = (
  key: string,
  context: ReconcileContext,
) => Promise<ReconcileOutcome | undefined>;

/** A failure that trying again does not change: the key waits for an event instead. */
export class TerminalError extends EtlError {
  constructor(cause: EtlError) {
    super(cause.code, cause.message, { cause, details: cause.details, retryable: false });
  }
}

export interface ControllerOptions {
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: RuntimeMetrics;
  /** Keys that are worked on at once. Default 4. */
  readonly workers?: number;
  /** How long one run may take. Default 2 minutes. */
  readonly deadlineMs?: number;
}

export class Controller {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions;
  readonly #logger: Logger;
  readonly #deadlineMs: number;
  readonly #workers: number;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #runs = 0;

  constructor(options: ControllerOptions) {
    const { name, clock, random, metrics, workers = 4, deadlineMs = 120_000 } = options;
    this.name = name;
    this.#options = options;
    this.#workers = workers;
    this.#deadlineMs = deadlineMs;
    this.#logger = options.logger ?? silentLogger;
    this.queue = new WorkQueue({
      name,
      clock,
      random,
      ...(metrics === undefined ? {} : { metrics }),
    });
    metrics?.addController(name, workers, this.queue);
  }

  /** True when a run has gone on for twice its deadline: it neither ends nor hears its signal. */
  get stuck(): boolean {
    return this.queue.workingSeconds().some((seconds) => seconds * 1000 > 2 * this.#deadlineMs);
  }

  /** Starts the workers once; start when every cache that runs read is full. */
  start(): void {
    this.#running ??= Promise.all(Array.from({ length: this.#workers }, () => this.#work())).then(
      () => undefined,
    );
  }

  /** Takes no more keys and waits for the runs under way; after `drainMs` they are told to end. */
  async stop(drainMs: number): Promise<void> {
    this.queue.close();
    const cancel = this.#options.clock.after(drainMs, () => {
      this.#stopping.abort(new EtlError('ETL_CANCELLED', `controller ${this.name} stops`));
    });
    await Promise.race([this.#running, this.#ended()]);
    cancel();
  }

  /** Resolves when runs were told to end: one that does not hear is left behind. */
  #ended(): Promise<void> {
    const { signal } = this.#stopping;
    return new Promise((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    );
  }

  async #work(): Promise<void> {
    for (let key = await this.queue.take(); key !== undefined; key = await this.queue.take()) {
      this.#options.metrics?.activeWorkers.inc({ controller: this.name });
      try {
        await this.#run(key);
      } finally {
        this.#options.metrics?.activeWorkers.dec({ controller: this.name });
        this.queue.done(key);
      }
    }
  }

  async #run(key: string): Promise<void> {
    const { clock, metrics, reconcile } = this.#options;
    const startMs = clock.monotonicMs();
    const ending = new AbortController();
    const cancel = clock.after(this.#deadlineMs, () => {
      metrics?.timeouts.inc({ controller: this.name });
      ending.abort(
        new EtlError('ETL_TIMEOUT', `${this.name} ${key}: not done within ${this.#deadlineMs} ms`),
      );
    });
    const context = this.#contextOf(key, AbortSignal.any([ending.signal, this.#stopping.signal]));
    let result: ReconcileResult;
    try {
      const outcome = await reconcile(key, context);
      result = this.#settle(key, outcome ?? {});
    } catch (error) {
      this.#fail(key, error, context.logger);
      result = 'error';
    } finally {
      cancel();
    }
    metrics?.reconciles.inc({ controller: this.name, result });
    metrics?.reconcileSeconds.observe(
      { controller: this.name },
      (clock.monotonicMs() - startMs) / 1000,
    );
  }

  #contextOf(key: string, signal: AbortSignal): ReconcileContext {
    const { namespace, name } = fromKey(key);
    const reconcileId = `${this.name}-${++this.#runs}`;
    const fields = {
      controller: this.name,
      ...(namespace === undefined ? {} : { namespace }),
      name,
    };
    let logger = this.#logger.child({ ...fields, reconcileID: reconcileId });
    return {
      signal,
      reconcileId,
      get logger() {
        return logger;
      },
      addLogFields(more) {
        logger = logger.child(more);
      },
    };
  }

  #settle(key: string, outcome: ReconcileOutcome): ReconcileResult {
    if (outcome.requeueAfterMs !== undefined) {
      this.queue.forget(key);
      this.queue.addAfter(key, outcome.requeueAfterMs);
      return 'requeue_after';
    }
    if (outcome.requeue === true) {
      this.queue.addRateLimited(key);
      return 'requeue';
    }
    this.queue.forget(key);
    return 'success';
  }

  #fail(key: string, thrown: unknown, logger: Logger): void {
    const { metrics } = this.#options;
    const controller = { controller: this.name };
    metrics?.reconcileErrors.inc(controller);
    const error = toEtlError(thrown);
    if (thrown instanceof TerminalError) {
      metrics?.terminalErrors.inc(controller);
      this.queue.forget(key);
      logger.error(
        { code: error.code, error: error.message },
        'reconcile failed; waiting for a change',
      );
      return;
    }
    if (!isEtlError(thrown)) {
      metrics?.panics.inc(controller);
      logger.error({ err: thrown }, 'reconcile failed for a defect');
    } else if (error.code === 'ETL_NOT_LEADER' || error.code === 'ETL_CANCELLED') {
      logger.debug({ code: error.code, error: error.message }, 'reconcile ended early');
    } else {
      logger.warn({ code: error.code, error: error.message }, 'reconcile failed; trying again');
    }
    this.queue.addRateLimited(key);
  }
}
