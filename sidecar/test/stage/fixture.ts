// What the tests of stages behind gRPC share: services on loopback that say what a test wants, and batches for them.

import type { TestContext } from 'node:test';
import { BatchBuilder, type Lane, positionOfCount, type RecordBatch } from '@etl-router/core';
import {
  addService,
  bindServer,
  closeServer,
  createServer,
  type Implementation,
} from '@etl-router/proto/grpc';
import { SinkService } from '@etl-router/proto/sink';
import { TransformService } from '@etl-router/proto/transform';
import { GrpcSink, type GrpcTarget, GrpcTransform } from '@etl-router/sidecar';
import { credentials, type Server, ServerCredentials } from '@grpc/grpc-js';

export const lane: Lane = { pipeline: 'test/pipeline', source: 'in', partition: 'all' };
export const never: AbortSignal = new AbortController().signal;

export type TransformHandlers = Implementation<typeof TransformService>;
export type SinkHandlers = Implementation<typeof SinkService>;

/** Serves what `add` adds; the stage `mine` that points there. */
export async function listen(
  t: TestContext,
  add: (server: Server) => void,
  serverCredentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<GrpcTarget> {
  const server = createServer();
  add(server);
  const port = await bindServer(server, '127.0.0.1:0', serverCredentials);
  t.after(() => closeServer(server, AbortSignal.abort()));
  return {
    pipelineId: lane.pipeline,
    stage: 'mine',
    address: `127.0.0.1:${port}`,
    credentials: credentials.createInsecure(),
    config: {},
  };
}

/** Records with `payload(index)`, by default the index as text, at positions from 0. */
export function batchOf(
  count: number,
  payload: (index: number) => Uint8Array = (index) => Buffer.from(String(index)),
  position: (index: number) => number = (index) => index,
): RecordBatch {
  const builder = new BatchBuilder();
  for (let index = 0; index < count; index++)
    builder.append({ position: positionOfCount(position(index)), payload: payload(index) });
  return builder.build({ lane, epoch: 1, firstSequence: 0, watermark: undefined });
}

export function transformHandlers(change: Partial<TransformHandlers> = {}): TransformHandlers {
  return {
    getCapabilities: () => ({ maxConcurrentBatches: 2 }),
    processBatch: () => ({ results: [] }),
    processStream: async function* () {},
    ...change,
  };
}

export function sinkHandlers(change: Partial<SinkHandlers> = {}): SinkHandlers {
  return {
    getCapabilities: () => ({ durable: true }),
    openLane: () => ({}),
    writeBatch: () => ({}),
    writeStream: async function* () {},
    flush: () => ({}),
    complete: () => ({}),
    getCapacity: () => ({}),
    ...change,
  };
}

export async function transformOf(
  t: TestContext,
  change: Partial<TransformHandlers>,
  target: Partial<GrpcTarget> = {},
): Promise<GrpcTransform> {
  const served = await listen(t, (server) =>
    addService(server, TransformService, transformHandlers(change)),
  );
  const stage = await GrpcTransform.connect({ ...served, ...target });
  t.after(() => stage.close());
  return stage;
}

/** A sink whose lane is open. */
export async function sinkOf(
  t: TestContext,
  change: Partial<SinkHandlers>,
  target: Partial<GrpcTarget> = {},
): Promise<GrpcSink> {
  const served = await listen(t, (server) => addService(server, SinkService, sinkHandlers(change)));
  const sink = await GrpcSink.connect({ ...served, ...target });
  t.after(() => sink.close());
  await sink.openLane(lane, 1);
  return sink;
}
