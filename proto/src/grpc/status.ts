// EtlError to gRPC status and back. The status carries the code, retryability and details in trailing metadata, so
// that an error of ours crosses a call unchanged; statuses of other software are mapped by their number alone.

import type { GrpcStatusName } from '@etl-router/core';
import { type ErrorCode, EtlError, errorCodes, isEtlError, toEtlError } from '@etl-router/core';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';

/** Trailing metadata with the error code. */
export const errorCodeKey = 'etl-error-code';
/** Trailing metadata with `{"retryable": boolean, "details": object}` as JSON in UTF-8. */
const errorDetailsKey = 'etl-error-details-bin';

const messageMaxChars = 4096;
const detailsMaxBytes = 4096;

/** The status that tells a client of `error`. Text beyond 4,096 characters and details beyond 4 KiB are left out. */
export function toStatus(error: EtlError): StatusObject {
  const metadata = new Metadata();
  metadata.set(errorCodeKey, error.code);
  const details = Buffer.from(
    JSON.stringify({ retryable: error.retryable, details: error.details }),
  );
  metadata.set(
    errorDetailsKey,
    details.length <= detailsMaxBytes
      ? details
      : Buffer.from(JSON.stringify({ retryable: error.retryable })),
  );
  return {
    code: status[errorCodes[error.code].grpc],
    details: error.message.slice(0, messageMaxChars).toWellFormed(),
    metadata,
  };
}

/** What a status of other software becomes. */
const codeOfStatus: { readonly [Name in GrpcStatusName | 'UNKNOWN']: ErrorCode } = {
  ABORTED: 'ETL_CONFLICT',
  ALREADY_EXISTS: 'ETL_CONFLICT',
  CANCELLED: 'ETL_CANCELLED',
  DATA_LOSS: 'ETL_CONNECTOR_FAILED',
  DEADLINE_EXCEEDED: 'ETL_TIMEOUT',
  FAILED_PRECONDITION: 'ETL_CONFLICT',
  INTERNAL: 'ETL_CONNECTOR_FAILED',
  INVALID_ARGUMENT: 'ETL_INVALID_ARGUMENT',
  NOT_FOUND: 'ETL_NOT_FOUND',
  OUT_OF_RANGE: 'ETL_INVALID_ARGUMENT',
  PERMISSION_DENIED: 'ETL_PERMISSION_DENIED',
  RESOURCE_EXHAUSTED: 'ETL_LIMIT_EXCEEDED',
  UNAUTHENTICATED: 'ETL_UNAUTHENTICATED',
  UNAVAILABLE: 'ETL_UNAVAILABLE',
  UNIMPLEMENTED: 'ETL_UNSUPPORTED',
  UNKNOWN: 'ETL_CONNECTOR_FAILED',
};

/** Statuses after which the same call may succeed later (docs/specs/0002-wire.md). */
const retryableStatuses: ReadonlySet<number> = new Set([
  status.ABORTED,
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.UNAVAILABLE,
]);

/** How grpc-js words that a message passed the limit of either side. Sending it again can not help. */
const tooLarge = /(message|decompresses to a size) larger than|a size larger than/i;

/** Other codes for statuses that came without one, such as `{FAILED_PRECONDITION: 'ETL_FENCED'}` of a sink. */
export type StatusOverrides = { readonly [Name in GrpcStatusName]?: ErrorCode };

/** The error behind whatever a call threw: of ours as it was raised, of other software by its status. */
export function fromServiceError(error: unknown, overrides: StatusOverrides = {}): EtlError {
  if (isEtlError(error) || !isServiceError(error)) return toEtlError(error);
  const code = String(error.metadata?.get(errorCodeKey)[0] ?? '');
  const message = error.details || error.message;
  if (Object.hasOwn(errorCodes, code)) {
    return new EtlError(code as ErrorCode, message, { ...readDetails(error), cause: error });
  }
  const name = status[error.code] as GrpcStatusName | 'UNKNOWN' | undefined;
  const known = name !== undefined && Object.hasOwn(codeOfStatus, name) ? name : 'UNKNOWN';
  const mapped = (known === 'UNKNOWN' ? undefined : overrides[known]) ?? codeOfStatus[known];
  return new EtlError(mapped, message, {
    retryable: retryableStatuses.has(error.code) && !tooLarge.test(message),
    cause: error,
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as Partial<ServiceError>).code === 'number';
}

interface Details {
  readonly retryable?: boolean;
  readonly details?: { readonly [name: string]: string | number | boolean };
}

/** The details a status carries; whatever is not as we write it is left out. */
function readDetails(error: ServiceError): Details {
  const [bytes] = error.metadata.get(errorDetailsKey);
  if (bytes === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString());
  } catch {
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null) return {};
  const { retryable, details } = parsed as { retryable?: unknown; details?: unknown };
  const scalars = Object.entries(typeof details === 'object' ? (details ?? {}) : {}).filter(
    ([name, value]) =>
      name !== '__proto__' && ['string', 'number', 'boolean'].includes(typeof value),
  );
  return {
    ...(typeof retryable === 'boolean' ? { retryable } : {}),
    details: Object.fromEntries(scalars) as { [name: string]: string | number | boolean },
  };
}
