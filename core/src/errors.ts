// The one family of errors that users, clients and operators see. Every code is registered here,
// documented in docs/reference/errors.md (generated from this registry) and never reused.

/** What a code means for the caller, whichever interface carries it. */
export interface ErrorCodeInfo {
  /** True when the same call may succeed later without a change by the caller. */
  readonly retryable: boolean;
  /** Name of the gRPC status that carries the code. */
  readonly grpc: GrpcStatusName;
  /** Exit code of etlctl (docs/reference/etlctl.md). */
  readonly exitCode: 1 | 2 | 3 | 4 | 5 | 124;
  /** When it happens and what to do: one sentence each. */
  readonly help: string;
}

/** The gRPC status names our codes map to. */
export type GrpcStatusName =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED';

/** Every error code of the product, in alphabetical order. */
export const errorCodes = {
  ETL_CANCELLED: {
    retryable: true,
    grpc: 'CANCELLED',
    exitCode: 1,
    help: 'The caller or a shutdown ended the operation. Call again when the process is up.',
  },
  ETL_CONFIG_INVALID: {
    retryable: false,
    grpc: 'INVALID_ARGUMENT',
    exitCode: 2,
    help: 'A flag, variable, file key or connector setting is unknown, ill-typed or out of bounds. The message names it; correct it and start again.',
  },
  ETL_CONFLICT: {
    retryable: false,
    grpc: 'ABORTED',
    exitCode: 5,
    help: 'The object changed since it was read, or exists already. Read it again and repeat the change.',
  },
  ETL_CONNECTOR_FAILED: {
    retryable: true,
    grpc: 'UNAVAILABLE',
    exitCode: 1,
    help: 'The system behind a source or sink refused or did not answer. The stage retries with backoff; check that system.',
  },
  ETL_FENCED: {
    retryable: false,
    grpc: 'FAILED_PRECONDITION',
    exitCode: 1,
    help: 'A higher epoch is in force: the lane was reassigned, or another operator leads. The holder of the lower one stops; nothing needs to be done.',
  },
  ETL_INTERNAL: {
    retryable: false,
    grpc: 'INTERNAL',
    exitCode: 1,
    help: 'A defect in ETL Router. The log line with the same id has the details; please report it.',
  },
  ETL_INVALID_ARGUMENT: {
    retryable: false,
    grpc: 'INVALID_ARGUMENT',
    exitCode: 2,
    help: 'A request field is missing, malformed or out of bounds. The message names the field.',
  },
  ETL_LIMIT_EXCEEDED: {
    retryable: false,
    grpc: 'RESOURCE_EXHAUSTED',
    exitCode: 1,
    help: 'A stated bound (bytes, records, count) would be passed. The message names the bound and its setting.',
  },
  ETL_NOT_FOUND: {
    retryable: false,
    grpc: 'NOT_FOUND',
    exitCode: 4,
    help: 'No object of that kind and name exists. List the kind to see the names.',
  },
  ETL_NOT_LEADER: {
    retryable: true,
    grpc: 'FAILED_PRECONDITION',
    exitCode: 1,
    help: 'The member that was asked does not lead. The details name the one that does and where clients reach it, as far as that is known; ask that one.',
  },
  ETL_PERMISSION_DENIED: {
    retryable: false,
    grpc: 'PERMISSION_DENIED',
    exitCode: 1,
    help: 'The caller is known and may not do this. The message names the permission that is missing.',
  },
  ETL_PORT_IN_USE: {
    retryable: false,
    grpc: 'FAILED_PRECONDITION',
    exitCode: 1,
    help: 'A listen address is taken. The message names the flag that moves it.',
  },
  ETL_RECORD_MALFORMED: {
    retryable: false,
    grpc: 'INVALID_ARGUMENT',
    exitCode: 1,
    help: 'A record can not be decoded as its content type says. It is dead-lettered; fix the producer or the record and redrive it.',
  },
  ETL_STATE_DIVERGED: {
    retryable: false,
    grpc: 'DATA_LOSS',
    exitCode: 1,
    help: 'A member holds another state than a majority at the same entry, and does not serve any more. Copy its data directory for a report, then replace it by one with an empty directory, under a new id (in Kubernetes annotate its pod etl.router/unrecoverable=true).',
  },
  ETL_STORAGE_CORRUPT: {
    retryable: false,
    grpc: 'DATA_LOSS',
    exitCode: 1,
    help: 'A checksum or a sequence on disk is wrong beyond a torn tail. The process refuses to start on it, with exit code 65; where a majority of the others is whole, replace the member by one with an empty data directory (in Kubernetes annotate its pod etl.router/unrecoverable=true), else begin anew with empty ones and restore a backup. An older copy of the directory must not come back: the member may have voted since. After a return to an earlier release, go forward to the later one instead.',
  },
  ETL_STORAGE_FAILED: {
    retryable: false,
    grpc: 'UNAVAILABLE',
    exitCode: 1,
    help: 'A write or fsync failed, or the disk is full. Nothing after it was acknowledged; free space or replace the disk and restart.',
  },
  ETL_TIMEOUT: {
    retryable: true,
    grpc: 'DEADLINE_EXCEEDED',
    exitCode: 124,
    help: 'No answer in time; the operation may still have taken effect. Repeat it with the same request id.',
  },
  ETL_UNAUTHENTICATED: {
    retryable: false,
    grpc: 'UNAUTHENTICATED',
    exitCode: 1,
    help: 'The caller showed no credentials, or none that are valid. Present a certificate or token that is.',
  },
  ETL_UNAVAILABLE: {
    retryable: true,
    grpc: 'UNAVAILABLE',
    exitCode: 1,
    help: 'The server or service can not be reached or is not ready. Check its address and health, then repeat.',
  },
  ETL_UNSAFE: {
    retryable: false,
    grpc: 'FAILED_PRECONDITION',
    exitCode: 3,
    help: 'The change could cost what it must not, such as a majority of members. The message says what has to be so first, or what does it all the same.',
  },
  ETL_UNSUPPORTED: {
    retryable: false,
    grpc: 'UNIMPLEMENTED',
    exitCode: 2,
    help: 'The request is valid but this part does not offer it. The message names what does.',
  },
} as const satisfies { readonly [code: string]: ErrorCodeInfo };

/** A registered error code. */
export type ErrorCode = keyof typeof errorCodes;

/** What an {@link EtlError} is made of beside its code and message. */
export interface EtlErrorOptions {
  /** Facts for machines: object, field, bound. Never a secret or a record's payload. */
  readonly details?: { readonly [name: string]: string | number | boolean };
  readonly cause?: unknown;
  /** Overrides the registry where the raiser knows better, such as a sink's own answer. */
  readonly retryable?: boolean;
}

const brand: unique symbol = Symbol.for('etl-router.error') as never;

/**
 * An expected failure with a registered code. The message says what failed, on which object and field,
 * and the way out.
 */
export class EtlError extends Error {
  override readonly name = 'EtlError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: { readonly [name: string]: string | number | boolean };
  readonly [brand] = true;

  constructor(code: ErrorCode, message: string, options: EtlErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? errorCodes[code].retryable;
    this.details = options.details ?? {};
  }
}

/** True for an EtlError of any loaded copy of this package. */
export function isEtlError(value: unknown): value is EtlError {
  return typeof value === 'object' && value !== null && brand in value;
}

/**
 * Total conversion of anything thrown: an EtlError stays itself, an abort becomes ETL_CANCELLED, anything else
 * becomes `fallback` (default ETL_INTERNAL) with the original as its cause.
 */
export function toEtlError(value: unknown, fallback: ErrorCode = 'ETL_INTERNAL'): EtlError {
  if (isEtlError(value)) return value;
  const message = value instanceof Error ? value.message : String(value);
  if (value instanceof Error && (value.name === 'AbortError' || value.name === 'TimeoutError')) {
    return new EtlError(value.name === 'AbortError' ? 'ETL_CANCELLED' : 'ETL_TIMEOUT', message, {
      cause: value,
    });
  }
  return new EtlError(fallback, message, { cause: value });
}
