// What a run counts, per stage, edge and lane. Plain numbers that the engine adds to, read as one snapshot by the
// reports to the router, the metrics and the progress line. Never a record's content.

import { type Clock, type EtlError, toEtlError } from '@etl-router/core';
import type { Pipeline, StageKind } from '@etl-router/pipeline';
import { LatencyCounter, type LatencySnapshot } from './latency.ts';

/** The last thing that went wrong at a stage. */
export interface StageFault {
  readonly code: string;
  readonly message: string;
  readonly atMs: number;
  /** It is being waited out; false: it was overcome. */
  readonly standing: boolean;
}

/** Counters of one stage since the run began. */
export interface StageSnapshot {
  readonly name: string;
  readonly kind: StageKind;
  readonly recordsIn: number;
  readonly bytesIn: number;
  /** What a source read, a transform gave, a sink stored. */
  readonly recordsOut: number;
  readonly bytesOut: number;
  /** Went into a transform and came out as nothing. */
  readonly filtered: number;
  /** Took none of the edges that leave the stage. */
  readonly unrouted: number;
  /** Records that failed, each attempt counted. */
  readonly failed: number;
  /** Calls that were repeated. */
  readonly retried: number;
  readonly deadLettered: number;
  /** Given up by an edge's overflow, a late policy or at-most-once delivery. */
  readonly dropped: number;
  /** Came again after a restart and were held already. */
  readonly duplicatesSuppressed: number;
  /** Time spent in calls of the stage. */
  readonly busyMs: number;
  readonly fault: StageFault | undefined;
  /** For a source: from the reading of a record until it and all before it were resolved. */
  readonly latency: LatencySnapshot | undefined;
}

/** Counters of one edge. */
export interface EdgeSnapshot {
  readonly from: string;
  readonly to: string;
  readonly records: number;
  readonly bytes: number;
  /** Conditions that had no value for a record. */
  readonly conditionErrors: number;
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
  readonly spilledRecords: number;
  /** On disk now. */
  readonly spillBytes: number;
  readonly dropped: number;
  readonly deadLettered: number;
  /** Time in which the edge held its lane back. */
  readonly blockedMs: number;
}

/** One lane now. */
export interface LaneSnapshot {
  readonly source: string;
  readonly partition: string;
  readonly epoch: number;
  readonly position: Uint8Array | undefined;
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
  readonly lagRecords: number | undefined;
  readonly lagBytes: number | undefined;
  readonly watermarkMs: number | undefined;
  readonly ended: boolean;
}

/** What the run is doing: a closed list. */
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

/** One run at one moment. */
export interface RunSnapshot {
  readonly pipelineId: string;
  readonly version: number;
  readonly phase: RunPhase;
  /** For people: what it waits for or why it failed; empty when there is nothing to say. */
  readonly message: string;
  readonly startedAtMs: number;
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
  readonly lagRecords: number | undefined;
  readonly watermarkMs: number | undefined;
  readonly lastCommitAtMs: number | undefined;
  readonly stages: readonly StageSnapshot[];
  readonly edges: readonly EdgeSnapshot[];
  readonly lanes: readonly LaneSnapshot[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type StageCounters = Mutable<Omit<StageSnapshot, 'latency'>> & {
  readonly latency: LatencyCounter | undefined;
};
export type EdgeCounters = Mutable<EdgeSnapshot>;

function newStage(name: string, kind: StageKind): StageCounters {
  return {
    name,
    kind,
    recordsIn: 0,
    bytesIn: 0,
    recordsOut: 0,
    bytesOut: 0,
    filtered: 0,
    unrouted: 0,
    failed: 0,
    retried: 0,
    deadLettered: 0,
    dropped: 0,
    duplicatesSuppressed: 0,
    busyMs: 0,
    fault: undefined,
    latency: kind === 'source' ? new LatencyCounter() : undefined,
  };
}

function newEdge(from: string, to: string): EdgeCounters {
  return {
    from,
    to,
    records: 0,
    bytes: 0,
    conditionErrors: 0,
    inFlightRecords: 0,
    inFlightBytes: 0,
    spilledRecords: 0,
    spillBytes: 0,
    dropped: 0,
    deadLettered: 0,
    blockedMs: 0,
  };
}

/** The counters of one run. */
export class RunCounters {
  readonly #stages: ReadonlyMap<string, StageCounters>;
  readonly #edges: ReadonlyMap<string, EdgeCounters>;
  readonly #clock: Clock;

  constructor(pipeline: Pipeline, clock: Clock) {
    this.#stages = new Map(pipeline.stages.map(({ name, kind }) => [name, newStage(name, kind)]));
    this.#edges = new Map(
      pipeline.edges.map(({ from, to }) => [`${from} ${to}`, newEdge(from, to)]),
    );
    this.#clock = clock;
  }

  stage(name: string): StageCounters {
    return this.#stages.get(name) as StageCounters;
  }

  /** The counters of an edge; those of no edge where the run made one up, as for records sent again. */
  edge(from: string, to: string): EdgeCounters {
    return this.#edges.get(`${from} ${to}`) ?? newEdge(from, to);
  }

  /** Notes what a stage waits out, or `undefined` when it works again. */
  setFault(stage: string, error: unknown): EtlError | undefined {
    const counters = this.stage(stage);
    if (error === undefined) {
      if (counters.fault?.standing === true)
        counters.fault = { ...counters.fault, standing: false };
      return undefined;
    }
    const fault = toEtlError(error);
    const { code, message } = fault;
    counters.fault = { code, message, atMs: this.#clock.wallMs(), standing: true };
    return fault;
  }

  get stages(): readonly StageSnapshot[] {
    return Array.from(this.#stages.values(), (stage) => ({
      ...stage,
      latency: stage.latency?.snapshot(),
    }));
  }

  get edges(): readonly EdgeSnapshot[] {
    return Array.from(this.#edges.values(), (edge) => ({ ...edge }));
  }
}
