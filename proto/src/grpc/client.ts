// Clients of generated services over grpc-js. Requests and responses are encoded here, so that a malformed one is an
// EtlError; whatever a call throws is an EtlError too.

import type { DescMessage, DescMethod, DescService, MessageInitShape } from '@bufbuild/protobuf';
import { type EtlError, systemClock, toEtlError } from '@etl-router/core';
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { writeAll } from './flow.ts';
import { decodeMessage, type EncodedMessage, encodeMessage } from './messages.ts';
import { methodPath } from './raw.ts';
import { fromServiceError, type StatusOverrides } from './status.ts';
import { type CallOptions, defaultMaxMessageBytes, type GrpcClient } from './types.ts';

export interface ClientOptions {
  /** Largest message taken or sent, in bytes. Default 16 MiB. */
  readonly maxMessageBytes?: number;
  /** Codes for statuses of other software that mean something special to this service. */
  readonly statusOverrides?: StatusOverrides;
  /** Further options of grpc-js, in place of ours. */
  readonly channelOptions?: ChannelOptions;
}

/** What every channel is opened with; the connection to one address is shared between clients. */
function channelOptionsOf(options: ClientOptions): ChannelOptions {
  const maxBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;
  return {
    'grpc.max_receive_message_length': maxBytes,
    'grpc.max_send_message_length': maxBytes,
    'grpc-node.flow_control_window': 1024 * 1024,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 5_000,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
    ...options.channelOptions,
  };
}

const identity = (bytes: Buffer): Buffer => bytes;

/**
 * A client of `service` at `address` (`host:port`, `unix:path`). Connects with the first call and again, with backoff,
 * whenever the connection is lost.
 */
export function createClient<S extends DescService>(
  service: S,
  address: string,
  credentials: ChannelCredentials,
  options: ClientOptions = {},
): GrpcClient<S> {
  const client = new Client(address, credentials, channelOptionsOf(options));
  const methods = Object.entries<DescMethod>(service.method).map(([name, method]) => [
    name,
    clientMethod(new Caller(client, method, options.statusOverrides)),
  ]);
  return { ...Object.fromEntries(methods), close: () => client.close() } as GrpcClient<S>;
}

/** Any message, or its fields. */
type Init = MessageInitShape<DescMessage> | EncodedMessage;
type UntypedMethod = (request: never, options?: CallOptions) => unknown;

function clientMethod(caller: Caller): UntypedMethod {
  switch (caller.method.methodKind) {
    case 'unary':
      return (request: Init, options = {}) => caller.unary(request, options);
    case 'client_streaming':
      return (requests: AsyncIterable<Init>, options = {}) =>
        caller.clientStream(requests, options);
    case 'server_streaming':
      return (request: Init, options = {}) => caller.serverStream(request, options);
    case 'bidi_streaming':
      return (requests: AsyncIterable<Init>, options = {}) => caller.bidiStream(requests, options);
  }
}

/** One method of one client. */
class Caller {
  readonly method: DescMethod;
  readonly #client: Client;
  readonly #path: string;
  readonly #overrides: StatusOverrides | undefined;

  constructor(client: Client, method: DescMethod, overrides: StatusOverrides | undefined) {
    this.#client = client;
    this.method = method;
    this.#path = methodPath(method);
    this.#overrides = overrides;
  }

  async unary(request: Init, options: CallOptions): Promise<object> {
    const bytes = this.#encode(request);
    options.signal?.throwIfAborted();
    const [metadata, grpcOptions] = callParts(options);
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<Buffer, Buffer>(
        this.#path,
        identity,
        identity,
        bytes,
        metadata,
        grpcOptions,
        (error, response) => {
          release();
          if (error !== null) reject(this.#failure(error, options));
          else resolve(response as Buffer);
        },
      );
      const release = onAbort(options.signal, () => call.cancel());
    });
    return decodeMessage(this.method.output, answer);
  }

  async clientStream(requests: AsyncIterable<Init>, options: CallOptions): Promise<object> {
    options.signal?.throwIfAborted();
    const [metadata, grpcOptions] = callParts(options);
    const over = new AbortController();
    let sendFailure: EtlError | undefined;
    try {
      const answer = await new Promise<Buffer>((resolve, reject) => {
        const call = this.#client.makeClientStreamRequest<Buffer, Buffer>(
          this.#path,
          identity,
          identity,
          metadata,
          grpcOptions,
          (error, response) => {
            release();
            if (error !== null) reject(sendFailure ?? this.#failure(error, options));
            else resolve(response as Buffer);
          },
        );
        const release = onAbort(options.signal, () => call.cancel());
        writeAll(requests, call, (request) => this.#encode(request), over.signal).then(
          () => call.end(),
          (error: unknown) => {
            sendFailure = toEtlError(error);
            call.cancel();
          },
        );
      });
      return decodeMessage(this.method.output, answer);
    } finally {
      over.abort();
    }
  }

  async *serverStream(request: Init, options: CallOptions): AsyncGenerator<object, void> {
    const bytes = this.#encode(request);
    options.signal?.throwIfAborted();
    const [metadata, grpcOptions] = callParts(options);
    const call = this.#client.makeServerStreamRequest<Buffer, Buffer>(
      this.#path,
      identity,
      identity,
      bytes,
      metadata,
      grpcOptions,
    );
    yield* this.#responses(call, options, () => undefined);
  }

  async *bidiStream(
    requests: AsyncIterable<Init>,
    options: CallOptions,
  ): AsyncGenerator<object, void> {
    options.signal?.throwIfAborted();
    const [metadata, grpcOptions] = callParts(options);
    const call: ClientDuplexStream<Buffer, Buffer> = this.#client.makeBidiStreamRequest<
      Buffer,
      Buffer
    >(this.#path, identity, identity, metadata, grpcOptions);
    const over = new AbortController();
    let sendFailure: EtlError | undefined;
    void writeAll(requests, call, (request) => this.#encode(request), over.signal).then(
      () => call.end(),
      (error: unknown) => {
        sendFailure = toEtlError(error);
        call.cancel();
      },
    );
    try {
      yield* this.#responses(call, options, () => sendFailure);
    } finally {
      over.abort();
    }
  }

  async *#responses(
    call: ClientReadableStream<Buffer>,
    options: CallOptions,
    sendFailure: () => EtlError | undefined,
  ): AsyncGenerator<object, void> {
    const release = onAbort(options.signal, () => call.cancel());
    call.on('error', () => undefined);
    try {
      for await (const bytes of call) yield decodeMessage(this.method.output, bytes as Buffer);
    } catch (error) {
      throw sendFailure() ?? this.#failure(error, options);
    } finally {
      release();
      call.cancel();
    }
  }

  #encode(message: Init): Buffer {
    return encodeMessage(this.method.input, message);
  }

  #failure(error: unknown, options: CallOptions): EtlError {
    if (options.signal?.aborted === true && (error as Partial<ServiceError>).code === 1) {
      return toEtlError(options.signal.reason, 'ETL_CANCELLED');
    }
    return fromServiceError(error, this.#overrides);
  }
}

function callParts(options: CallOptions): [Metadata, GrpcCallOptions] {
  const metadata = new Metadata({ waitForReady: options.waitForReady ?? false });
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  return [
    metadata,
    options.deadlineMs === undefined
      ? {}
      : { deadline: systemClock.wallMs() + Math.max(0, options.deadlineMs) },
  ];
}

function onAbort(signal: AbortSignal | undefined, run: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
  return () => signal.removeEventListener('abort', run);
}
