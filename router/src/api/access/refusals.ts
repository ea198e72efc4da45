// How the gate refuses over HTTP: a status, a problem, and in front of GraphQL also the errors that its clients look for.
// The connection ends, as what still comes of the request is not read.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorCode, type EtlError, type Logger, toEtlError } from '@etl-router/core';
import type { Caller, Verb } from './access.ts';
import type { Gate } from './gate.ts';

const statuses: { readonly [code in ErrorCode]?: number } = {
  ETL_PERMISSION_DENIED: 403,
  ETL_UNAUTHENTICATED: 401,
  ETL_UNAVAILABLE: 503,
};

/** Seconds after which it is worth a try again where nobody could say. */
const retrySeconds = 5;

export interface Admission {
  readonly gate: Gate;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly logger: Logger;
  /** What is wanted; undefined: to be found out later, but somebody who may do nothing comes no further. */
  readonly verb: Verb | undefined;
}

/** Who asks, if they may; undefined: they were refused. */
export async function admit(admission: Admission): Promise<Caller | undefined> {
  const { gate, request, verb } = admission;
  try {
    const caller = await gate.callerOf(request);
    if (verb === undefined) await gate.checkAny(caller);
    else await gate.check(caller, verb);
    return caller;
  } catch (error) {
    refuse(admission, toEtlError(error));
    return undefined;
  }
}

/** The status of HTTP that an error of the gate has. */
export function statusOf({ code }: EtlError): number {
  return statuses[code] ?? 500;
}

function refuse({ response, logger }: Admission, error: EtlError): void {
  const { code, message, retryable } = error;
  const status = statusOf(error);
  if (status === 500) logger.error({ err: error }, 'a caller could not be looked at');
  else if (status === 503) logger.warn({ err: error }, 'a caller was refused');
  const title = status === 500 ? 'internal error' : message;
  response.statusCode = status;
  if (status === 401) response.setHeader('www-authenticate', 'Bearer realm="etl-router"');
  if (status === 503) response.setHeader('retry-after', String(retrySeconds));
  response.setHeader('connection', 'close');
  response.setHeader('content-type', 'application/problem+json');
  const errors = [{ message: title, extensions: { code, retryable } }];
  response.end(JSON.stringify({ status, title, code, errors }));
}
