// Threads that run seeds, some at a time. A seed that takes all memory or never ends is ended with its thread, and that
// is what it failed with.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Counts } from './coverage.ts';
import type { RunResult } from './run.ts';
import type { Oracle } from './violation.ts';
import type { Order } from './worker.ts';

/** What a thread says of a seed. */
export type Report = Omit<RunResult, 'violation' | 'coverage'> & {
  readonly counts: Counts;
  readonly violation?: { readonly oracle: Oracle; readonly message: string };
};

/** A seed that was ended says nothing but that. */
export type Ended = Pick<Report, 'seed'> & Required<Pick<Report, 'violation'>>;

export interface PoolOptions {
  readonly jobs: number;
  /** A seed may take so long. */
  readonly seedMaxMs: number;
  /** Heap of a thread. */
  readonly heapMaxMib: number;
}

/** Of the process, for each thread; what is not on a heap counts too. */
const rssMaxBytes: number = 2 * 1024 ** 3;

export class Pool {
  readonly #options: PoolOptions;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Runs a seed as soon as a thread is free. */
  async run(order: Order): Promise<Report | Ended> {
    while (this.#running >= this.#options.jobs)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    const worker = this.#idle.pop();
    try {
      return await this.#runIn(worker ?? (await this.#start()), order);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#all, (worker) => worker.terminate()));
  }

  async #start(): Promise<Worker> {
    const { heapMaxMib } = this.#options;
    const worker = new Worker(new URL('worker.ts', import.meta.url), {
      // Little of what a seed makes lasts: with room for it, less is copied.
      resourceLimits: { maxOldGenerationSizeMb: heapMaxMib, maxYoungGenerationSizeMb: 64 },
    });
    this.#all.add(worker);
    // What goes wrong before it has loaded everything is no failure of a seed.
    await once(worker, 'message');
    return worker;
  }

  async #runIn(worker: Worker, order: Order): Promise<Report | Ended> {
    const { seedMaxMs, jobs } = this.#options;
    const { seed } = order;
    const ended = (oracle: Ended['violation']['oracle'], message: string): Ended => {
      this.#all.delete(worker);
      void worker.terminate();
      return { seed, violation: { oracle, message } };
    };
    return await new Promise((resolve) => {
      const startMs = performance.now();
      const timer = setInterval(() => {
        const isFull = process.memoryUsage.rss() > jobs * rssMaxBytes;
        if (!isFull && performance.now() - startMs < seedMaxMs) return;
        finish();
        const bound = isFull ? 'with its memory' : `within ${seedMaxMs / 1000} s`;
        resolve(ended('Runaway', `it has not come to an end ${bound}`));
      }, 500);
      const onMessage = (report: Report): void => {
        finish();
        this.#idle.push(worker);
        resolve(report);
      };
      const onError = (error: Error & { code?: string }): void => {
        finish();
        const isFull = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
        resolve(ended(isFull ? 'Runaway' : 'Process', `its thread ended: ${error.message}`));
      };
      const finish = (): void => {
        clearInterval(timer);
        worker.off('message', onMessage);
        worker.off('error', onError);
      };
      worker.on('message', onMessage);
      worker.on('error', onError);
      worker.postMessage(order);
    });
  }
}
