// How pipelines go right now, from the reports of the sidecars that run them. Soft state of one node: nothing of it is
// written down, and a new leader knows it again after the next heartbeats. Counters restart with each assignment.

import type { Clock } from '@etl-router/core';
import { Bell } from './bell.ts';

/** What a run is doing. */
export const runPhases = [
  'starting',
  'running',
  'paused',
  'draining',
  'completed',
  'failed',
  'stopped',
] as const;
export type RunPhase = (typeof runPhases)[number];

/** What last went wrong at a stage. */
export interface StageFault {
  /** A code of the registry, or a stage's own upper-case word. */
  readonly code: string;
  readonly message: string;
  readonly atMs: number;
  /** It is being waited out; false: it was overcome. */
  readonly standing: boolean;
}

/** What a stage did since its run began. */
export interface StageReport {
  readonly name: string;
  /** Records it was given; for a source: read. */
  readonly recordsIn: number;
  readonly bytesIn: number;
  /** What a source read, a transform gave, a sink stored. */
  readonly recordsOut: number;
  readonly bytesOut: number;
  readonly filtered: number;
  readonly failed: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly fault: StageFault | undefined;
}

/** What an edge did since its run began, and what it holds. */
export interface EdgeReport {
  readonly from: string;
  readonly to: string;
  readonly records: number;
  readonly bytes: number;
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
  /** On disk now. */
  readonly spillBytes: number;
  readonly dropped: number;
  readonly deadLettered: number;
}

/** How a lane is. */
export interface LaneReport {
  readonly source: string;
  readonly partition: string;
  readonly epoch: number;
  readonly inFlightRecords: number;
  readonly lagRecords: number | undefined;
  readonly lagBytes: number | undefined;
  readonly watermarkMs: number | undefined;
  readonly ended: boolean;
}

/** A sidecar's word on a pipeline it runs. The engine's own snapshot of a run is one. */
export interface PipelineReport {
  /** `namespace/name`. */
  readonly pipelineId: string;
  /** Generation of the pipeline that runs. */
  readonly version: number;
  /** The assignment that runs; undefined where the sidecar watches its assignments and needs no comparison. */
  readonly planVersion?: number | undefined;
  readonly phase: RunPhase;
  /** What it waits for or why it failed; empty when there is nothing to say. */
  readonly message: string;
  readonly startedAtMs: number;
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
  readonly lagRecords: number | undefined;
  readonly watermarkMs: number | undefined;
  readonly lastCommitAtMs: number | undefined;
  readonly stages: readonly StageReport[];
  readonly edges: readonly EdgeReport[];
  readonly lanes: readonly LaneReport[];
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
  /** One per stage, in the report's order. */
  readonly rates: readonly StageRate[];
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

  /** Takes a report in, from the sidecar that holds the pipeline. */
  report(sidecarId: string, report: PipelineReport): void {
    const known = this.#entries.get(report.pipelineId);
    const isSame =
      known?.live.sidecarId === sidecarId && known.live.report.startedAtMs === report.startedAtMs;
    const samples = isSame ? known.samples : [];
    const nowMs = this.#clock.monotonicMs();
    samples.push({ atMs: nowMs, stages: new Map(report.stages.map((at) => [at.name, at])) });
    while (samples.length > samplesMax) samples.shift();
    while (samples.length > 2 && nowMs - (samples[1] as Sample).atMs >= rateWindowMs)
      samples.shift();
    const rates = report.stages.map((stage) => rateOf(stage, samples, nowMs));
    const live = { report, sidecarId, atMs: this.#clock.wallMs(), rates };
    this.#entries.set(report.pipelineId, { live, samples });
    this.#bell.ring();
  }

  /** Forgets a pipeline that is no longer assigned. */
  forget(pipeline: string): void {
    if (this.#entries.delete(pipeline)) this.#bell.ring();
  }

  /** Forgets everything: the reports go to another leader now. */
  clear(): void {
    this.#entries.clear();
    this.#bell.ring();
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
  const earlier = first?.stages.get(stage.name);
  const seconds = (nowMs - (first?.atMs ?? nowMs)) / 1000;
  const rate = (now: number, before: number | undefined): number =>
    before === undefined || seconds <= 0 ? 0 : Math.max(0, now - before) / seconds;
  return {
    stage: stage.name,
    recordsInPerSecond: rate(stage.recordsIn, earlier?.recordsIn),
    recordsOutPerSecond: rate(stage.recordsOut, earlier?.recordsOut),
  };
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
