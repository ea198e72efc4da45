// Proposals that wait for their answers, bounded in number and bytes. An answer is given once, in the order of the log.

import { EtlError } from '@etl-router/core';
import type { Proposed } from './consensus.ts';

/** How many proposals may wait, and how many bytes of commands. */
export interface ProposalBounds {
  readonly maxCount: number;
  readonly maxBytes: number;
}

interface Waiting {
  readonly bytes: number;
  readonly resolve: (answer: Proposed) => void;
  readonly reject: (error: EtlError) => void;
}

/** Waiting proposals by their index. */
export class PendingProposals {
  readonly #bounds: ProposalBounds;
  readonly #waiting = new Map<number, Waiting>();
  #bytes = 0;

  constructor(bounds: ProposalBounds) {
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** Why a command of that size can not wait now; undefined when it can. */
  refusal(bytes: number): EtlError | undefined {
    const { maxCount, maxBytes } = this.#bounds;
    const full = this.#waiting.size >= maxCount ? `${maxCount} proposals` : undefined;
    const heavy = this.#bytes + bytes > maxBytes ? `${maxBytes} bytes of proposals` : undefined;
    const bound = full ?? heavy;
    if (bound === undefined) return undefined;
    return new EtlError(
      'ETL_LIMIT_EXCEEDED',
      `${bound} already wait for the log; send again when some are answered`,
      { retryable: true, details: { bound } },
    );
  }

  /**
   * Waits for the entry at `index`. When the signal aborts, the caller is released; the place stays taken until the
   * entry is applied, because its bytes are in memory that long.
   */
  wait(index: number, bytes: number, signal: AbortSignal | undefined): Promise<Proposed> {
    this.#bytes += bytes;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(abandoned(signal));
      const settle = (): void => signal?.removeEventListener('abort', onAbort);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(index, {
        bytes,
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
    });
  }

  /** Answers the proposal of an applied entry, if someone here made it. */
  answer(answer: Proposed): void {
    const waiting = this.#waiting.get(answer.index);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.index);
    this.#bytes -= waiting.bytes;
    waiting.resolve(answer);
  }

  /** Ends all waiting. */
  rejectAll(error: EtlError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    this.#bytes = 0;
  }
}

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
