// The sidecar: moves records from sources through transforms to sinks, and loses none.

export type {
  Assignment,
  AssignmentEvent,
  CommitRefusal,
  ControlPlane,
  LaneCommit,
  LaneName,
  OpenedLane,
  OpenLanesRequest,
  SidecarRegistration,
  SidecarReport,
} from './control-plane.ts';
export { type LocalDeadLetterOptions, LocalDeadLetterStore } from './dead-letter/local-store.ts';
export type {
  DeadLetter,
  DeadLetterCounts,
  DeadLetterEntry,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterQueue,
  DeadLetterStore,
  RedriveLane,
} from './dead-letter/store.ts';
export type {
  EdgeSnapshot,
  LaneSnapshot,
  RunPhase,
  RunSnapshot,
  StageFault,
  StageSnapshot,
} from './engine/counters.ts';
export {
  type FailpointName,
  type Failpoints,
  failpointNames,
  noFailpoints,
} from './engine/failpoints.ts';
export { registerMetrics } from './engine/metrics.ts';
export type { RunOutcome } from './engine/pipeline-run.ts';
export { Sidecar, type SidecarOptions } from './sidecar.ts';
export { SpillStore, type SpillStoreOptions } from './spill/spill-store.ts';
export { type GrpcTarget, toGrpcTarget } from './stage/grpc/connection.ts';
export { GrpcSink } from './stage/grpc/sink.ts';
export { GrpcSource } from './stage/grpc/source.ts';
export { GrpcTransform } from './stage/grpc/transform.ts';
export type { StageFactory, StageRequest } from './stage/stage-factory.ts';
export { type Directory, nodeDirectory, type StoredFile } from './storage/directory.ts';
