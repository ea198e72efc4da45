// The router: a replicated state machine behind a log, and the objects that every interface calls.

export { type BuildVersion, readBuildVersion, renderVersion } from './build-version.ts';
export { clockWarnings } from './clock-warnings.ts';
export {
  type ConfigInput,
  type LoadedConfig,
  loadConfig,
  type RouterConfig,
  type SettingSource,
} from './config/config.ts';
export { type CommandLine, type ExtraFlag, parseCommandLine, renderHelp } from './config/flags.ts';
export { type Address, formatAddress } from './config/parse.ts';
export {
  configExitCode,
  defaultConfigFile,
  readConfig,
  renderConfig,
} from './config/read-config.ts';
export { damagedExitCode } from './exit-code.ts';
export {
  type RunningRouter,
  routerFolder,
  type StartRouterOptions,
  startRouter,
} from './process.ts';
export type { Assignment } from './server/assignment-view.ts';
export type { KeptCheckpoint, ServiceCheckpoint } from './server/checkpoints.ts';
export type { ClusterStatus, ServerConsensus } from './server/cluster.ts';
export type {
  DeadLetterFilter,
  DeadLetterHolder,
  DeadLetterHolders,
  DeadLetterPage,
  DeadLetterView,
} from './server/dead-letters.ts';
export type { ConsumerGroup, GroupCommit, GroupPosition, Membership } from './server/groups.ts';
export {
  type EdgeReport,
  type LaneReport,
  type LivePipeline,
  type PipelineReport,
  type RunPhase,
  runPhases,
  type StageFault,
  type StageRate,
  type StageReport,
} from './server/live.ts';
export type { ObjectName, RouterObject } from './server/object-view.ts';
export {
  type ApplyOptions,
  type ApplyOutcome,
  type ApplyTextOutcome,
  findingsError,
  type ObjectCheck,
} from './server/objects.ts';
export {
  type GuaranteeFunction,
  type PipelinePhase,
  type PipelineView,
  pipelinePhases,
  type UnresolvedRef,
} from './server/pipelines.ts';
export type { PlanFunction } from './server/planner.ts';
export type {
  LaneName,
  LanePosition,
  LaneState,
  LaneWatermark,
  OpenedLane,
  OpenLanesRequest,
  RefusedItem,
} from './server/positions.ts';
export {
  type Problem,
  type ProblemKind,
  type ProblemReport,
  problemKinds,
} from './server/problems.ts';
export type { ProposeOptions } from './server/proposer.ts';
export type { ServiceHeartbeat } from './server/registry.ts';
export { Router, type RouterParts } from './server/router.ts';
export {
  type Endpoint,
  formatEndpoint,
  type Health,
  healths,
  type RegisteredService,
  type ServiceFilter,
  type ServiceInfo,
  type ServiceType,
  serviceTypes,
} from './server/service-view.ts';
export type { ServiceEvent, ServiceEvents } from './server/service-watch.ts';
export type {
  AssignmentChange,
  KnownAssignment,
  RegisteredSidecar,
  SidecarHeartbeat,
  SidecarInfo,
} from './server/sidecars.ts';
export { StateHost } from './server/state-host.ts';
