// What became of a command that failed, as its error tells: the one thing that decides whether it may be sent again.
// Nothing here guesses; what is not said to be refused may have taken effect.

import { EtlError, toEtlError } from '@etl-router/core';

/**
 * `refused`: it is in no log and never will be. `unknown`: it may take effect yet. `applied`: it took effect, and
 * something after that failed.
 */
export type Outcome = 'refused' | 'unknown' | 'applied';

const outcomes: readonly unknown[] = ['refused', 'unknown', 'applied'] satisfies Outcome[];

/** What the error says became of the command; undefined: it says nothing. */
export function outcomeOf({ details }: EtlError): Outcome | undefined {
  const { outcome } = details;
  return outcomes.includes(outcome) ? (outcome as Outcome) : undefined;
}

/** The error with that outcome in its details, in place of what it said before. */
export function withOutcome(thrown: unknown, outcome: Outcome): EtlError {
  const error = toEtlError(thrown);
  const { code, message, retryable, details } = error;
  return new EtlError(code, message, {
    retryable,
    details: { ...details, outcome },
    cause: error,
  });
}

/** What a command came to that is not answered any more. */
export function unknownOutcome(why: string, cause?: unknown): EtlError {
  return new EtlError('ETL_UNAVAILABLE', `${why}; the command may have taken effect`, {
    retryable: false,
    details: { outcome: 'unknown' },
    ...(cause === undefined ? {} : { cause }),
  });
}
