// Generated services on a grpc-js server. A handler throws EtlErrors; whatever else it throws reaches the caller as
// ETL_INTERNAL without its text, and the owner of the server in full.

import { type EventEmitter, once } from 'node:events';
import type { Server as NetServer, Socket } from 'node:net';
import type { DescMessage, DescMethod, DescService, MessageInitShape } from '@bufbuild/protobuf';
import { EtlError, isEtlError, toEtlError } from '@etl-router/core';
import {
  type ServerOptions as GrpcServerOptions,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { addDirectUnary, answerDirectly, type ServeUnary } from './direct-unary.ts';
import { Outlet, writeAll } from './flow.ts';
import { decodeMessage, encodeMessage } from './messages.ts';
import { methodPath } from './raw.ts';
import { toStatus } from './status.ts';
import { type CallContext, defaultMaxMessageBytes, type Implementation } from './types.ts';

export interface ServerOptions {
  /** Largest message taken or sent, in bytes. Default 16 MiB. */
  readonly maxMessageBytes?: number;
  /** Further options of grpc-js, in place of ours. */
  readonly channelOptions?: GrpcServerOptions;
}

/**
 * A server with our bounds: message size, 256 streams a connection, connections that are dead are closed. Nobody reads
 * the statistics that grpc-js would keep of each call (channelz).
 */
export function createServer(options: ServerOptions = {}): Server {
  const maxBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;
  const server = new Server({
    'grpc.max_receive_message_length': maxBytes,
    'grpc.max_send_message_length': maxBytes,
    'grpc.max_concurrent_streams': 256,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.enable_channelz': 0,
    ...options.channelOptions,
  });
  answerDirectly(server, { maxMessageBytes: maxBytes });
  return server;
}

/** How grpc-js keeps what it listens with; not part of its types. */
interface Listening {
  readonly http2Servers?: ReadonlyMap<NetServer, unknown>;
}

function listenersOf(server: Server): readonly NetServer[] {
  return [...((server as unknown as Listening).http2Servers?.keys() ?? [])];
}

/** Connections of a server, also those that have not spoken yet: grpc-js knows of those that have. */
const socketsOf = new WeakMap<Server, Set<Socket>>();

/** Binds `server` to `address` (`host:port`; port 0 takes a free one) and returns the port. Rejects with the cause. */
export function bindServer(
  server: Server,
  address: string,
  credentials: ServerCredentials,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error !== null) return reject(error);
      watchSockets(server);
      resolve(port);
    });
  });
}

function watchSockets(server: Server): void {
  const sockets = socketsOf.get(server) ?? new Set();
  socketsOf.set(server, sockets);
  for (const listener of listenersOf(server)) {
    listener.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
  }
}

/**
 * Takes no new calls, lets those in progress end until `signal` aborts, then cuts off whatever is connected. Resolves
 * when nothing is: grpc-js alone would wait for ever for a session that broke as it began to close, and for a peer that
 * does not finish its handshake.
 */
export async function closeServer(server: Server, signal: AbortSignal): Promise<void> {
  const listeners = listenersOf(server).filter(({ listening }) => listening);
  const ended = Promise.all(listeners.map((listener) => once(listener, 'close')));
  const shutDown = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  const force = (): void => {
    server.forceShutdown();
    for (const socket of socketsOf.get(server) ?? []) socket.destroy();
  };
  if (signal.aborted) force();
  else signal.addEventListener('abort', force, { once: true });
  await (listeners.length === 0 ? shutDown : ended);
  signal.removeEventListener('abort', force);
}

export interface ServiceOptions {
  /** Told of what a handler threw that is no EtlError. */
  readonly onDefect?: (error: unknown, method: string) => void;
}

/** Serves `service` by `implementation`, which has one handler for each method. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  implementation: Implementation<S>,
  options: ServiceOptions = {},
): void {
  const handlers: { [name: string]: UntypedHandleCall } = {};
  for (const [name, method] of Object.entries<DescMethod>(service.method)) {
    const handler = implementation[name as keyof S['method']] as unknown as UntypedHandler;
    const bound = handler.bind(implementation);
    handlers[name] = serve(method, bound, options);
    if (method.methodKind === 'unary')
      addDirectUnary(server, methodPath(method), serveUnary(method, bound, options));
  }
  server.addService(toServiceDefinition(service), handlers);
}

const identity = (bytes: Buffer): Buffer => bytes;

/** `service` as grpc-js describes services; its messages are the bytes of ours. */
export function toServiceDefinition(service: DescService): ServiceDefinition {
  const methods = Object.entries<DescMethod>(service.method).map(([name, method]) => [
    name,
    {
      path: methodPath(method),
      originalName: name,
      requestStream: !['unary', 'server_streaming'].includes(method.methodKind),
      responseStream: !['unary', 'client_streaming'].includes(method.methodKind),
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    },
  ]);
  return Object.fromEntries(methods) as ServiceDefinition;
}

type UntypedHandler = (request: unknown, context: CallContext) => unknown;
type Unary = ServerUnaryCall<Buffer, Buffer>;
type ServerStream = ServerWritableStream<Buffer, Buffer>;
type ClientStream = ServerReadableStream<Buffer, Buffer>;
type BidiStream = ServerDuplexStream<Buffer, Buffer>;
type Answer = sendUnaryData<Buffer>;

/** One unary method, wherever its calls come from. */
function serveUnary(
  method: DescMethod,
  handler: UntypedHandler,
  options: ServiceOptions,
): ServeUnary {
  const { input, output } = method;
  return async (request, context) => {
    try {
      const answer = await handler(decodeMessage(input, request), context);
      return encodeMessage(output, answer as MessageInitShape<DescMessage>);
    } catch (error) {
      return toStatus(visibleError(error, methodPath(method), options));
    }
  };
}

function serve(
  method: DescMethod,
  handler: UntypedHandler,
  options: ServiceOptions,
): UntypedHandleCall {
  const statusOf = (thrown: unknown): ReturnType<typeof toStatus> =>
    toStatus(visibleError(thrown, methodPath(method), options));
  const decode = (bytes: Buffer): object => decodeMessage(method.input, bytes);
  const encode = (message: unknown): Buffer =>
    encodeMessage(method.output, message as MessageInitShape<DescMessage>);
  const answer = async (run: () => unknown, callback: Answer): Promise<void> => {
    let bytes: Buffer;
    try {
      bytes = encode(await run());
    } catch (error) {
      callback(statusOf(error), null);
      return;
    }
    callback(null, bytes);
  };
  const stream = async (
    call: ServerStream | BidiStream,
    run: (context: CallContext) => unknown,
  ): Promise<void> => {
    const context = contextOf(call);
    const outlet = new Outlet(call);
    try {
      await writeAll(run(context) as AsyncIterable<unknown>, outlet, encode, context.signal);
    } catch (error) {
      await outlet.emptied(context.signal);
      if (!context.signal.aborted) call.emit('error', statusOf(error));
      return;
    }
    if (!context.signal.aborted) call.end();
  };
  switch (method.methodKind) {
    case 'unary': {
      const unary = serveUnary(method, handler, options);
      return (call: Unary, callback: Answer) => {
        const [context, release] = cancellableContext(call);
        void unary(call.request, context).then((outcome) => {
          release();
          if (Buffer.isBuffer(outcome)) callback(null, outcome);
          else callback(outcome, null);
        });
      };
    }
    case 'client_streaming':
      return (call: ClientStream, callback: Answer) =>
        void answer(() => {
          const context = contextOf(call);
          return handler(requestsOf(call, decode, context.signal), context);
        }, callback);
    case 'server_streaming':
      return (call: ServerStream) =>
        void stream(call, (context) => handler(decode(call.request), context));
    case 'bidi_streaming':
      return (call: BidiStream) =>
        void stream(call, (context) => handler(requestsOf(call, decode, context.signal), context));
  }
}

/**
 * The caller's messages. Leaving the loop over them early leaves the call as it is. A caller that cancels looks at
 * first as if it had ended its half: the end counts only once the connection had a turn to say more.
 */
async function* requestsOf(
  call: ClientStream | BidiStream,
  decode: (bytes: Buffer) => object,
  signal: AbortSignal,
): AsyncGenerator<object, void> {
  let cause: unknown;
  try {
    for await (const bytes of call.iterator({ destroyOnReturn: false })) {
      yield decode(bytes as Buffer);
    }
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    if (!signal.aborted) return;
  } catch (error) {
    if (isEtlError(error)) throw error;
    cause = error;
  }
  throw new EtlError('ETL_CANCELLED', 'the caller cancelled or went away', { cause });
}

type AnyCall = Unary | ServerStream | ClientStream | BidiStream;

function contextOf(call: AnyCall): CallContext {
  const [context] = cancellableContext(call);
  return context;
}

/**
 * What a handler is told, and how to be done with it: grpc-js says of every call that it is cancelled, of one that was
 * answered too, and the error that the signal aborts with costs more than a small handler.
 */
function cancellableContext(call: AnyCall): [context: CallContext, release: () => void] {
  const controller = new AbortController();
  const emitter = call as EventEmitter;
  const onCancelled = (): void => {
    controller.abort(new EtlError('ETL_CANCELLED', 'the caller cancelled or went away'));
  };
  emitter.on('cancelled', onCancelled);
  const context: CallContext = {
    signal: controller.signal,
    peer: call.getPeer(),
    metadata: call.metadata,
    header: (name) => call.metadata.get(name)[0]?.toString(),
    certificate: () => call.getAuthContext().sslPeerCertificate,
  };
  return [context, () => emitter.off('cancelled', onCancelled)];
}

function visibleError(thrown: unknown, method: string, options: ServiceOptions): EtlError {
  const error = toEtlError(thrown);
  if (isEtlError(thrown) || error.code !== 'ETL_INTERNAL') return error;
  options.onDefect?.(thrown, method);
  return new EtlError('ETL_INTERNAL', `${method} failed by a defect; the server's log has it`);
}
