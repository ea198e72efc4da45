// A transform service on a real server on loopback, and clients of it that end with the test.

import type { TestContext } from 'node:test';
import {
  addService,
  bindServer,
  type ClientOptions,
  closeServer,
  createClient,
  createServer,
  type GrpcClient,
  type Implementation,
  type RawService,
  rawService,
  type ServerOptions,
  type ServiceOptions,
} from '@etl-router/proto/grpc';
import { SourceService } from '@etl-router/proto/source';
import { TransformService } from '@etl-router/proto/transform';
import { ChannelCredentials, type Server, ServerCredentials } from '@grpc/grpc-js';

export type RawTransform = RawService<typeof TransformService>;
export type RawSource = RawService<typeof SourceService>;

const absent = (): never => {
  throw new Error('the test does not call it');
};

/** A transform that answers nothing, to be overridden where a test calls it. */
export const noTransform: Implementation<RawTransform> = {
  getCapabilities: absent,
  processBatch: absent,
  processStream: absent,
};

/** A source that answers nothing, to be overridden where a test calls it. */
export const noSource: Implementation<RawSource> = {
  getCapabilities: absent,
  listPartitions: absent,
  pullRecords: absent,
  acknowledge: absent,
};

export interface Fixture {
  readonly address: string;
  readonly server: Server;
  readonly transform: (options?: ClientOptions) => GrpcClient<RawTransform>;
  readonly source: (options?: ClientOptions) => GrpcClient<RawSource>;
}

export interface FixtureOptions {
  readonly transform?: Partial<Implementation<RawTransform>>;
  readonly source?: Partial<Implementation<RawSource>>;
  readonly server?: ServerOptions;
  readonly service?: ServiceOptions;
  readonly prepare?: (server: Server) => void;
}

/** Starts a server that ends with the test. */
export async function startServer(t: TestContext, options: FixtureOptions): Promise<Fixture> {
  const server = createServer(options.server);
  addService(
    server,
    rawService(TransformService),
    { ...noTransform, ...options.transform },
    options.service,
  );
  addService(
    server,
    rawService(SourceService),
    { ...noSource, ...options.source },
    options.service,
  );
  options.prepare?.(server);
  const port = await bindServer(server, '127.0.0.1:0', ServerCredentials.createInsecure());
  const address = `127.0.0.1:${port}`;
  const closers: (() => void)[] = [];
  t.after(async () => {
    for (const close of closers) close();
    await closeServer(server, AbortSignal.abort());
  });
  const insecure = ChannelCredentials.createInsecure();
  return {
    address,
    server,
    transform: (clientOptions) => {
      const client = createClient(rawService(TransformService), address, insecure, clientOptions);
      closers.push(() => client.close());
      return client;
    },
    source: (clientOptions) => {
      const client = createClient(rawService(SourceService), address, insecure, clientOptions);
      closers.push(() => client.close());
      return client;
    },
  };
}
