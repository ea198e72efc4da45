// How late the turns of this thread come. A thread that is late is one that something blocks, and a member whose log's
// thread is late is taken for gone.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { LoopDelay } from './protocol.ts';

/**
 * The timer that is watched: what it takes by itself is no delay. It wakes a thread that has nothing to do, so it is as
 * slow as half of the usual heartbeat, beyond which a delay matters.
 */
const resolutionMs = 50;

export class LoopWatch {
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>;

  constructor() {
    this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs });
    this.#histogram.enable();
  }

  /** Of the time since the last call. */
  take(): LoopDelay {
    const p99Ms = lateness(this.#histogram.percentile(99));
    const maxMs = lateness(this.#histogram.max);
    this.#histogram.reset();
    return { p99Ms, maxMs };
  }

  close(): void {
    this.#histogram.disable();
  }
}

function lateness(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - resolutionMs);
}
