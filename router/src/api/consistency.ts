// How fresh an answer has to be, as callers of GraphQL and gRPC ask for it under one name. Without a word it is
// linearizable: as of a moment after the question came.

import { EtlError } from '@etl-router/core';
import type { Router } from '../server/router.ts';

/** `linearizable`: whatever was answered before is seen. `stale`: what this member knows, without asking others. */
export type Consistency = 'linearizable' | 'stale';

/** Header of GraphQL, and metadata of gRPC. */
export const consistencyHeader = 'x-etl-consistency';

/** Throws ETL_INVALID_ARGUMENT. */
export function parseConsistency(text: string | null | undefined): Consistency {
  if (text === null || text === undefined || text === 'linearizable') return 'linearizable';
  if (text === 'stale') return text;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `${consistencyHeader}: ${JSON.stringify(text.slice(0, 64))} is not linearizable or stale`,
  );
}

/** Resolves when this member may answer. Throws ETL_UNAVAILABLE within 5 s where no quorum confirms what it knows. */
export async function freshEnough(
  router: Router,
  asked: string | null | undefined,
  signal?: AbortSignal,
): Promise<void> {
  if (parseConsistency(asked) === 'linearizable') await router.barrier(signal);
}
