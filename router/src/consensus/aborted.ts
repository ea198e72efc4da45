// Callers that stop waiting: what they are told, and how they are let go.

import { EtlError } from '@etl-router/core';

/** The caller went away while its command is on its way. */
export function abandoned(signal: AbortSignal | undefined): EtlError {
  const { reason } = signal ?? {};
  const timedOut = reason instanceof Error && reason.name === 'TimeoutError';
  return new EtlError(
    timedOut ? 'ETL_TIMEOUT' : 'ETL_CANCELLED',
    'the caller stopped waiting; the command may still take effect',
    { cause: reason },
  );
}

/** The value, unless the signal aborts first. `begun` runs once waiting began. */
export function untilAborted<Value>(
  value: Promise<Value>,
  signal: AbortSignal | undefined,
  begun: () => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abandoned(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    value.then(resolve, reject).finally(() => signal?.removeEventListener('abort', onAbort));
    begun();
  });
}

/** The member is closing. */
export function closedError(): EtlError {
  return new EtlError('ETL_CANCELLED', 'the router is shutting down');
}
