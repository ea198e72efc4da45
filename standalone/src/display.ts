// The live line of a run and the summary at its end, for a terminal and for a pipe.

import type { Clock } from '@etl-router/core';
import type { RunSnapshot } from '@etl-router/sidecar';
import {
  type PipelineProgress,
  renderProgressLine,
  renderSummary,
  renderWaiting,
} from './progress.ts';
import type { Standalone } from './standalone.ts';

export interface DisplayOptions {
  readonly standalone: Standalone;
  /** Pipelines to follow; the others run without a line. */
  readonly pipelines: readonly string[];
  readonly clock: Clock;
  readonly out: NodeJS.WriteStream;
}

/** How often the line is drawn: on a terminal, and where each line stays. */
const terminalIntervalMs = 200;
const plainIntervalMs = 2000;

/** Follows pipelines until they are done. */
export class Display {
  readonly #options: DisplayOptions;
  readonly #startedMs: number;
  /** Records read and when, oldest first, for the rate over the last seconds. */
  readonly #samples: { readonly atMs: number; readonly read: number }[] = [];
  readonly #done = new Map<string, 'completed' | 'failed' | 'deleted'>();
  #drawn = 0;

  constructor(options: DisplayOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
  }

  /** Says where everything is. */
  start(): void {
    const { standalone, out } = this.#options;
    for (const [name, url] of standalone.urls) out.write(`${`${name}:`.padEnd(9)}${url}\n`);
  }

  /** Draws until the signal aborts, or with `once` until every pipeline has ended; `failed` when one did not complete. */
  async untilDone(signal: AbortSignal, once: boolean): Promise<'completed' | 'failed' | 'stopped'> {
    const { clock, out, pipelines } = this.#options;
    const intervalMs = out.isTTY ? terminalIntervalMs : plainIntervalMs;
    let drawnMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      this.#settle();
      this.#settleDeleted();
      if (once && this.#done.size === pipelines.length) break;
      const nowMs = clock.monotonicMs();
      if (nowMs - drawnMs >= intervalMs && this.#done.size < pipelines.length) {
        drawnMs = nowMs;
        this.#draw();
      }
      await tick(clock, signal);
    }
    this.#clear();
    const ends = new Set(this.#done.values());
    if (ends.has('failed') || (once && ends.has('deleted'))) return 'failed';
    return signal.aborted ? 'stopped' : 'completed';
  }

  /** Prints the summary of every pipeline that has just ended. */
  #settle(): void {
    const { pipelines, out } = this.#options;
    for (const snapshot of this.#snapshots()) {
      const { pipelineId, phase, message } = snapshot;
      if (!pipelines.includes(pipelineId) || this.#done.has(pipelineId)) continue;
      if (phase !== 'completed' && phase !== 'failed') continue;
      this.#clear();
      this.#done.set(pipelineId, phase);
      const elapsedMs = this.#options.clock.monotonicMs() - this.#startedMs;
      out.write(
        renderSummary(toProgress(snapshot), elapsedMs, process.resourceUsage().maxRSS * 1024),
      );
      if (message !== '') out.write(`  ${message}\n`);
      this.#sayWhereWhenDone();
    }
  }

  /** Says which pipelines were deleted before they had ended, once what they had in flight has drained. */
  #settleDeleted(): void {
    const { standalone, pipelines, out } = this.#options;
    const running = new Set(this.#snapshots().map(({ pipelineId }) => pipelineId));
    for (const pipeline of pipelines) {
      if (this.#done.has(pipeline) || running.has(pipeline) || standalone.hasPipeline(pipeline))
        continue;
      this.#clear();
      this.#done.set(pipeline, 'deleted');
      out.write(`${pipeline}: deleted before it completed\n`);
      this.#sayWhereWhenDone();
    }
  }

  /** After the last pipeline the process may serve on: here is how to reach it. */
  #sayWhereWhenDone(): void {
    const { standalone, pipelines, out } = this.#options;
    if (this.#done.size < pipelines.length) return;
    for (const [name, url] of standalone.urls) out.write(`  ${`${name}:`.padEnd(9)}${url}\n`);
  }

  #draw(): void {
    const { out, pipelines } = this.#options;
    const lines = this.#snapshots()
      .filter(({ pipelineId }) => pipelines.includes(pipelineId) && !this.#done.has(pipelineId))
      .flatMap((snapshot) => [
        renderProgressLine(toProgress(snapshot), this.#rateOf(snapshot)),
        ...renderWaiting(snapshot.message),
      ]);
    if (lines.length === 0) return;
    this.#clear();
    const text = out.isTTY
      ? lines.map((line) => line.slice(0, Math.max(20, (out.columns ?? 80) - 1)))
      : lines;
    out.write(`${text.join('\n')}\n`);
    this.#drawn = out.isTTY ? text.length : 0;
  }

  /** Takes back what was drawn last, on a terminal. */
  #clear(): void {
    if (this.#drawn > 0) this.#options.out.write(`\u001b[${this.#drawn}A\u001b[J`);
    this.#drawn = 0;
  }

  #rateOf(snapshot: RunSnapshot): number {
    const atMs = this.#options.clock.monotonicMs();
    const read = snapshot.stages
      .filter(({ kind }) => kind === 'source')
      .reduce((sum, { recordsOut }) => sum + recordsOut, 0);
    this.#samples.push({ atMs, read });
    while (this.#samples.length > 2 && atMs - (this.#samples[0]?.atMs ?? atMs) > 5000)
      this.#samples.shift();
    const first = this.#samples[0];
    const seconds = (atMs - (first?.atMs ?? atMs)) / 1000;
    return seconds <= 0 ? 0 : Math.max(0, read - (first?.read ?? read)) / seconds;
  }

  #snapshots(): readonly RunSnapshot[] {
    return this.#options.standalone.snapshots();
  }
}

function toProgress(snapshot: RunSnapshot): PipelineProgress {
  return {
    pipeline: snapshot.pipelineId,
    phase: snapshot.phase,
    lagRecords: snapshot.lagRecords,
    inFlightRecords: snapshot.inFlightRecords,
    stages: snapshot.stages,
  };
}

function tick(clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(50, finish);
    signal.addEventListener('abort', finish, { once: true });
  });
}
