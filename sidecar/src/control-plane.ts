// What a sidecar needs of the router, and nothing more. Standalone implements it by calls into the router's server
// objects, pods by the gRPC services SidecarCoordinator and Checkpoint; the meaning is the same. Records never pass it.

import type { ErrorCode } from '@etl-router/core';
import type { Pipeline, StageKind, StagePlacement } from '@etl-router/pipeline';
import type { RunSnapshot } from './engine/counters.ts';

/** What a sidecar says of itself. */
export interface SidecarRegistration {
  /** `namespace/pod`; `standalone/local` in standalone. */
  readonly sidecarId: string;
  /** What it can run beside the services of its pod, such as `connectors`. */
  readonly offers: readonly string[];
  readonly version: string;
}

/** One pipeline that this sidecar is to run. */
export interface Assignment {
  /** `namespace/name`. */
  readonly pipelineId: string;
  /** Generation of the pipeline's spec. */
  readonly version: number;
  /** Revision of the assignment: lanes open only for the holder of the present one. */
  readonly planVersion: number;
  readonly pipeline: Pipeline;
  /** Where each stage runs, in the pipeline's order. */
  readonly stages: readonly StagePlacement[];
}

/** `updated` carries the whole new assignment; `revoked` the last one that held. */
export interface AssignmentEvent {
  readonly kind: 'assigned' | 'updated' | 'revoked';
  readonly assignment: Assignment;
}

export interface LaneName {
  readonly source: string;
  readonly partition: string;
}

export interface OpenLanesRequest {
  readonly pipelineId: string;
  readonly planVersion: number;
  readonly lanes: readonly LaneName[];
}

/** A lane under its new epoch, in the order in which the lanes were named. */
export interface OpenedLane {
  readonly epoch: number;
  /** Everything up to and including it is resolved; undefined: nothing yet. */
  readonly position: Uint8Array | undefined;
  /** Milliseconds since the Unix epoch; undefined where none was committed. */
  readonly watermarkMs: number | undefined;
}

/** How far one lane is. */
export interface LaneCommit {
  readonly pipelineId: string;
  readonly lane: LaneName;
  readonly epoch: number;
  readonly position: Uint8Array;
  readonly watermarkMs: number | undefined;
}

/** A commit that was not taken; all others of its call were. */
export interface CommitRefusal {
  /** Index into the commits of the call. */
  readonly index: number;
  readonly code: ErrorCode;
}

/** A heartbeat with what every run is doing. */
export interface SidecarReport {
  readonly sidecarId: string;
  readonly runs: readonly RunSnapshot[];
}

export interface ControlPlane {
  register(registration: SidecarRegistration): Promise<void>;
  /** First every assignment that holds, then each change. Ends when the signal aborts. */
  watchAssignments(signal: AbortSignal): AsyncIterable<AssignmentEvent>;
  /** Raises the epoch of each lane. Throws ETL_FENCED or ETL_CONFLICT when the assignment no longer holds. */
  openLanes(request: OpenLanesRequest): Promise<readonly OpenedLane[]>;
  /** Resolves when the positions would survive a crash. Each commit is taken or refused by itself. */
  commitPositions(commits: readonly LaneCommit[]): Promise<readonly CommitRefusal[]>;
  report(report: SidecarReport): Promise<void>;
  /** `host:port` of a live instance of a user's service; undefined while there is none. */
  resolveService(name: string, kind: StageKind): Promise<string | undefined>;
}
