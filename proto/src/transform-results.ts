// Between the results of a TransformService, one for each record, and core's TransformResult. Identity never comes from
// user code: position, derivation, origin id and ingest time of an output are those of its input.

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  BatchBuilder,
  EtlError,
  type Record,
  type RecordBatch,
  type RecordFailure,
  readRecord,
  type TransformResult,
} from '@etl-router/core';
import { fromFailure, toRecordFailure } from './convert.ts';
import {
  type RecordResult,
  type RecordResultSchema,
  RecordStatus,
} from './gen/etl/transform/v1/transform_pb.ts';
import type { Raw, RawSchema } from './grpc/raw.ts';

const outputsMax = 10_000;

/** One result, its outputs as the bytes of their Record messages. */
export type RawRecordResult = MessageInitShape<RawSchema<typeof RecordResultSchema>>;

/**
 * What became of `batch` at `stage`, from the results the service gave: one for each record, in order. Throws
 * ETL_CONNECTOR_FAILED, not retryable, when there are more or fewer, or when one contradicts itself.
 */
export function toTransformResult(
  batch: RecordBatch,
  results: readonly Raw<RecordResult>[],
  stage: string,
): TransformResult {
  if (results.length !== batch.count) {
    throw broken(stage, `answered ${results.length} results for ${batch.count} records`);
  }
  const builder = new BatchBuilder(batch.byteLength + 1024);
  const failures: RecordFailure[] = [];
  results.forEach((result, index) => {
    const { status, outputs } = result;
    if (status === RecordStatus.ERROR) failures.push(toRecordFailure(index, result.failure));
    checkOutputs(stage, index, result);
    if (status === RecordStatus.OK && outputs.length === 0) builder.appendFrom(batch, index);
    if (outputs.length === 0) return;
    const input = batch.record(index);
    outputs.forEach((bytes, ordinal) => {
      const suffix = status === RecordStatus.SPLIT ? `.${stage}.${ordinal}` : '';
      builder.append(withIdentity(readOutput(bytes), input, suffix), batch.sequence(index));
    });
  });
  const { lane, epoch, firstSequence, watermark } = batch.header;
  return { batch: builder.build({ lane, epoch, firstSequence, watermark }), failures };
}

const outputCounts: { readonly [status: number]: readonly [least: number, most: number] } = {
  [RecordStatus.OK]: [0, 1],
  [RecordStatus.FILTERED]: [0, 0],
  [RecordStatus.ERROR]: [0, 0],
  [RecordStatus.SPLIT]: [1, outputsMax],
};

function checkOutputs(stage: string, index: number, result: Raw<RecordResult>): void {
  const bounds = outputCounts[result.status];
  if (bounds === undefined) {
    throw broken(stage, `answered status ${result.status} for record ${index}`);
  }
  const count = result.outputs.length;
  if (count < bounds[0] || count > bounds[1]) {
    throw broken(
      stage,
      `answered ${count} outputs with status ${result.status} for record ${index}; it takes ${bounds[0]} to ${bounds[1]}`,
    );
  }
}

function readOutput(bytes: Uint8Array): Record {
  return readRecord(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
}

function withIdentity(output: Record, input: Record, suffix: string): Record {
  return {
    ...output,
    position: input.position,
    derivation: `${input.derivation}${suffix}`,
    originId: input.originId,
    ingestTime: input.ingestTime,
    eventTime: output.eventTime ?? input.eventTime,
  };
}

/** The results to answer for `batch` when core's transform made `result` of it: what the SDK's server says. */
export function fromTransformResult(
  batch: RecordBatch,
  result: TransformResult,
): RawRecordResult[] {
  const outputs = outputsByInput(batch, result.batch);
  const failures = new Map(result.failures.map((failure) => [failure.index, failure]));
  return outputs.map((indexes, input) => {
    const failure = failures.get(input);
    if (failure !== undefined) return { status: RecordStatus.ERROR, failure: fromFailure(failure) };
    if (indexes.length === 0) return { status: RecordStatus.FILTERED };
    const [only = 0] = indexes;
    const split = indexes.length > 1 || result.batch.derivation(only) !== batch.derivation(input);
    const spans = indexes.map((index) => recordBytes(result.batch, index));
    if (!split && Buffer.compare(spans[0] as Buffer, recordBytes(batch, input)) === 0) {
      return { status: RecordStatus.OK };
    }
    return { status: split ? RecordStatus.SPLIT : RecordStatus.OK, outputs: spans };
  });
}

/** For each input, the outputs made of it. Both are in order, and an output has its input's sequence and derivation. */
function outputsByInput(batch: RecordBatch, output: RecordBatch): number[][] {
  const made: number[][] = Array.from({ length: batch.count }, () => []);
  let input = 0;
  for (let index = 0; index < output.count; index++) {
    while (input < batch.count && !isMadeOf(output, index, batch, input)) input++;
    const list = made[input];
    if (list === undefined) {
      throw new EtlError(
        'ETL_INTERNAL',
        `output ${index} has sequence ${output.sequence(index)}, which no input at its place has`,
      );
    }
    list.push(index);
  }
  return made;
}

function isMadeOf(output: RecordBatch, index: number, batch: RecordBatch, input: number): boolean {
  if (output.sequence(index) !== batch.sequence(input)) return false;
  const [derivation, before] = [output.derivation(index), batch.derivation(input)];
  return derivation === before || derivation.startsWith(`${before}.`);
}

function recordBytes(batch: RecordBatch, index: number): Buffer {
  return batch.bytes.subarray(batch.spans[2 * index], batch.spans[2 * index + 1]);
}

function broken(stage: string, what: string): EtlError {
  return new EtlError('ETL_CONNECTOR_FAILED', `stage ${stage} ${what}`, { retryable: false });
}
