// Batches for tests, in a few words.

import { BatchBuilder, type Lane, positionOfCount, type RecordBatch } from '@etl-router/core';

export const testLane: Lane = { pipeline: 'test/pipeline', source: 'in', partition: 'p0' };

/**
 * A batch of records with these sequences, each at the position of its sequence plus 1 (records of one sequence share
 * it), their payloads numbered through.
 */
export function batchOf(
  sequences: readonly number[],
  options: { readonly epoch?: number; readonly payload?: (index: number) => string } = {},
): RecordBatch {
  const { epoch = 1, payload = (index) => `r${index}` } = options;
  const builder = new BatchBuilder();
  for (const [index, sequence] of sequences.entries()) {
    const position = positionOfCount(sequence + 1);
    builder.append({ position, payload: Buffer.from(payload(index)) }, sequence);
  }
  return builder.build({ lane: testLane, epoch, firstSequence: 0, watermark: undefined });
}

/** Sequences of a batch. */
export function sequencesOf(batch: RecordBatch): number[] {
  return Array.from({ length: batch.count }, (_, index) => batch.sequence(index));
}

/** Payloads of a batch as text. */
export function payloadsOf(batch: RecordBatch): string[] {
  return Array.from({ length: batch.count }, (_, index) => batch.payload(index).toString());
}
