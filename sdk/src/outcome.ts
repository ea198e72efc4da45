// What user code says about a record: it goes on, is left out, became several, or failed.

import { type ErrorCode, EtlError, isEtlError } from '@etl-router/core';
import { EtlRecord } from './record.ts';

const codePattern = /^[A-Z][A-Z0-9_]{0,63}$/;
const messageMaxChars = 4096;
/** Most records that one may become. */
export const splitMax = 10_000;

/** The record is left out. */
export interface Dropped {
  readonly kind: 'dropped';
}

/** The record became others. */
export interface Split {
  readonly kind: 'split';
  readonly records: readonly EtlRecord[];
}

/** The record could not be taken. */
export interface Failed {
  readonly kind: 'failed';
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** What became of a record. */
export type Outcome = EtlRecord | Dropped | Split | Failed;

/** Leaves the record out. */
export function drop(): Dropped {
  return { kind: 'dropped' };
}

/**
 * Makes `records` of the record, 1 to 10,000, each with an id derived from its own. Throws ETL_INVALID_ARGUMENT for
 * more or none: a record of nothing is {@link drop}ped.
 */
export function split(records: readonly EtlRecord[]): Split {
  if (records.length === 0 || records.length > splitMax) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `split() got ${records.length} records; it takes 1 to ${splitMax}, and drop() leaves a record out`,
    );
  }
  return { kind: 'split', records };
}

/**
 * The record could not be taken. `code` groups failures of one cause: upper-case letters, digits and `_`, at most 64.
 * `message` is for people and never holds the payload. Retryable failures are tried again with backoff before the record
 * goes to the dead letters (default: not retryable). Throws ETL_INVALID_ARGUMENT for another code.
 */
export function fail(
  code: string,
  message: string,
  options: { readonly retryable?: boolean } = {},
): Failed {
  if (!codePattern.test(code)) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `fail() got the code ${JSON.stringify(code.slice(0, 80))}; it takes upper-case letters, digits and _, at most 64, such as NOT_A_NUMBER`,
    );
  }
  return {
    kind: 'failed',
    code,
    message: message.slice(0, messageMaxChars).toWellFormed(),
    retryable: options.retryable ?? false,
  };
}

/** The failure of a record whose processing threw: an EtlError keeps its code, all else is THROWN. */
export function failureOf(thrown: unknown): Failed {
  if (isEtlError(thrown)) {
    return fail(thrown.code satisfies ErrorCode, thrown.message, { retryable: thrown.retryable });
  }
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return fail('THROWN', text);
}

/** Any value user code gave back as an outcome; what is none is the record's failure. */
export function toOutcome(value: unknown): Outcome {
  if (value instanceof EtlRecord) return value;
  const kind = (value as Partial<Dropped | Split | Failed> | null | undefined)?.kind;
  if (kind === 'dropped' || kind === 'split' || kind === 'failed') return value as Outcome;
  return fail(
    'NO_OUTCOME',
    `process gave back ${value === null ? 'null' : typeof value}; return the record, drop(), split() or fail()`,
  );
}
