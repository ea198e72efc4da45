// Makes the stages of standalone: built-in connectors in this process, `grpc` stages by their address.

import { createSink, createSource, createTransform } from '@etl-router/connectors';
import type { Sink, Source, Transform } from '@etl-router/core';
import { type ConnectorSpec, kindOfStage } from '@etl-router/pipeline';
import {
  GrpcSink,
  GrpcSource,
  GrpcTransform,
  type StageFactory,
  type StageRequest,
  toGrpcTarget,
} from '@etl-router/sidecar';

/** The factory that the engine gets. */
export const stageFactory: StageFactory = {
  createSource: (request): Source | Promise<Source> =>
    isGrpc(request)
      ? GrpcSource.connect(targetOf(request))
      : createSource(specOf(request), objectOf(request)),
  createTransform: (request): Transform | Promise<Transform> =>
    isGrpc(request)
      ? GrpcTransform.connect(targetOf(request))
      : createTransform(specOf(request), objectOf(request)),
  createSink: (request): Sink | Promise<Sink> =>
    isGrpc(request)
      ? GrpcSink.connect(targetOf(request))
      : createSink(specOf(request), objectOf(request)),
};

function isGrpc({ stage }: StageRequest): boolean {
  return stage.connector?.type === 'grpc';
}

function targetOf({ pipelineId, stage, endpoint }: StageRequest): ReturnType<typeof toGrpcTarget> {
  return toGrpcTarget(pipelineId, stage, endpoint);
}

function specOf({ stage }: StageRequest): ConnectorSpec {
  return stage.connector ?? { type: 'unresolved', config: {} };
}

/** `EtlSink example/delayed-table`, for messages. */
function objectOf({ pipelineId, stage }: StageRequest): string {
  return `${kindOfStage[stage.kind]} ${pipelineId.split('/')[0]}/${stage.ref}`;
}
