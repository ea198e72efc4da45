// Which leadership of the operator changes the cluster. Its epoch only grows: whoever was frozen and wakes under a lower
// one finds that it is fenced, at every member that has applied the higher one.

import { create } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import { type RaiseOperatorEpoch, StoredOperatorSchema } from '@etl-router/proto';
import { maxOperatorEpoch } from './limits.ts';
import { invalid } from './names.ts';
import { done, type Outcome } from './refusal.ts';
import type { Context, Tables } from './tables.ts';

/** Key of the one row. */
const operatorKey = '';

/** The highest epoch that came; 0 before the first. */
export function operatorEpoch(tables: Tables): bigint {
  return tables.operators.get(operatorKey)?.epoch ?? 0n;
}

export function raiseOperatorEpoch(context: Context, { epoch }: RaiseOperatorEpoch): Outcome {
  const seen = operatorEpoch(context.tables);
  if (epoch === 0n || epoch > maxOperatorEpoch)
    throw invalid('epoch', `must be from 1 to ${maxOperatorEpoch}`);
  checkOperatorEpoch(epoch, seen);
  if (epoch > seen)
    context.tables.operators.put(operatorKey, create(StoredOperatorSchema, { epoch }));
  return done;
}

/** Throws ETL_FENCED below the epoch that was seen. */
export function checkOperatorEpoch(epoch: bigint, seen: bigint): void {
  if (epoch >= seen) return;
  throw new EtlError(
    'ETL_FENCED',
    `operator epoch ${epoch} is over: one that leads since has ${seen}`,
    { details: { epoch: String(epoch), seen: String(seen) } },
  );
}
