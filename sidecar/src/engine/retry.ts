// When to try again, and what to give up. The rule (docs/specs/0006-engine.md, "Failures"): a stage that is down is
// waited out for ever; a record is given up only when the stage refuses that record, or when it failed maxAttempts
// times while the stage took others. Pure: schedules and classes, no timers.

import type { ErrorCode, EtlError, Random } from '@etl-router/core';
import type { RetryPolicy } from '@etl-router/pipeline';

/** Milliseconds to wait before the attempt that follows `failures` failed ones (1 or more). */
export function backoffMs(policy: RetryPolicy, failures: number, random: Random): number {
  const { initialMs, factor, capMs, jitter } = policy.backoff;
  const grown = Math.min(capMs, initialMs * factor ** Math.min(failures - 1, 64));
  return Math.min(capMs, grown * (1 - jitter + 2 * jitter * random.next()));
}

/**
 * What a failed call says about its records. `stage`: nothing; the stage or what is behind it does not work, and
 * every record would fail. `record`: one of them is at fault. `fenced`: the lane has another holder.
 */
export type FailureClass = 'stage' | 'record' | 'fenced' | 'cancelled';

/** Codes that a stage raises about what it was given. All others are about itself. */
const recordCodes: ReadonlySet<ErrorCode> = new Set([
  'ETL_INVALID_ARGUMENT',
  'ETL_LIMIT_EXCEEDED',
  'ETL_RECORD_MALFORMED',
  'ETL_INTERNAL',
]);

/** The class of what a stage threw. */
export function classify(error: EtlError): FailureClass {
  if (error.code === 'ETL_FENCED') return 'fenced';
  if (error.code === 'ETL_CANCELLED') return 'cancelled';
  if (error.retryable) return 'stage';
  return recordCodes.has(error.code) ? 'record' : 'stage';
}

/**
 * Whether a record that failed in a way that may pass later is given up now. Without evidence that the stage works
 * (it took another record since this one first failed) it never is: that is a stage that is down.
 */
export function isExhausted(policy: RetryPolicy, attempts: number, stageWorks: boolean): boolean {
  return stageWorks && attempts >= policy.maxAttempts;
}

/** A part of a batch that is still to be handed over, as indexes from `from` to `to`. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

/**
 * Finds the records at fault in a batch that was refused as a whole, by halves and always from the front, so that
 * what is taken keeps its order. One poison record among n costs at most 2 * log2(n) + 1 calls, the refused one
 * included. Start it with {@link Splitter.refused}: the whole is the first part.
 */
export class Splitter {
  readonly #half: (from: number, to: number) => number | undefined;
  readonly #infers: boolean;
  readonly #parts: Part[] = [];
  /** Ends of first halves that were not refused so far: if one passes, its second half holds the fault. */
  readonly #firstHalves = new Set<number>();

  /**
   * `half` says where a part can be cut, at positions only; undefined: it can not. With `infers`, a second half is
   * parted without a call when the first half passed: right where the same call fails the same way again.
   */
  constructor(
    count: number,
    half: (from: number, to: number) => number | undefined,
    infers: boolean,
  ) {
    this.#half = half;
    this.#infers = infers;
    this.#parts.push({ from: 0, to: count });
  }

  /** The part to call with next; undefined when all is done. */
  get next(): Part | undefined {
    return this.#parts.at(-1);
  }

  /** The next part was taken. */
  passed(): void {
    const part = this.#parts.pop() as Part;
    if (!this.#firstHalves.delete(part.to) || !this.#infers) return;
    const second = this.#parts.at(-1) as Part;
    if (this.#half(second.from, second.to) !== undefined) this.refused();
  }

  /** The next part was refused. It is parted, or returned as the fault itself when it can not be. */
  refused(): Part | undefined {
    const part = this.#parts.pop() as Part;
    this.#firstHalves.delete(part.to);
    const cut = this.#half(part.from, part.to);
    if (cut === undefined) return part;
    this.#parts.push({ from: cut, to: part.to }, { from: part.from, to: cut });
    this.#firstHalves.add(cut);
    return undefined;
  }
}
