// The words everyone shares: records, errors, time, randomness, and what a connector is.

export { AssertionFailure, assert, assertCount, unreachable } from './assert.ts';
export { type Cancel, type Clock, ManualClock, sleep, systemClock } from './clock.ts';
export type {
  BatchPreference,
  OpenPartitionRequest,
  PartitionReader,
  ReadRequest,
  ReadResult,
  RecordFailure,
  Sink,
  SinkCapabilities,
  SinkLaneState,
  Source,
  SourceCapabilities,
  SourcePartition,
  StageContext,
  Transform,
  TransformCapabilities,
  TransformResult,
  WriteResult,
} from './connector.ts';
export { sha256 } from './digest.ts';
export { formatDuration, parseDuration } from './duration.ts';
export {
  type ErrorCode,
  type ErrorCodeInfo,
  EtlError,
  type EtlErrorOptions,
  errorCodes,
  type GrpcStatusName,
  isEtlError,
  toEtlError,
} from './errors.ts';
export { type Limits, limits } from './limits.ts';
export {
  createLogger,
  createRelayLogger,
  type Logger,
  type LogLevel,
  logLevels,
  logRelayed,
  silentLogger,
} from './log.ts';
export { formatQuantity, parseQuantity } from './quantity.ts';
export { type Random, seededRandom, systemRandom } from './random.ts';
export { type BatchHeader, RecordBatch } from './record/batch.ts';
export { BatchBuilder, encodeCommonFields } from './record/batch-builder.ts';
export {
  type CloudEvent,
  fromCloudEvent,
  type LaneRecord,
  toCloudEvent,
} from './record/cloud-events.ts';
export { type RecordFields, readRecord } from './record/codec.ts';
export { type FieldName, fieldName, ownField } from './record/field-scanner.ts';
export { parseJson, stringifyJson, stringifyJsonText } from './record/json.ts';
export {
  comparePositions,
  countOfPosition,
  type Lane,
  laneKey,
  positionOfCount,
  type Record,
  recordId,
  type Timestamp,
  timestampOfMs,
  timestampToMs,
} from './record/record.ts';
export { formatTimestamp, parseTimestamp } from './record/rfc3339.ts';
