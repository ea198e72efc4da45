// What every read of gRPC waits for.

import type { CallContext } from '@etl-router/proto/grpc';
import { consistencyHeader, freshEnough } from '../consistency.ts';
import type { GrpcContext } from './context.ts';

/** Resolves when the caller may be answered: at once where its metadata asks for a stale read. */
export function beforeRead(
  { router }: Pick<GrpcContext, 'router'>,
  call: Pick<CallContext, 'header' | 'signal'>,
): Promise<void> {
  return freshEnough(router, call.header(consistencyHeader), call.signal);
}
