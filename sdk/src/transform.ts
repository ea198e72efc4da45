// A transform of user code: one function from a record to what became of it, served as etl.transform.v1. What the function
// throws fails its record and no other.

import { BatchBuilder, EtlError, RecordBatch } from '@etl-router/core';
import { fromFailure, type RawRecordResult } from '@etl-router/proto';
import {
  addService,
  type CallContext,
  defaultMaxMessageBytes,
  type Implementation,
  type Raw,
  type RawService,
  rawService,
} from '@etl-router/proto/grpc';
import { ServiceType } from '@etl-router/proto/registry';
import {
  type ProcessStreamRequest,
  RecordStatus,
  TransformService,
} from '@etl-router/proto/transform';
import { type Stage, toStage } from './context.ts';
import { failureOf, type Outcome, toOutcome } from './outcome.ts';
import { type EtlRecord, recordsOf } from './record.ts';
import {
  configInvalid,
  type RunningService,
  readCount,
  readRecordTypes,
  type ServeOptions,
  serve,
} from './server.ts';

/** What the function is told beside its record. */
export interface TransformContext extends Stage {
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** A transform to serve. */
export interface TransformOptions extends ServeOptions {
  /** Same input, same output: it uses no clock, randomness or outside state. Pipelines rely on it. Default false. */
  readonly deterministic?: boolean;
  /** Makes of a record what becomes of it. What it throws fails this record; retryable EtlErrors are tried again. */
  readonly process: (record: EtlRecord, context: TransformContext) => Outcome | Promise<Outcome>;
  /** Records of a batch that are processed at once, 1 to 1,000; results keep their order. Default 1. */
  readonly concurrency?: number;
  /** Most records wanted in one batch, 1 to 1,000,000. Default: no wish. */
  readonly maxBatchRecords?: number;
  /** Record types it handles; others pass it by unchanged. Default: all. */
  readonly recordTypes?: readonly string[];
}

type Service = RawService<typeof TransformService>;

/** Batches of different lanes that are welcome at once: more than one, so that the network's time is not lost. */
const batchesAtOnce = 8;

/** Serves a transform. Rejects with ETL_CONFIG_INVALID or ETL_PORT_IN_USE. */
export async function serveTransform(options: TransformOptions): Promise<RunningService> {
  const { name } = options;
  if (typeof options.process !== 'function')
    throw configInvalid(name, 'process', 'needs a function');
  const bounds = { least: 1, most: 1000, fallback: 1 };
  const concurrency = readCount(name, 'concurrency', options.concurrency, bounds);
  const maxBatchRecords = readCount(name, 'maxBatchRecords', options.maxBatchRecords, {
    least: 1,
    most: 1_000_000,
    fallback: 0,
  });
  const recordTypes = readRecordTypes(name, options.recordTypes);
  const service = rawService(TransformService);
  const handlers: Implementation<Service> = {
    getCapabilities: () => ({
      deterministic: options.deterministic ?? false,
      supportsStream: true,
      maxMessageBytes: defaultMaxMessageBytes,
      maxBatchRecords,
      maxConcurrentBatches: batchesAtOnce,
      recordTypes: [...recordTypes],
    }),
    processBatch: async ({ stage, batch }, call) => ({
      results: await processAll(options.process, concurrency, {
        batch: RecordBatch.decode(batch),
        context: { ...toStage(stage), signal: call.signal },
      }),
    }),
    processStream: (requests, call) => processStream(options.process, concurrency, requests, call),
  };
  return serve(options, {
    service: TransformService,
    type: ServiceType.TRANSFORM,
    recordTypes,
    add: (server, { onDefect }) => addService(server, service, handlers, { onDefect }),
  });
}

async function* processStream(
  process: TransformOptions['process'],
  concurrency: number,
  requests: AsyncIterable<Raw<ProcessStreamRequest>>,
  { signal }: CallContext,
): AsyncGenerator<{ batchNumber: bigint; results: RawRecordResult[] }, void, void> {
  let context: TransformContext | undefined;
  let expected = 1n;
  for await (const { batchNumber, request } of requests) {
    if (request.case === 'open' && context === undefined) {
      context = { ...toStage(request.value), signal };
      continue;
    }
    if (request.case !== 'batch' || context === undefined || batchNumber !== expected) {
      throw new EtlError(
        'ETL_CONFLICT',
        `the stream needs \`open\` first and once, then batches numbered without gaps; ${expected} was expected`,
      );
    }
    const batch = RecordBatch.decode(request.value as unknown as Uint8Array);
    yield { batchNumber, results: await processAll(process, concurrency, { batch, context }) };
    expected++;
  }
}

/** The results of all records, in their order, at most `concurrency` in progress. */
async function processAll(
  process: TransformOptions['process'],
  concurrency: number,
  { batch, context }: { readonly batch: RecordBatch; readonly context: TransformContext },
): Promise<RawRecordResult[]> {
  const records = recordsOf(batch);
  const results: RawRecordResult[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < records.length && !context.signal.aborted) {
      const index = next++;
      const record = records[index] as EtlRecord;
      const made = outcomeOf(process, record, context);
      results[index] = toResult(record, made instanceof Promise ? await made : made);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, records.length) }, work));
  context.signal.throwIfAborted();
  return results;
}

/** Without a promise where user code gives none: a turn of the loop for each record would cost more than the record. */
function outcomeOf(
  process: TransformOptions['process'],
  record: EtlRecord,
  context: TransformContext,
): Outcome | Promise<Outcome> {
  try {
    const outcome = process(record, context);
    return outcome instanceof Promise ? outcome.then(toOutcome, failureOf) : toOutcome(outcome);
  } catch (error) {
    return failureOf(error);
  }
}

/** The result of a record; one whose outputs can not be written down failed. */
function toResult(input: EtlRecord, outcome: Outcome): RawRecordResult {
  try {
    return encodeResult(input, outcome);
  } catch (error) {
    return { status: RecordStatus.ERROR, failure: fromFailure(failureOf(error)) };
  }
}

function encodeResult(input: EtlRecord, outcome: Outcome): RawRecordResult {
  if (outcome === input) return { status: RecordStatus.OK };
  if ('kind' in outcome) {
    switch (outcome.kind) {
      case 'dropped':
        return { status: RecordStatus.FILTERED };
      case 'failed':
        return { status: RecordStatus.ERROR, failure: fromFailure(outcome) };
      case 'split':
        return { status: RecordStatus.SPLIT, outputs: outcome.records.map(toBytes) };
    }
  }
  return { status: RecordStatus.OK, outputs: [toBytes(outcome)] };
}

function toBytes(record: EtlRecord): Uint8Array {
  const builder = new BatchBuilder(record.payload.length + 256);
  builder.append(record.toFields());
  const lane = { pipeline: '', source: '', partition: '' };
  const batch = builder.build({ lane, epoch: 0, firstSequence: 0, watermark: undefined });
  return batch.bytes.subarray(batch.spans[0], batch.spans[1]);
}
