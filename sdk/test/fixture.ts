// What the tests of services share: a stage that points at one, batches, and how results read.

import {
  BatchBuilder,
  type Lane,
  ManualClock,
  type PartitionReader,
  positionOfCount,
  type RecordBatch,
  type RecordFields,
  type StageContext,
  seededRandom,
  silentLogger,
} from '@etl-router/core';
import type { GrpcTarget } from '@etl-router/sidecar';
import { credentials } from '@grpc/grpc-js';

export const lane: Lane = { pipeline: 'test/pipeline', source: 'in', partition: 'all' };
export const never: AbortSignal = new AbortController().signal;
export const quiet = { logger: silentLogger, closeTimeoutMs: 0 } as const;

export function targetOf(address: string, config = {}): GrpcTarget {
  return {
    pipelineId: lane.pipeline,
    stage: 'mine',
    address,
    credentials: credentials.createInsecure(),
    config,
  };
}

export const stageContext: StageContext = {
  pipeline: lane.pipeline,
  stage: 'mine',
  clock: new ManualClock(),
  random: seededRandom(1),
  logger: silentLogger,
  baseDirectory: '.',
};

/** A batch of JSON values, with positions from 0. */
export function batchOf(
  values: readonly unknown[],
  change: (index: number) => Partial<RecordFields> = () => ({}),
): RecordBatch {
  return batchOfPayloads(
    values.map((value) => Buffer.from(JSON.stringify(value))),
    change,
  );
}

export function batchOfPayloads(
  payloads: readonly Uint8Array[],
  change: (index: number) => Partial<RecordFields> = () => ({}),
): RecordBatch {
  const builder = new BatchBuilder();
  payloads.forEach((payload, index) =>
    builder.append({
      position: positionOfCount(index),
      contentType: 'application/json',
      payload,
      ...change(index),
    }),
  );
  return builder.build({ lane, epoch: 1, firstSequence: 100, watermark: undefined });
}

export function valuesOf(batch: RecordBatch): unknown[] {
  return Array.from({ length: batch.count }, (_, index) => batch.value(index));
}

/** Reads records as values until `count` came or the end; `idle` is passed over. */
export async function readValues(
  reader: PartitionReader,
  count: number,
  bounds = { maxRecords: 100, maxBytes: 1024 * 1024 },
): Promise<unknown[]> {
  const values: unknown[] = [];
  while (values.length < count) {
    const result = await reader.next({ ...bounds, signal: never });
    if (result.kind === 'end') break;
    if (result.kind === 'batch') values.push(...valuesOf(result.batch));
  }
  return values;
}
