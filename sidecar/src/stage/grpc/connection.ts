// What the stages behind gRPC have in common: the settings of a `grpc` connector, the channel, and the context that goes
// with each call. User code sees nothing but the messages of proto/.

import { readFileSync } from 'node:fs';
import { EtlError, type StageContext, toEtlError } from '@etl-router/core';
import type { JsonObject, Stage } from '@etl-router/pipeline';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';

/** Where a stage's service is, and what is told to it. */
export interface GrpcTarget {
  /** `namespace/name`. */
  readonly pipelineId: string;
  readonly stage: string;
  /** `host:port`. */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  /** The stage's own settings, passed on as they are. */
  readonly config: JsonObject;
  /** In place of the deadlines that the proto files promise. */
  readonly deadlinesMs?: Partial<Deadlines>;
}

const knownKeys = ['endpoint', 'service', 'tls', 'config', 'proto'];
const knownTlsKeys = ['caCert', 'clientCert', 'clientKey'];

/**
 * The target of a stage whose connector is `grpc`. `resolved` is the address of the service it names. Throws
 * ETL_CONFIG_INVALID that names the field.
 */
export function toGrpcTarget(
  pipelineId: string,
  stage: Stage,
  resolved: string | undefined,
): GrpcTarget {
  const settings: JsonObject = stage.connector?.config ?? {};
  const unknown = Object.keys(settings).find((key) => !knownKeys.includes(key));
  if (unknown !== undefined)
    throw invalid(stage, unknown, `there is no such setting; there are ${knownKeys.join(', ')}`);
  const { endpoint, tls, config = {} } = settings;
  const address = resolved ?? (typeof endpoint === 'string' ? endpoint : undefined);
  if (address === undefined) {
    throw new EtlError(
      'ETL_UNAVAILABLE',
      `stage ${stage.name}: no healthy service is registered for it`,
    );
  }
  if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(address)) {
    throw invalid(stage, 'endpoint', `needs host:port, not ${JSON.stringify(address)}`);
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw invalid(stage, 'config', 'needs a map');
  return {
    pipelineId,
    stage: stage.name,
    address,
    credentials: toCredentials(stage, tls),
    config: config as JsonObject,
  };
}

/** The message that goes with each call. */
export function toStageMessage(target: GrpcTarget): {
  pipeline: string;
  stage: string;
  configJson: Uint8Array;
} {
  const { pipelineId, stage, config } = target;
  return { pipeline: pipelineId, stage, configJson: Buffer.from(JSON.stringify(config)) };
}

/** Deadlines of the calls, in milliseconds. */
export interface Deadlines {
  readonly capabilities: number;
  readonly partitions: number;
  readonly acknowledge: number;
  readonly process: number;
  readonly openLane: number;
  readonly write: number;
  readonly flush: number;
  readonly complete: number;
}

const promisedDeadlinesMs: Deadlines = {
  capabilities: 10_000,
  partitions: 30_000,
  acknowledge: 10_000,
  process: 30_000,
  openLane: 30_000,
  write: 60_000,
  flush: 30_000,
  complete: 600_000,
};

/** The deadline of a call, as the proto files promise it unless the target says otherwise. */
export function deadlineOf(target: GrpcTarget, call: keyof Deadlines): number {
  return target.deadlinesMs?.[call] ?? promisedDeadlinesMs[call];
}

/** The answer of a service that is asked for the first time; what it throws names the stage and where it was sought. */
export async function firstAnswer<T>(target: GrpcTarget, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    const { code, message, retryable, details } = toEtlError(cause);
    throw new EtlError(code, `stage ${target.stage} at ${target.address}: ${message}`, {
      cause,
      retryable,
      details,
    });
  }
}

/** Fails a stage that was made for another service than its engine opens it in. */
export function checkContext(target: GrpcTarget, context: StageContext): void {
  if (context.stage !== target.stage) {
    throw new EtlError('ETL_INTERNAL', `stage ${target.stage} was opened as ${context.stage}`);
  }
}

function toCredentials(stage: Stage, tls: unknown): ChannelCredentials {
  if (tls === undefined || tls === null || tls === false) return credentials.createInsecure();
  if (tls === true) return credentials.createSsl();
  if (typeof tls !== 'object' || Array.isArray(tls)) throw invalid(stage, 'tls', 'needs a map');
  const unknown = Object.keys(tls).find((key) => !knownTlsKeys.includes(key));
  if (unknown !== undefined) {
    const why =
      unknown === 'insecureSkipVerify'
        ? 'certificates are always verified; give caCert'
        : `there are ${knownTlsKeys.join(', ')}`;
    throw invalid(stage, `tls.${unknown}`, `is not offered: ${why}`);
  }
  const { caCert, clientCert, clientKey } = tls as { readonly [name: string]: unknown };
  return credentials.createSsl(
    readPem(stage, 'tls.caCert', caCert),
    readPem(stage, 'tls.clientKey', clientKey),
    readPem(stage, 'tls.clientCert', clientCert),
  );
}

function readPem(stage: Stage, field: string, path: unknown): Buffer | null {
  if (path === undefined) return null;
  if (typeof path !== 'string') throw invalid(stage, field, 'needs the path of a PEM file');
  try {
    return readFileSync(path);
  } catch (cause) {
    throw invalid(
      stage,
      field,
      `${path} can not be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`,
    );
  }
}

function invalid(stage: Stage, field: string, what: string): EtlError {
  return new EtlError(
    'ETL_CONFIG_INVALID',
    `stage ${stage.name} (${stage.ref}): spec.grpc.${field}: ${what}`,
    {
      details: { stage: stage.name, field },
    },
  );
}
