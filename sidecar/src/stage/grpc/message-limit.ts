// How much fits into one request to a service, and the failure of a record that does not. A request beyond what the
// service takes is refused whole, for good: it must never be sent.

import type { RecordBatch, RecordFailure } from '@etl-router/core';
import type { GrpcTarget } from './connection.ts';

/** What a service takes that says nothing: the default of every gRPC server. Settings are part of a manifest (1 MiB). */
const leastBytes = 4 * 1024 * 1024;
/** What a client of ours sends at most. */
const mostBytes = 16 * 1024 * 1024;
/** More than the names of the stage and the batch's header take. */
const headBytes = 16 * 1024;
/** More than tag, length and sequence offset of a record take. */
const recordHeadBytes = 16;

/** The bound on requests to one service. */
export class MessageLimit {
  /** Largest request, in bytes. */
  readonly messageBytes: number;
  /** Of which records, as {@link sizeOf} counts them. */
  readonly recordsBytes: number;
  readonly #stage: string;

  /** `advertised`: `max_message_bytes` of the service's capabilities. */
  constructor(target: GrpcTarget, advertised: number) {
    this.#stage = target.stage;
    this.messageBytes = Math.min(Math.max(advertised, leastBytes), mostBytes);
    const configBytes = Buffer.byteLength(JSON.stringify(target.config));
    this.recordsBytes = this.messageBytes - configBytes - headBytes;
  }

  /** What record `index` adds to a request. */
  sizeOf(batch: RecordBatch, index: number): number {
    const start = batch.spans[2 * index] as number;
    return (batch.spans[2 * index + 1] as number) - start + recordHeadBytes;
  }

  /** Why record `index` is not sent, where it and those that go with it take `bytes`. */
  refuse(index: number, bytes: number): RecordFailure {
    const message = `stage ${this.#stage} takes requests of ${this.messageBytes} bytes, its settings included; the record takes ${bytes}. Let the service say max_message_bytes (up to ${mostBytes}), or make the record smaller`;
    return { index, code: 'RECORD_TOO_LARGE', message, retryable: false };
  }
}
