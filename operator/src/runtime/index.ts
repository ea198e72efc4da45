// What the operator is built from, without a word about its kinds.

export {
  ApiError,
  isConflict,
  isExpired,
  isNotFound,
  isStatus,
  type StatusCause,
} from './api-error.ts';
export {
  Applier,
  type ApplierOptions,
  type ApplyOutcome,
  appliedHashAnnotation,
  immutableFields,
} from './apply.ts';
export { Backoff, type BackoffOptions } from './backoff.ts';
export { canonicalJson, digestOf, project, sameJson } from './canonical.ts';
export { KubeConnection } from './connection.ts';
export {
  Controller,
  type ControllerOptions,
  type Reconcile,
  type ReconcileContext,
  type ReconcileOutcome,
  TerminalError,
} from './controller.ts';
export { type EventClaim, EventRecorder, type EventRecorderOptions } from './events.ts';
export { addFinalizer, type FinalizerOptions, removeFinalizer } from './finalizers.ts';
export {
  type CacheView,
  type ChangeListener,
  deepFreeze,
  Informer,
  type InformerOptions,
  type ObjectChange,
} from './informer.ts';
export type { CallOptions, KubeCallerOptions } from './kube-caller.ts';
export {
  describeRef,
  fromKey,
  type KubeKind,
  type KubeObject,
  keyOf,
  type ObjectMeta,
  type ObjectRef,
  type OwnerReference,
  pathOfCollection,
  pathOfObject,
  refOf,
  type UntypedObject,
} from './kube-object.ts';
export type {
  ApplyOptions,
  DeleteOptions,
  JsonPatchOperation,
  Page,
  PageOptions,
  Selection,
  WatchOptions,
} from './kube-options.ts';
export { eventKind } from './kube-options.ts';
export {
  type ElectionEnd,
  LeaderElection,
  type LeaderElectionOptions,
} from './leader-election.ts';
export { leaseKind, microTime } from './lease.ts';
export { listAll } from './list-all.ts';
export { Manager, type ManagerEnd, type ManagerOptions } from './manager.ts';
export { type RuntimeMetrics, registerRuntimeMetrics } from './metrics.ts';
export type { IndexFunction } from './object-index.ts';
export {
  type CommonLabels,
  commonLabels,
  controllerReference,
  controllerUid,
} from './ownership.ts';
export {
  type Check,
  createProbeHandler,
  LoopLag,
  livenessChecks,
  type ProbeHandlerOptions,
  type ReadinessOptions,
  readinessChecks,
  startupChecks,
} from './probes.ts';
export { RawKube } from './raw-kube.ts';
export { Reflector, type ReflectorOptions, type ReflectorTarget } from './reflector.ts';
export { EtlOperator } from './shell.ts';
export { Shutdown, type ShutdownStep, type SignalSource } from './shutdown.ts';
export {
  type Condition,
  type ConditionClaim,
  withConditions,
} from './status.ts';
export { TokenBucket } from './token-bucket.ts';
export type { WatchEvent } from './watch-stream.ts';
export { resyncPriority, userPriority, WorkQueue, type WorkQueueOptions } from './work-queue.ts';
