// Unary calls answered on their HTTP/2 streams, without the layers that grpc-js puts around a call: they take longer
// than a small handler. What a caller sees is the same to the byte (direct-unary.test.ts). It takes the plain case only;
// streams, compressed requests and whatever is unusual go through grpc-js, and so does everything where a release of it
// has no such door.

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import { assert, type Cancel, EtlError, systemClock } from '@etl-router/core';
import { Metadata, type Server, type StatusObject, status } from '@grpc/grpc-js';
import type { CallContext } from './types.ts';

/** Answers one call: the message's bytes, or the status that tells of an error. Never rejects. */
export type ServeUnary = (request: Buffer, context: CallContext) => Promise<Buffer | StatusObject>;

/** How grpc-js takes a stream; not part of its types. */
type TakeStream = (
  interceptors: readonly unknown[],
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
) => void;

interface Limits {
  readonly maxMessageBytes: number;
}

/** Unary methods of a server, by path. */
const methodsOf = new WeakMap<Server, Map<string, ServeUnary>>();

/** From now on `server` answers the unary methods that are {@link addDirectUnary added} by itself. */
export function answerDirectly(server: Server, limits: Limits): void {
  const host = server as unknown as { _streamHandler?: TakeStream };
  const takeStream = host._streamHandler;
  if (typeof takeStream !== 'function') return;
  const methods = new Map<string, ServeUnary>();
  methodsOf.set(server, methods);
  host._streamHandler = (interceptors, stream, headers) => {
    const serve = methods.get(headers[':path'] ?? '');
    if (serve === undefined || interceptors.length > 0 || !isPlain(headers))
      takeStream.call(server, interceptors, stream, headers);
    else new DirectCall(stream, headers, limits).run(serve);
  };
}

/** Where the server answers by itself, it does so for this method. */
export function addDirectUnary(server: Server, path: string, serve: ServeUnary): void {
  methodsOf.get(server)?.set(path, serve);
}

const timeoutForm = /^(\d{1,8})([HMSmun])$/;
const unitMs: { readonly [unit: string]: number } = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

function isPlain(headers: IncomingHttpHeaders): boolean {
  const { 'content-type': type, 'grpc-encoding': encoding, 'grpc-timeout': timeout } = headers;
  if (type === undefined || !/^application\/grpc(\+proto)?$/.test(type)) return false;
  if (encoding !== undefined && encoding !== 'identity') return false;
  return timeout === undefined || (typeof timeout === 'string' && timeoutForm.test(timeout));
}

/** Headers of the call itself, which are not for handlers. */
const ownHeaders = [
  ...['grpc-timeout', 'grpc-encoding', 'grpc-accept-encoding'],
  ...['accept-encoding', 'te', 'content-type'],
];
const contentHeaders = { ':status': 200, 'content-type': 'application/grpc+proto' };
const answerHeaders = {
  ...contentHeaders,
  'grpc-accept-encoding': 'identity,deflate,gzip',
  'grpc-encoding': 'identity',
};
const done = { 'grpc-status': status.OK, 'grpc-message': 'OK' };
/** A flag and a length stand before every message. */
const prefixBytes = 5;

/** One call; also what its handler is told. */
class DirectCall implements CallContext {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #limits: Limits;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Of the whole request; known with its first five bytes. */
  #expected = Number.POSITIVE_INFINITY;
  #isOver = false;
  #controller: AbortController | undefined;
  #metadata: Metadata | undefined;
  #cancelDeadline: Cancel | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, limits: Limits) {
    this.#stream = stream;
    this.#headers = headers;
    this.#limits = limits;
  }

  /** Answers once the request is whole and the caller has said all. */
  run(serve: ServeUnary): void {
    const stream = this.#stream;
    // What breaks a stream closes it too.
    stream.on('error', () => undefined);
    stream.on('close', () => this.#end());
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.on('end', () => this.#serve(serve));
    const [, count, unit = ''] = timeoutForm.exec(this.#headers['grpc-timeout'] as string) ?? [];
    if (count === undefined) return;
    const timeoutMs = Math.trunc(Number(count) * (unitMs[unit] as number));
    this.#cancelDeadline = systemClock.after(Math.min(timeoutMs, 2 ** 31 - 1), () => {
      this.#refuse(status.DEADLINE_EXCEEDED, 'Deadline exceeded');
      this.#controller?.abort(cancelled());
    });
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isOver) this.#controller.abort(cancelled());
    }
    return this.#controller.signal;
  }

  get peer(): string {
    const { remoteAddress, remotePort } = this.#stream.session?.socket ?? {};
    if (remoteAddress === undefined) return 'unknown';
    return remotePort === undefined ? remoteAddress : `${remoteAddress}:${remotePort}`;
  }

  get metadata(): Metadata {
    if (this.#metadata === undefined) {
      this.#metadata = Metadata.fromHttp2Headers(this.#headers);
      for (const name of ownHeaders) this.#metadata.remove(name);
    }
    return this.#metadata;
  }

  header(name: string): string | undefined {
    const value = this.#headers[name];
    if (name.startsWith(':') || ownHeaders.includes(name)) return undefined;
    return Array.isArray(value) ? value[0] : value;
  }

  certificate(): PeerCertificate | undefined {
    const socket = this.#stream.session?.socket;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    const certificate = socket.getPeerCertificate();
    return certificate.raw === undefined ? undefined : certificate;
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#expected === Number.POSITIVE_INFINITY && this.#bytes >= prefixBytes) {
      const length = this.#request().readUInt32BE(1);
      const { maxMessageBytes } = this.#limits;
      if (length > maxMessageBytes) {
        const what = `Received message larger than max (${length} vs ${maxMessageBytes})`;
        return this.#refuse(status.RESOURCE_EXHAUSTED, what);
      }
      this.#expected = prefixBytes + length;
    }
    if (this.#bytes > this.#expected) this.#refuse(status.UNIMPLEMENTED, this.#count('a second'));
  }

  /** What came so far, in one piece. */
  #request(): Buffer {
    const [first, second] = this.#chunks;
    assert(first !== undefined, 'something came');
    if (second !== undefined) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] as Buffer;
  }

  #serve(serve: ServeUnary): void {
    if (this.#isOver) return;
    if (this.#bytes < this.#expected) return this.#refuse(status.UNIMPLEMENTED, this.#count('no'));
    const request = this.#request().subarray(prefixBytes);
    this.#chunks = [];
    void serve(request, this).then((outcome) => this.#answer(outcome));
  }

  #answer(outcome: Buffer | StatusObject): void {
    if (this.#isOver || this.#stream.destroyed || this.#stream.closed) return;
    if (!Buffer.isBuffer(outcome)) return this.#sayStatus(outcome);
    const { maxMessageBytes } = this.#limits;
    const bytes = prefixBytes + outcome.length;
    if (outcome.length > maxMessageBytes) {
      const what = `Sent message larger than max (${bytes} vs. ${maxMessageBytes})`;
      return this.#refuse(status.RESOURCE_EXHAUSTED, what);
    }
    this.#settle();
    const message = Buffer.allocUnsafe(bytes);
    message[0] = 0;
    message.writeUInt32BE(outcome.length, 1);
    outcome.copy(message, prefixBytes);
    this.#stream.respond(answerHeaders, { waitForTrailers: true });
    this.#stream.on('wantTrailers', () => this.#stream.sendTrailers(done));
    this.#stream.end(message);
  }

  #refuse(code: status, details: string): void {
    if (this.#isOver || this.#stream.destroyed || this.#stream.closed) return;
    this.#sayStatus({ code, details, metadata: new Metadata() });
  }

  #sayStatus({ code, details, metadata }: StatusObject): void {
    this.#settle();
    const trailers = { 'grpc-status': code, 'grpc-message': encodeURI(details) };
    const headers = { ...trailers, ...contentHeaders, ...metadata.toHttp2Headers() };
    this.#stream.respond(headers, { endStream: true });
  }

  /** An answer is on its way: nothing that happens to the stream concerns the handler any more. */
  #settle(): void {
    this.#isOver = true;
    this.#chunks = [];
    this.#cancelDeadline?.();
  }

  /** The caller went away. */
  #end(): void {
    if (this.#isOver) return;
    this.#settle();
    this.#controller?.abort(cancelled());
  }

  #count(how: string): string {
    return `Received ${how} request message for server streaming method ${this.#headers[':path']}`;
  }
}

function cancelled(): EtlError {
  return new EtlError('ETL_CANCELLED', 'the caller cancelled or went away');
}
