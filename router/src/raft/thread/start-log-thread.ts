// Starts the log's thread and watches over it: whatever ends it by itself is an error that ends the router.

import { extname } from 'node:path';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { EtlError, toEtlError } from '@etl-router/core';
import type { Port } from './line.ts';
import type { ThreadOptions } from './thread-options.ts';

/** A thread that runs. */
export interface LogThread {
  readonly port: Port;
  /** Resolves with why, should it end by itself. */
  readonly died: Promise<EtlError>;
  terminate(): Promise<void>;
}

/**
 * The bytes of entries lie outside of this heap; in it are a few small objects for each, of which a log that is due for
 * a snapshot has some ten thousand. Entries live until then, so a small young generation would copy them in vain.
 * Flags of the process, where it has some, go before these.
 */
const resourceLimits: ResourceLimits = {
  maxOldGenerationSizeMb: 256,
  maxYoungGenerationSizeMb: 32,
};

export function startLogThread(options: ThreadOptions): LogThread {
  // Beside this file, in the form that this file has: source, or built.
  const file = new URL(`./log-thread${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(file, { name: 'etl-log', workerData: options, resourceLimits });
  const died = Promise.withResolvers<EtlError>();
  worker.once('error', (error) => died.resolve(toDeath(error)));
  worker.once('exit', (code) =>
    died.resolve(new EtlError('ETL_INTERNAL', `the thread of the log ended with code ${code}`)),
  );
  return {
    port: worker,
    died: died.promise,
    terminate: async () => {
      await worker.terminate();
    },
  };
}

function toDeath(cause: unknown): EtlError {
  const { message } = toEtlError(cause);
  return new EtlError('ETL_INTERNAL', `the thread of the log ended: ${message}`, { cause });
}
