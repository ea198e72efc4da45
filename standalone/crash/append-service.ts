// A sink that the harness itself serves: it appends every record it is given and remembers nothing, so whatever comes
// twice is in the file twice. It lives on while the process under test is killed.

import { closeSync, fdatasyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { RecordBatch } from '@etl-router/core';
import {
  addService,
  bindServer,
  closeServer,
  createServer,
  rawService,
} from '@etl-router/proto/grpc';
import { SinkService } from '@etl-router/proto/sink';
import { ServerCredentials } from '@grpc/grpc-js';

export interface AppendService {
  readonly address: string;
  /** Everything from now on goes to this file. */
  writeTo(path: string): void;
  close(): Promise<void>;
}

export async function startAppendService(): Promise<AppendService> {
  const server = createServer();
  const state = { file: -1 };
  addService(server, rawService(SinkService), {
    getCapabilities: () => ({
      durable: true,
      batch: { maxRecords: 500, maxBytes: 1_048_576, maxWaitMs: 20 },
    }),
    openLane: () => ({}),
    writeBatch: ({ batch }) => {
      const decoded = RecordBatch.decode((batch ?? new Uint8Array()) as unknown as Uint8Array);
      const lines = Array.from(
        { length: decoded.count },
        (_, index) => `${decoded.payload(index).toString()}\n`,
      );
      writeSync(state.file, lines.join(''));
      fdatasyncSync(state.file);
      return { failures: [] };
    },
    writeStream: async function* () {
      yield* [];
    },
    flush: () => ({}),
    complete: () => ({}),
    getCapacity: () => ({ queuedRecords: 0n }),
  });
  const port = await bindServer(server, '127.0.0.1:0', ServerCredentials.createInsecure());
  return {
    address: `127.0.0.1:${port}`,
    writeTo: (path) => {
      if (state.file >= 0) closeSync(state.file);
      mkdirSync(dirname(path), { recursive: true });
      state.file = openSync(path, 'a');
    },
    close: async () => {
      await closeServer(server, AbortSignal.timeout(1000));
      if (state.file >= 0) closeSync(state.file);
    },
  };
}
