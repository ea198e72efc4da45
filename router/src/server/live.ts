// How pipelines go right now, from the reports of the sidecars that run them. Soft state of one node: nothing of it is
// written down, and a new leader knows it again after the next heartbeats. Counters restart with each assignment.

import type { Clock, Timestamp } from '@etl-router/core';
import { Bell } from './bell.ts';

/** Where a pipeline stands at its sidecar. */
export const runStates = [
  'starting',
  'running',
  'paused',
  'draining',
  'completed',
  'failed',
] as const;
export type RunState = (typeof runStates)[number];

/** A failure, for people and for machines. */
export interface FailureReport {
  /** A code of the registry, or a stage's own upper-case word. */
  readonly code: string;
  readonly message: string;
}

/** What a stage did since its assignment started, and what it holds. */
export interface StageReport {
  readonly stage: string;
  /** Records it was given; for a source: read. */
  readonly recordsIn: number;
  /** Records it passed on; for a sink: stored. */
  readonly recordsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly filtered: number;
  /** Records that failed for good, whatever became of them. */
  readonly failed: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly bufferedRecords: number;
  readonly bufferedBytes: number;
  readonly spilledBytes: number;
  readonly lastFailure?: FailureReport | undefined;
}

/** What an edge did and holds. */
export interface EdgeReport {
  readonly from: string;
  readonly to: string;
  readonly records: number;
  readonly bytes: number;
  readonly bufferedRecords: number;
  readonly bufferedBytes: number;
  readonly spilledBytes: number;
  readonly dropped: number;
  readonly deadLettered: number;
}

/** How a lane is. */
export interface LaneReport {
  readonly source: string;
  readonly partition: string;
  readonly epoch: number;
  readonly watermark?: Timestamp | undefined;
  readonly lagRecords?: number | undefined;
  readonly lagBytes?: number | undefined;
  readonly inFlightRecords: number;
  readonly idle: boolean;
  readonly ended: boolean;
}

/** A sidecar's word on a pipeline it runs. */
export interface PipelineReport {
  readonly pipeline: string;
  readonly planVersion: number;
  readonly state: RunState;
  readonly failure?: FailureReport | undefined;
  readonly stages: readonly StageReport[];
  readonly edges: readonly EdgeReport[];
  readonly lanes: readonly LaneReport[];
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
  /** Dead letters in the pipeline's store. */
  readonly deadLetters: number;
}

/** What a stage does in a second, over the last 10 s. */
export interface StageRate {
  readonly stage: string;
  readonly recordsInPerSecond: number;
  readonly recordsOutPerSecond: number;
}

/** A pipeline as last reported, with its rates. */
export interface LivePipeline {
  readonly report: PipelineReport;
  readonly sidecarId: string;
  /** When it was reported. */
  readonly atMs: number;
  readonly rates: readonly StageRate[];
  /** Sums over the lanes; undefined when one of them does not know. */
  readonly lagRecords: number | undefined;
  readonly lagBytes: number | undefined;
  /** Least watermark of the lanes that are not idle; undefined when one of them has none. */
  readonly watermark: Timestamp | undefined;
}

interface Sample {
  readonly atMs: number;
  readonly stages: ReadonlyMap<string, StageReport>;
}

interface Entry {
  live: LivePipeline;
  /** Oldest first; the first one is at least the window old, or the first of all. */
  readonly samples: Sample[];
}

const rateWindowMs = 10_000;
/** What nobody reported for this long is no longer shown. */
const staleMs = 5 * 60_000;
/** Reports to keep for rates, however often they come. */
const samplesMax = 64;

/** The live state of all pipelines. */
export class Live {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #bell = new Bell();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes a report in. One of an older assignment than is known is left out. */
  report(sidecarId: string, report: PipelineReport): void {
    const known = this.#entries.get(report.pipeline);
    if (known !== undefined && known.live.report.planVersion > report.planVersion) return;
    const isSame = known?.live.report.planVersion === report.planVersion;
    const samples = isSame ? known.samples : [];
    const nowMs = this.#clock.monotonicMs();
    samples.push({ atMs: nowMs, stages: new Map(report.stages.map((at) => [at.stage, at])) });
    while (samples.length > samplesMax) samples.shift();
    while (samples.length > 2 && nowMs - (samples[1] as Sample).atMs >= rateWindowMs)
      samples.shift();
    const live: LivePipeline = {
      report,
      sidecarId,
      atMs: this.#clock.wallMs(),
      rates: report.stages.map((stage) => rateOf(stage, samples, nowMs)),
      lagRecords: sumLag(report.lanes, 'lagRecords'),
      lagBytes: sumLag(report.lanes, 'lagBytes'),
      watermark: leastWatermark(report.lanes),
    };
    this.#entries.set(report.pipeline, { live, samples });
    this.#bell.ring();
  }

  /** Forgets a pipeline that is no longer assigned. */
  forget(pipeline: string): void {
    if (this.#entries.delete(pipeline)) this.#bell.ring();
  }

  get(pipeline: string): LivePipeline | undefined {
    const entry = this.#entries.get(pipeline);
    if (entry === undefined) return undefined;
    return this.#clock.wallMs() - entry.live.atMs > staleMs ? undefined : entry.live;
  }

  /** All that is known, by pipeline. */
  list(): readonly LivePipeline[] {
    return Array.from(this.#entries.keys())
      .sort()
      .flatMap((pipeline) => this.get(pipeline) ?? []);
  }

  /**
   * The pipeline as it is, then again after every report, at most once in `intervalMs`. A reader that is slow sees
   * fewer of them and always the latest; nothing queues up for it.
   */
  async *subscribe(
    pipeline: string,
    options: { readonly signal: AbortSignal; readonly intervalMs?: number },
  ): AsyncGenerator<LivePipeline, void, void> {
    const { signal, intervalMs = 1000 } = options;
    let shown: LivePipeline | undefined;
    while (!signal.aborted) {
      const { rings } = this.#bell;
      const live = this.get(pipeline);
      if (live === undefined || live === shown) {
        await this.#bell.after(rings, signal);
        continue;
      }
      shown = live;
      yield live;
      await pause(this.#clock, intervalMs, signal);
    }
  }
}

function rateOf(stage: StageReport, samples: readonly Sample[], nowMs: number): StageRate {
  const first = samples[0];
  const earlier = first?.stages.get(stage.stage);
  const seconds = (nowMs - (first?.atMs ?? nowMs)) / 1000;
  const rate = (now: number, before: number | undefined): number =>
    before === undefined || seconds <= 0 ? 0 : Math.max(0, now - before) / seconds;
  return {
    stage: stage.stage,
    recordsInPerSecond: rate(stage.recordsIn, earlier?.recordsIn),
    recordsOutPerSecond: rate(stage.recordsOut, earlier?.recordsOut),
  };
}

function sumLag(
  lanes: readonly LaneReport[],
  field: 'lagRecords' | 'lagBytes',
): number | undefined {
  let sum = 0;
  for (const lane of lanes) {
    const lag = lane[field];
    if (lag === undefined) return undefined;
    sum += lag;
  }
  return lanes.length === 0 ? undefined : sum;
}

function leastWatermark(lanes: readonly LaneReport[]): Timestamp | undefined {
  let least: Timestamp | undefined;
  for (const { watermark, idle, ended } of lanes) {
    if (idle || ended) continue;
    if (watermark === undefined) return undefined;
    if (least === undefined || isBefore(watermark, least)) least = watermark;
  }
  return least;
}

function isBefore(a: Timestamp, b: Timestamp): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanos < b.nanos);
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = (): void => {
      cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal.addEventListener('abort', finish, { once: true });
  });
}
