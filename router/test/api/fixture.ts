// A router as a process starts it, on ports of its own and in a folder of its own, and clients of it. Everything ends
// with the test.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { EtlError, isEtlError, seededRandom, silentLogger, systemClock } from '@etl-router/core';
import { RouterAdmin } from '@etl-router/proto/admin';
import { CheckpointService } from '@etl-router/proto/checkpoint';
import { type ClientOptions, createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { ServiceRegistry } from '@etl-router/proto/registry';
import { SidecarCoordinator } from '@etl-router/proto/sidecar';
import { ChannelCredentials, type Client, type ServiceError } from '@grpc/grpc-js';
import { loadConfig, type RouterConfig } from '../../src/config/config.ts';
import { formatAddress } from '../../src/config/parse.ts';
import { type RunningRouter, type StartRouterOptions, startRouter } from '../../src/process.ts';

type Ending = () => Promise<void> | void;

const endings = new WeakMap<TestContext, Ending[]>();

/** Runs `ending` after the test; what was begun last ends first. */
export function atEnd(t: TestContext, ending: Ending): void {
  const known = endings.get(t);
  if (known !== undefined) {
    known.push(ending);
    return;
  }
  const all = [ending];
  endings.set(t, all);
  t.after(async () => {
    for (const end of all.reverse()) await end();
  });
}

/** A folder that is gone after the test. */
export async function makeDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'etl-router-api-'));
  atEnd(t, () => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A configuration with free ports, and flags in place of its defaults. */
export function makeConfig(
  directory: string,
  flags: { readonly [flag: string]: string } = {},
): RouterConfig {
  const free = { 'listen-addr': '127.0.0.1:0', 'http-addr': '127.0.0.1:0' };
  return loadConfig({
    flags: { ...free, 'metrics-addr': 'off', 'data-dir': directory, ...flags },
    env: {},
    file: undefined,
  }).config;
}

export interface Fixture {
  readonly running: RunningRouter;
  readonly admin: GrpcClient<typeof RouterAdmin>;
  readonly registry: GrpcClient<typeof ServiceRegistry>;
  readonly checkpoints: GrpcClient<typeof CheckpointService>;
  readonly coordinator: GrpcClient<typeof SidecarCoordinator>;
  /** `host:port` of gRPC. */
  readonly address: string;
  /** Answers a GraphQL document. */
  graphql(query: string, variables?: object): Promise<GraphQlAnswer>;
}

export interface GraphQlAnswer {
  readonly data?: { readonly [field: string]: unknown };
  readonly errors?: readonly { readonly message: string }[];
}

/** Starts a router that ends with the test. */
export async function start(
  t: TestContext,
  options: Partial<StartRouterOptions> = {},
  clientOptions: ClientOptions = {},
): Promise<Fixture> {
  const running = await startRouter({
    config: options.config ?? makeConfig(await makeDirectory(t)),
    logger: silentLogger,
    version: { version: '1.2.3', commit: 'abc' },
    clock: systemClock,
    random: seededRandom(5),
    drainMs: 500,
    ...options,
  });
  atEnd(t, () => running.close());
  const address = formatAddress(running.addresses.grpc);
  const credentials = ChannelCredentials.createInsecure();
  const admin = createClient(RouterAdmin, address, credentials, clientOptions);
  const registry = createClient(ServiceRegistry, address, credentials, clientOptions);
  const checkpoints = createClient(CheckpointService, address, credentials, clientOptions);
  const coordinator = createClient(SidecarCoordinator, address, credentials, clientOptions);
  atEnd(t, () => {
    for (const client of [admin, registry, checkpoints, coordinator]) client.close();
  });
  const { http } = running.addresses;
  return {
    running,
    admin,
    registry,
    checkpoints,
    coordinator,
    address,
    graphql: async (query, variables) => {
      const response = await fetch(`http://${http && formatAddress(http)}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ query, variables }),
      });
      return (await response.json()) as GraphQlAnswer;
    },
  };
}

/** What grpc.health.v1 says of the server as a whole. */
export async function healthOf(client: Client): Promise<'serving' | 'not serving'> {
  const raw = (bytes: Buffer): Buffer => bytes;
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const done = (error: ServiceError | null, bytes?: Buffer): void =>
      error === null ? resolve(bytes ?? Buffer.of()) : reject(error);
    client.makeUnaryRequest('/grpc.health.v1.Health/Check', raw, raw, Buffer.of(), done);
  });
  // The one field, whose number 1 means that it serves.
  return answer.equals(Buffer.of(8, 1)) ? 'serving' : 'not serving';
}

/** The error that a call must end with. */
export async function failure(call: Promise<unknown>): Promise<EtlError> {
  try {
    await call;
  } catch (error) {
    if (isEtlError(error)) return error;
    throw error;
  }
  throw new EtlError('ETL_INTERNAL', 'the call did not fail');
}

/** Asserts code and a part of the message. */
export function saying(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    if (isEtlError(error) && error.code === code && text.test(error.message)) return true;
    throw new Error(`${String(error)} is not ${code} ${String(text)}`, { cause: error });
  };
}

/** The largest number on the wire. */
export const uint64Max: bigint = 2n ** 64n - 1n;
