// What the API server refuses, as an error with a registered code. The server's reason and the fields it complains about
// stay readable, so that callers decide by them and never by the text.

import { type ErrorCode, EtlError } from '@etl-router/core';

/** One complaint about one field. */
export interface StatusCause {
  readonly field?: string;
  readonly message?: string;
  readonly reason?: string;
}

/** The `Status` object that the server answers errors with. */
export interface KubeStatus {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
}

/** Statuses below 500 that another try may not meet. */
const passing: readonly number[] = [409, 410, 429];

/** How server-side apply refuses fields that no schema knows and entries that are there twice: with a 500. */
const unreadable = /^failed to create typed patch object/;

/** An answer of the API server that is not a success. */
export class ApiError extends EtlError {
  /** HTTP status. */
  readonly status: number;
  /** The server's word for it, such as `Conflict` or `AlreadyExists`; empty when it gave none. */
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  /** What the server asked to wait, when it did. */
  readonly retryAfterMs: number | undefined;

  constructor(what: string, status: number, body: KubeStatus, retryAfterMs?: number) {
    const isRefusal = status === 500 && unreadable.test(body.message ?? '');
    const code = isRefusal ? 'ETL_INVALID_ARGUMENT' : codeOf(status);
    const text = body.message ?? body.reason ?? 'no reason given';
    super(code, `${what}: the API server answered ${status}: ${text}`, {
      details: { status, reason: body.reason ?? '' },
      retryable: !isRefusal && (passing.includes(status) || status >= 500),
    });
    this.status = status;
    this.reason = body.reason ?? '';
    this.causes = body.details?.causes ?? [];
    this.retryAfterMs = retryAfterMs;
  }
}

function codeOf(status: number): ErrorCode {
  if (status === 400 || status === 413 || status === 415 || status === 422) {
    return 'ETL_INVALID_ARGUMENT';
  }
  if (status === 401) return 'ETL_UNAUTHENTICATED';
  if (status === 403) return 'ETL_PERMISSION_DENIED';
  if (status === 404) return 'ETL_NOT_FOUND';
  if (status === 405) return 'ETL_UNSUPPORTED';
  if (status === 409 || status === 410 || status === 412) return 'ETL_CONFLICT';
  return 'ETL_UNAVAILABLE';
}

/** True for an answer with that HTTP status. */
export function isStatus(error: unknown, status: number): error is ApiError {
  return error instanceof ApiError && error.status === status;
}

/** True when a list or watch has to start anew: what it continues from is compacted away. */
export function isExpired(error: unknown): error is ApiError {
  return isStatus(error, 410);
}

/** True when the object, or its kind, is not there. */
export function isNotFound(error: unknown): error is ApiError {
  return isStatus(error, 404);
}

/** True when the server will not show a kind, for want of a right or because it is not there: another try soon is in vain. */
export function isRefusal(error: unknown): error is ApiError {
  return isStatus(error, 403) || isStatus(error, 404);
}

/** True when somebody else wrote in between, or the object is there already. */
export function isConflict(error: unknown): error is ApiError {
  return isStatus(error, 409);
}

/** Reads `Retry-After` in seconds; a date or nonsense is not honoured. Capped at a minute. */
export function parseRetryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,6}$/.test(value)) return undefined;
  return Math.min(Number(value) * 1000, 60_000);
}

/** The body of an error, whatever a proxy in between made of it. */
export function parseStatus(body: string): KubeStatus {
  try {
    const parsed = JSON.parse(body) as unknown;
    if (typeof parsed === 'object' && parsed !== null) return parsed as KubeStatus;
  } catch {
    // Not the API server's words: its first line is told as it is.
  }
  const line = body.split('\n', 1)[0]?.slice(0, 200);
  return line === undefined || line === '' ? {} : { message: line };
}
