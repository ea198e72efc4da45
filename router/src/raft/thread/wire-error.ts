// Errors between threads. A structured clone forgets what class an error is of and what it carries beside its message.

import { type ErrorCode, EtlError, isEtlError, toEtlError } from '@etl-router/core';

/** An error as it crosses. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: { readonly [name: string]: string | number | boolean };
  /** Where it was raised. */
  readonly stack: string | undefined;
  /** What it says is behind it, for people. */
  readonly cause: WireCause | undefined;
}

/** A cause is read by people and by those who ask for its code. */
export interface WireCause {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly stack: string | undefined;
  readonly cause: WireCause | undefined;
}

/** Causes that are taken along. */
const maxCauses = 4;

/** Anything thrown; what is no EtlError becomes ETL_INTERNAL. */
export function toWireError(thrown: unknown): WireError {
  const { code, message, retryable, details, stack, cause } = toEtlError(thrown);
  const behind = cause === undefined ? undefined : toCause(cause);
  return { code, message, retryable, details, stack, cause: behind };
}

export function fromWireError(wire: WireError): EtlError {
  const { code, message, retryable, details, stack, cause } = wire;
  const error = new EtlError(code, message, {
    retryable,
    details,
    ...(cause && { cause: fromCause(cause) }),
  });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Anything thrown, or the reason of a signal. */
export function toCause(thrown: unknown, left = maxCauses): WireCause {
  if (!(thrown instanceof Error) && !isEtlError(thrown)) {
    return { ...unknownCause, message: String(thrown) };
  }
  const { name, message, stack, cause } = thrown;
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
  const isLast = cause === undefined || left === 0;
  return { name, message, code, stack, cause: isLast ? undefined : toCause(cause, left - 1) };
}

export function fromCause({ name, message, code, stack, cause }: WireCause): Error {
  const error = new Error(message, cause && { cause: fromCause(cause) });
  if (stack !== undefined) error.stack = stack;
  return Object.assign(error, { name }, code !== undefined && { code });
}

const unknownCause: WireCause = {
  name: 'Error',
  message: '',
  code: undefined,
  stack: undefined,
  cause: undefined,
};
