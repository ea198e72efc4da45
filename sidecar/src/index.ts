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
export type {
  DeadLetter,
  DeadLetterCounts,
  DeadLetterEntry,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterQueue,
  DeadLetterStore,
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
export type { StageFactory, StageRequest } from './stage/stage-factory.ts';
