// How much of the disk the log may take. A full disk ends a router for good, because what reached it is unknown then; a
// log that stops growing in time does not. It never stops what is read, and never what makes the state smaller.

import { EtlError } from '@etl-router/core';

/** Share of the quota from which on only what frees space is taken. */
const readOnlyShare = 0.9;

/** The quota of one log. */
export class LogQuota {
  /** Infinite where there is none. */
  readonly maxBytes: number;
  readonly #log: { readonly diskBytes: number };

  constructor(log: { readonly diskBytes: number }, maxBytes = Number.POSITIVE_INFINITY) {
    this.#log = log;
    this.maxBytes = maxBytes;
  }

  /** Time for a snapshot, well before anything has to be refused. */
  get isHalfTaken(): boolean {
    return this.#log.diskBytes >= this.maxBytes / 2;
  }

  /**
   * Why a command is not taken now, with so many bytes of commands on their way into the log; what frees space is taken
   * up to the whole quota.
   */
  refusal(frees: boolean, comingBytes: number): EtlError | undefined {
    const { diskBytes } = this.#log;
    const taken = frees ? diskBytes : diskBytes + comingBytes;
    if (taken < this.maxBytes * (frees ? 1 : readOnlyShare)) return undefined;
    const coming = comingBytes === 0 ? '' : ` and ${comingBytes} are on their way`;
    return new EtlError(
      'ETL_LIMIT_EXCEEDED',
      `the log takes ${diskBytes} bytes of ${this.maxBytes}${coming}, so only reads and deletes go on until a snapshot released a part of it; send again in a moment, or start with a larger --log-quota-bytes`,
      { retryable: true, details: { bytes: diskBytes, maxBytes: this.maxBytes } },
    );
  }
}

/** Size of a segment that leaves a quota room for several: only whole segments are ever released. */
export function segmentBytesWithin(quotaBytes: number, segmentBytes: number): number {
  return Math.min(segmentBytes, Math.floor(quotaBytes / 8));
}
