// How a run gets its stages. The engine knows interfaces only: standalone and the connector host inject a factory
// that makes built-in connectors, and stages behind gRPC.

import type { Sink, Source, Transform } from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';

/** A stage to make. */
export interface StageRequest {
  /** `namespace/name`. */
  readonly pipelineId: string;
  readonly stage: Stage;
  /** Where its gRPC service answers, `host:port`; undefined for a built-in connector. */
  readonly endpoint: string | undefined;
}

/**
 * Makes stages without opening them. Throws ETL_CONFIG_INVALID for settings that no connector takes and
 * ETL_UNAVAILABLE while what is needed is away.
 */
export interface StageFactory {
  createSource(request: StageRequest): Source | Promise<Source>;
  createTransform(request: StageRequest): Transform | Promise<Transform>;
  createSink(request: StageRequest): Sink | Promise<Sink>;
}
