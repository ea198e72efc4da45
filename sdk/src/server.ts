// What every service of user code needs around its functions: a server with health and reflection, a place in the registry
// if one is wanted, and an orderly end. It never touches records.

import { hostname } from 'node:os';
import type { DescService } from '@bufbuild/protobuf';
import { type Clock, createLogger, EtlError, type Logger, systemClock } from '@etl-router/core';
import { bindServer, closeServer, createServer } from '@etl-router/proto/grpc';
import { addHealth, addReflection } from '@etl-router/proto/introspection';
import type { ServiceType } from '@etl-router/proto/registry';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { type RegisterOptions, Registration } from './registration.ts';

/** Where and how a service listens. */
export interface ServeOptions {
  /** What people call the service, in logs and errors; 1 to 253 characters. */
  readonly name: string;
  /** `host:port`; port 0 takes a free one. Default: 127.0.0.1 and the port of the variable PORT, else a free one. */
  readonly address?: string;
  /** PEM of certificate and key; with `clientCa`, callers need a certificate of it. Default: no TLS. */
  readonly tls?: {
    readonly cert: Uint8Array;
    readonly key: Uint8Array;
    readonly clientCa?: Uint8Array;
  };
  /** Makes the service known to a router, so that pipelines find it by name. Default: it is not registered. */
  readonly register?: RegisterOptions;
  /** Milliseconds that calls in progress have when the service closes, 0 to 600,000. Default 10,000. */
  readonly closeTimeoutMs?: number;
  /** Where the service logs. Default: JSON lines on standard error, from `info`. */
  readonly logger?: Logger;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/** A service that answers. */
export interface RunningService {
  /** `host:port` it listens on. */
  readonly address: string;
  readonly port: number;
  /** Resolves when the router knows the service for the first time; at once where it is not to be registered. */
  readonly registered: Promise<void>;
  /** Leaves the registry, takes no new calls, lets those in progress end, then stops. Calling it twice is harmless. */
  close(): Promise<void>;
  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a kind of stage adds to a server. */
export interface ServedStage {
  readonly service: DescService;
  readonly type: ServiceType;
  /** Record types it handles, for the registry. */
  readonly recordTypes: readonly string[];
  /** Adds the handlers. `stopping` aborts when the service begins to close: streams end then. */
  add(server: Server, parts: ServerParts): void;
}

/** What handlers may use. */
export interface ServerParts {
  readonly stopping: AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onDefect: (error: unknown, method: string) => void;
}

const closeTimeoutMaxMs = 600_000;

/** Starts a server for `stage`. Rejects with ETL_CONFIG_INVALID or ETL_PORT_IN_USE. */
export async function serve(options: ServeOptions, stage: ServedStage): Promise<RunningService> {
  const { host, port: wanted } = readAddress(options);
  const closeTimeoutMs = readCloseTimeout(options);
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? createLogger({ logger: options.name, level: 'info' });
  const stopping = new AbortController();
  const server = createServer();
  stage.add(server, {
    stopping: stopping.signal,
    clock,
    logger,
    onDefect: (error, method) => logger.error({ err: error, method }, 'a call failed'),
  });
  addReflection(server, [stage.service]);
  const health = addHealth(server, [stage.service]);
  const port = await bind(server, `${host}:${wanted}`, options);
  for (const service of ['', stage.service.typeName]) health.set(service, true);
  const address = `${host}:${port}`;
  // Said a turn later: who waits for this line may send SIGTERM at once, and the caller has set its handler by then.
  setImmediate(() => logger.info({ address }, `${options.name} listens`));
  const registration =
    options.register === undefined
      ? undefined
      : new Registration(options.register, {
          type: stage.type,
          recordTypes: stage.recordTypes,
          host: advertisedHost(options.register, host),
          port,
          tls: options.tls !== undefined,
          drainTimeoutMs: closeTimeoutMs,
          clock,
          logger,
        });
  const close = async (): Promise<void> => {
    for (const service of ['', stage.service.typeName]) health.set(service, false);
    await registration?.close();
    stopping.abort(new EtlError('ETL_UNAVAILABLE', `${options.name} is stopping`));
    const cutOff = new AbortController();
    const cancel = clock.after(closeTimeoutMs, () => cutOff.abort());
    await closeServer(server, cutOff.signal);
    cancel();
    logger.info({ address }, `${options.name} closed`);
  };
  let closed: Promise<void> | undefined;
  const closeOnce = (): Promise<void> => (closed ??= close());
  return {
    address,
    port,
    registered: registration?.registered ?? Promise.resolve(),
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
}

/** Refuses a value of `options` that is missing or of another kind, naming it. */
export function configInvalid(name: string, field: string, what: string): EtlError {
  return new EtlError('ETL_CONFIG_INVALID', `service ${name}: ${field} ${what}`, {
    details: { field },
  });
}

/** A count from options: `fallback` when absent. Throws ETL_CONFIG_INVALID outside `least` to `most`. */
export function readCount(
  name: string,
  field: string,
  value: number | undefined,
  bounds: { readonly least: number; readonly most: number; readonly fallback: number },
): number {
  const { least, most, fallback } = bounds;
  if (value === undefined) return fallback;
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw configInvalid(name, field, `is ${value}; it takes a whole number of ${least} to ${most}`);
}

/** Record types from options. Throws ETL_CONFIG_INVALID for more than 1,000 or an empty one. */
export function readRecordTypes(name: string, types: readonly string[] = []): readonly string[] {
  if (types.length > 1000 || types.includes(''))
    throw configInvalid(name, 'recordTypes', 'takes at most 1,000 names, none empty');
  return types;
}

function readCloseTimeout({ name, closeTimeoutMs }: ServeOptions): number {
  const bounds = { least: 0, most: closeTimeoutMaxMs, fallback: 10_000 };
  return readCount(name, 'closeTimeoutMs', closeTimeoutMs, bounds);
}

function readAddress({ name, address }: ServeOptions): { host: string; port: number } {
  if (typeof name !== 'string' || name === '' || name.length > 253)
    throw configInvalid(String(name), 'name', 'needs 1 to 253 characters');
  const variable = process.env['PORT'];
  const text = address ?? `127.0.0.1:${variable === undefined || variable === '' ? '0' : variable}`;
  const [, host, digits] = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    const field = address === undefined ? 'the variable PORT' : 'address';
    throw configInvalid(
      name,
      field,
      `is ${JSON.stringify(address ?? variable)}; it needs ${
        address === undefined ? 'a port of 0 to 65535' : 'host:port'
      }`,
    );
  }
  return { host, port };
}

async function bind(server: Server, address: string, options: ServeOptions): Promise<number> {
  try {
    return await bindServer(server, address, toCredentials(options));
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ETL_CONFIG_INVALID') throw cause;
    throw new EtlError(
      'ETL_PORT_IN_USE',
      `service ${options.name} can not listen on ${address}; give another address, or set PORT`,
      { cause },
    );
  }
}

function toCredentials({ name, tls }: ServeOptions): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  try {
    return ServerCredentials.createSsl(
      tls.clientCa === undefined ? null : Buffer.from(tls.clientCa),
      [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }],
      tls.clientCa !== undefined,
    );
  } catch (cause) {
    throw configInvalid(
      name,
      'tls',
      `is not a certificate and its key (${(cause as Error).message})`,
    );
  }
}

/** The host others are told: one that listens everywhere goes by the machine's name. */
function advertisedHost({ advertiseHost }: RegisterOptions, host: string): string {
  if (advertiseHost !== undefined) return advertiseHost;
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === '0.0.0.0' || bare === '::' ? hostname() : bare;
}
