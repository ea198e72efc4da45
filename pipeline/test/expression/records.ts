// Batches for tests of expressions.

import {
  BatchBuilder,
  positionOfCount,
  type RecordBatch,
  type RecordFields,
} from '@etl-router/core';

/** One batch of records with the given payload texts or fields. */
export function batchOf(
  ...records: readonly (string | Omit<Partial<RecordFields>, 'position'>)[]
): RecordBatch {
  const builder = new BatchBuilder();
  for (const [index, record] of records.entries()) {
    const fields = typeof record === 'string' ? { payload: Buffer.from(record) } : record;
    builder.append({ position: positionOfCount(index), ...fields });
  }
  return builder.build({
    lane: { pipeline: 'n/p', source: 'orders', partition: '7' },
    epoch: 1,
    firstSequence: 0,
    watermark: undefined,
  });
}
