// Under which leadership of the operator a change is asked for. Reads need none: who was frozen and wakes may look.

import type { DescMethod } from '@bufbuild/protobuf';
import type { CallContext } from '@etl-router/proto/grpc';
import { invalid } from '../../state/names.ts';
import type { GrpcContext } from './context.ts';

/** Metadata of calls that change something: the epoch, in decimal digits. */
export const operatorEpochHeader = 'etl-operator-epoch';

const reads = /^(Get|List|Stream)[A-Z]/;

/** Throws ETL_FENCED for a change under an epoch that is over, ETL_INVALID_ARGUMENT for one that is missing or none. */
export async function checkEpoch(
  { router, needsEpoch }: GrpcContext,
  { name }: Pick<DescMethod, 'name'>,
  call: Pick<CallContext, 'header' | 'signal'>,
): Promise<void> {
  if (reads.test(name)) return;
  const text = call.header(operatorEpochHeader);
  if (text === undefined && !needsEpoch) return;
  if (text === undefined) {
    throw invalid(
      operatorEpochHeader,
      `is missing: ${name} changes the cluster, which only the operator that leads may`,
    );
  }
  const epoch = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(epoch))
    throw invalid(operatorEpochHeader, 'must be a whole number from 1 to 2^53-1');
  await router.operators.admit(epoch, call.signal);
}
