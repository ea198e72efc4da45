// Prints records as JSON lines on standard output, for looking at a pipeline and for pipes. It waits while the reader
// does not keep up, promises nothing beyond the pipe, and fails for good when the reader went away.

import {
  type BatchPreference,
  EtlError,
  isEtlError,
  type RecordBatch,
  type RecordFailure,
  type Sink,
  type SinkCapabilities,
  type SinkLaneState,
  stringifyJsonText,
  toEtlError,
  type WriteResult,
} from '@etl-router/core';
import type { Fields } from '@etl-router/pipeline';
import { instantText, textOrBase64 } from '../columns/path.ts';
import { type AnyConnector, defineConnector, type SettingHelp } from '../connector-type.ts';

/** What a line holds. */
export type StdoutFormat = 'payload' | 'envelope';
const formats: readonly StdoutFormat[] = ['payload', 'envelope'];

interface StdoutSettings {
  readonly format: StdoutFormat;
}

const settingsHelp: readonly SettingHelp[] = [
  {
    name: 'format',
    type: 'payload or envelope',
    fallback: 'payload',
    help: 'The payload alone, or an object with everything else the record has.',
  },
];

const capabilities: SinkCapabilities = {
  durable: false,
  idempotentByKey: false,
  transactionalPosition: false,
};

/** `stdout`. */
export const stdoutSink: AnyConnector = defineConnector<StdoutSettings>({
  kind: 'sink',
  type: 'stdout',
  settings: settingsHelp,
  read: (fields: Fields) => ({ format: fields.oneOf('format', formats, 'payload') }),
  capabilities: () => capabilities,
  create: ({ format }) => new StdoutSink(format, process.stdout),
});

/** The part of a writable stream that is used: `written` reports the outcome once the bytes are handed over. */
export interface LineStream {
  write(bytes: Uint8Array, written: (error?: Error | null) => void): boolean;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

export class StdoutSink implements Sink {
  readonly capabilities: SinkCapabilities = capabilities;
  readonly batch: BatchPreference = { maxRecords: 1000, maxBytes: 1024 * 1024, maxWaitMs: 100 };
  readonly #format: StdoutFormat;
  readonly #stream: LineStream;
  #tail: Promise<void> = Promise.resolve();
  #broken: EtlError | undefined;
  readonly #onError = (error: Error): void => {
    this.#broken ??= gone(error);
  };

  constructor(format: StdoutFormat, stream: LineStream) {
    this.#format = format;
    this.#stream = stream;
  }

  async open(): Promise<void> {
    this.#stream.on('error', this.#onError);
  }

  async openLane(): Promise<SinkLaneState> {
    return { position: undefined };
  }

  /** Resolves when the lines were handed to the operating system. Lines of different writes never mix. */
  async write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult> {
    if (signal.aborted) throw toEtlError(signal.reason, 'ETL_CANCELLED');
    const failures: RecordFailure[] = [];
    const lines: string[] = [];
    for (let index = 0; index < batch.count; index++) {
      const line = this.#line(batch, index);
      if (line === undefined) failures.push(notJson(index));
      else lines.push(line);
    }
    if (lines.length > 0) {
      const bytes = Buffer.from(`${lines.join('\n')}\n`);
      const run = this.#tail.then(() => this.#print(bytes));
      this.#tail = run.catch(() => {});
      await run;
    }
    return { failures };
  }

  async complete(): Promise<void> {
    await this.#tail;
  }

  async close(): Promise<void> {
    await this.#tail;
    this.#stream.off('error', this.#onError);
  }

  #print(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken);
        return;
      }
      this.#stream.write(bytes, (error) => {
        if (error === undefined || error === null) {
          resolve();
          return;
        }
        this.#broken ??= gone(error);
        reject(this.#broken);
      });
    });
  }

  /** Undefined for a payload that is not JSON where only the payload is printed. */
  #line(batch: RecordBatch, index: number): string | undefined {
    let value: unknown;
    try {
      value = batch.value(index);
    } catch (error) {
      if (!isEtlError(error)) throw error;
      if (this.#format === 'payload') return undefined;
    }
    return stringifyJsonText(this.#format === 'payload' ? value : envelope(batch, index, value));
  }
}

/** Everything the record has; `data` where the payload is JSON, else `data_base64`. */
function envelope(batch: RecordBatch, index: number, value: unknown): object {
  const record = batch.record(index);
  return {
    id: batch.id(index),
    source: batch.lane.source,
    partition: batch.lane.partition,
    position: batch.position(index).toString('hex'),
    type: record.type || undefined,
    key: record.key.length === 0 ? undefined : textOrBase64(batch.key(index)),
    headers: record.headers.size === 0 ? undefined : Object.fromEntries(record.headers),
    eventTime: instantText(record.eventTime),
    ingestTime: instantText(record.ingestTime),
    contentType: record.contentType || undefined,
    ...(value === undefined
      ? { data_base64: batch.payload(index).toString('base64') }
      : { data: value }),
  };
}

function notJson(index: number): RecordFailure {
  return { index, code: 'NOT_JSON', message: 'the payload is not JSON', retryable: false };
}

function gone(cause: Error): EtlError {
  const isPipe = (cause as NodeJS.ErrnoException).code === 'EPIPE';
  return new EtlError(
    'ETL_CONNECTOR_FAILED',
    `standard output ${isPipe ? 'was closed by its reader' : `failed: ${cause.message}`}; start the process again with a reader`,
    { cause, retryable: false },
  );
}
