// Whether the two threads of a router and its disk keep up. A member whose log's thread or disk is late by half a
// heartbeat is close to being taken for gone; that is said before it happens, and not more than once a minute.

import { createHistogram } from 'node:perf_hooks';
import type { Clock, Logger } from '@etl-router/core';
import { LoopWatch } from './raft/thread/loop-watch.ts';
import type { LoopDelay } from './raft/thread/protocol.ts';
import type { LogMetrics } from './router-metrics.ts';
import type { SyncEvent } from './storage/log.ts';

export interface ThreadHealthOptions {
  readonly metrics: LogMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  /** How late this thread was since it was last asked. Default: it is watched. */
  readonly takeOwnDelay?: () => LoopDelay;
}

const warnEveryMs = 60_000;

export class ThreadHealth {
  readonly #options: ThreadHealthOptions;
  readonly #own = new LoopWatch();
  /** In microseconds, since the last judgement. */
  readonly #syncs = createHistogram();
  readonly #warnedAtMs = new Map<string, number>();

  constructor(options: ThreadHealthOptions) {
    this.#options = options;
  }

  synced(event: SyncEvent): void {
    this.#options.metrics.observe(event);
    this.#syncs.record(Math.max(1, Math.round(event.durationMs * 1000)));
  }

  /**
   * The log's thread says regularly how late it was; so the pace of all judgements is its own. Alone a member can not be
   * taken for gone: then nothing is said, the metrics show it.
   */
  delayed(delay: LoopDelay, hasOthers: boolean): void {
    const { metrics, takeOwnDelay = () => this.#own.take() } = this.#options;
    const own = takeOwnDelay();
    const syncMs = this.#syncs.count === 0 ? 0 : this.#syncs.percentile(99) / 1000;
    this.#syncs.reset();
    metrics.delayed('log', delay);
    metrics.delayed('main', own);
    if (!hasOthers) return;
    this.#judge(
      'log',
      delay.p99Ms,
      "the log's thread is late, and other members may take this one for gone; give the machine more CPU, or raise cluster.heartbeat_interval_ms and cluster.election_timeout_ms",
    );
    this.#judge(
      'disk',
      syncMs,
      'the disk of the log is slow, and every command waits for it; use one that nobody else writes to, with a fast fsync',
    );
    this.#judge(
      'main',
      own.p99Ms,
      'the main thread is late, and so are answers; agreement goes on beside it, elections are not at risk',
    );
  }

  close(): void {
    this.#own.close();
  }

  #judge(what: string, p99Ms: number, message: string): void {
    const { clock, logger, heartbeatMs } = this.#options;
    if (p99Ms <= heartbeatMs / 2) return;
    const nowMs = clock.monotonicMs();
    const lastMs = this.#warnedAtMs.get(what);
    if (lastMs !== undefined && nowMs - lastMs < warnEveryMs) return;
    this.#warnedAtMs.set(what, nowMs);
    logger.warn({ p99Ms: Math.round(p99Ms), heartbeatMs }, message);
  }
}
