// Between the state machine's 64-bit integers and the plain numbers of the server's objects. Revisions, epochs and
// generations count changes of one cluster and stay far below 2^53; what does not is refused, never rounded.

import { EtlError } from '@etl-router/core';

/** A stored counter as a number. */
export function toCount(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new EtlError('ETL_INTERNAL', `counter ${value} is beyond 2^53 - 1`);
  }
  return Number(value);
}

/** A caller's counter as it is stored; `field` is named when it is none. */
export function fromCount(field: string, value: number): bigint {
  if (Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `${field}: must be a whole number from 0 to 2^53 - 1`,
    {
      details: { field },
    },
  );
}

/** Nanoseconds since the Unix epoch as whole milliseconds. */
export function msOfNs(ns: bigint): number {
  return Number(ns / 1_000_000n);
}

/** Milliseconds since the Unix epoch as nanoseconds. */
export function nsOfMs(ms: number): bigint {
  return BigInt(Math.round(ms)) * 1_000_000n;
}
