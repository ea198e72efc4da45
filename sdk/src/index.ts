// A source, a transform or a sink of your own in ten lines (docs/guides/write-a-stage.md).

export { EtlError } from '@etl-router/core';
export type { Stage, StageConfig } from './context.ts';
export {
  type Dropped,
  drop,
  type Failed,
  fail,
  type Outcome,
  type Split,
  split,
} from './outcome.ts';
export { Position, type PositionValue } from './position.ts';
export { EtlRecord, type RecordChange } from './record.ts';
export type { RegisterOptions } from './registration.ts';
export type { RunningService, ServeOptions } from './server.ts';
export {
  type LaneContext,
  type SinkOptions,
  serveSink,
  type WriteContext,
  type WriteFailure,
} from './sink.ts';
export { type ReadContext, type SourceOptions, type SourceRecord, serveSource } from './source.ts';
export { serveTransform, type TransformContext, type TransformOptions } from './transform.ts';
