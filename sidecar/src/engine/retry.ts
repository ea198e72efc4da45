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
