// Connections to a port of a pod, through the API server and without a port on this machine: each is a WebSocket that
// carries the bytes of one connection. The client library speaks the protocol; here it becomes a socket that HTTP can use.

import { Agent } from 'node:http';
import { Duplex } from 'node:stream';
import { type Cancel, type Clock, EtlError } from '@etl-router/core';
import { Exec, type KubeConfig } from '@kubernetes/client-node';
import { doctorHint } from '../route.ts';

/** Where a connection goes. */
export interface Target {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** What is used of a WebSocket of the client library. */
interface Channel {
  send(data: Buffer, done: (error?: Error) => void): void;
  pause(): void;
  resume(): void;
  close(): void;
  terminate(): void;
  addEventListener(type: 'close', listener: () => void): void;
}

/** How to get to the API server, and how long it may take. */
export interface Way {
  readonly config: KubeConfig;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Streams of the first port; each begins with the number of the port. */
const dataStream = 0;
const errorStream = 1;
const portBytes = 2;

/** Errors that a pod's end tells are a line of text. */
const maxComplaint = 2048;

/** A connection to a port of a pod. */
class ForwardedSocket extends Duplex {
  readonly #clock: Clock;
  #channel: Channel | undefined;
  #idleMs = 0;
  #idle: Cancel = () => {};

  constructor(clock: Clock) {
    super({ allowHalfOpen: true });
    this.#clock = clock;
  }

  attach(channel: Channel): void {
    this.#channel = channel;
    channel.addEventListener('close', () => {
      this.push(null);
      this.destroy();
    });
    if (this.destroyed) channel.terminate();
  }

  receive(bytes: Buffer): void {
    this.#touch();
    if (!this.destroyed && !this.push(bytes)) this.#channel?.pause();
  }

  override _read(): void {
    this.#channel?.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#touch();
    this.#channel?.send(Buffer.concat([Buffer.of(dataStream), chunk]), done);
  }

  override _final(done: () => void): void {
    this.#channel?.close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#idle();
    this.#channel?.terminate();
    done(error);
  }

  /** As a socket of the network has it, on our clock: HTTP asks for it. */
  readonly setTimeout = (ms: number, run?: () => void): this => {
    this.#idleMs = ms;
    if (run !== undefined) this.once('timeout', run);
    this.#touch();
    return this;
  };

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  #touch(): void {
    this.#idle();
    this.#idle =
      this.#idleMs > 0 && !this.destroyed
        ? this.#clock.after(this.#idleMs, () => this.emit('timeout'))
        : () => {};
  }
}

/** What the library needs of a kubeconfig to open a stream, with a bound on it. */
function bounded({ config, timeoutMs, signal }: Way): KubeConfig {
  const bounds = { handshakeTimeout: timeoutMs, signal };
  return {
    getCurrentCluster: () => config.getCurrentCluster(),
    applyToHTTPSOptions: async (options: object) => {
      await config.applyToHTTPSOptions(options);
      Object.assign(options, bounds);
    },
  } as unknown as KubeConfig;
}

/** Opens a connection. Throws ETL_PERMISSION_DENIED, ETL_TIMEOUT, ETL_UNAUTHENTICATED or ETL_UNAVAILABLE. */
async function connect(target: Target, way: Way): Promise<ForwardedSocket> {
  const { namespace, pod, port } = target;
  const socket = new ForwardedSocket(way.clock);
  // Whoever uses the socket hears of its end; until somebody does, this keeps it from ending the process.
  socket.on('error', () => {});
  let complaint: EtlError | undefined;
  const begun = new Set<number>();
  const receive = (stream: number, bytes: Buffer): boolean => {
    const data = begun.has(stream) ? bytes : bytes.subarray(portBytes);
    begun.add(stream);
    if (stream === dataStream && data.length > 0) socket.receive(data);
    if (stream === errorStream && data.length > 0) {
      complaint ??= toComplaint(target, data);
      socket.destroy(complaint);
    }
    return true;
  };
  try {
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}/portforward?ports=${port}`;
    // Of what the library offers for streams, this is the smallest that opens one.
    const channel = await new Exec(bounded(way)).handler.connect(path, null, receive);
    socket.attach(channel as unknown as Channel);
  } catch (error) {
    if (way.signal.aborted) throw new EtlError('ETL_CANCELLED', 'interrupted');
    throw toRefusal(target, error as Error);
  }
  if (complaint !== undefined) throw complaint;
  return socket;
}

/** The pod does not take the connection, such as because nobody listens. */
function toComplaint({ namespace, pod, port }: Target, bytes: Buffer): EtlError {
  const all = bytes.toString('utf8', 0, maxComplaint).trim();
  // Container runtimes tell of namespaces and addresses that nobody can reach; what happened stands among them.
  const said = /connection refused|i\/o timeout|no route to host/.exec(all)?.[0] ?? all;
  return new EtlError(
    'ETL_UNAVAILABLE',
    `pod ${namespace}/${pod} does not take connections on port ${port} (${said}); ${doctorHint}`,
  );
}

function toRefusal({ namespace, pod }: Target, error: Error): EtlError {
  const reason = error.message ?? 'no reason given';
  const status = /response: (\d{3})/.exec(reason)?.[1];
  const to = `pods/portforward of ${namespace}/${pod}`;
  if (status === '403') {
    return new EtlError(
      'ETL_PERMISSION_DENIED',
      `you may not open ${to}; a Role with get and create on pods/portforward is needed`,
      { cause: error },
    );
  }
  if (status === '401')
    return new EtlError(
      'ETL_UNAUTHENTICATED',
      `the API server does not accept your credentials for ${to}`,
    );
  const code = /handshake has timed out/.test(reason) ? 'ETL_TIMEOUT' : 'ETL_UNAVAILABLE';
  return new EtlError(code, `can not open ${to} (${reason})`, { cause: error });
}

/** Gives HTTP its connections to a pod. */
export class ForwardAgent extends Agent {
  readonly #target: Target;
  readonly #way: Way;
  /** Opened to see whether it can be; the first request takes it. */
  #ready: ForwardedSocket | undefined;
  #isClosed = false;

  constructor(target: Target, way: Way) {
    super({ keepAlive: true, maxSockets: 4 });
    this.#target = target;
    this.#way = way;
  }

  /** Throws what keeps connections from being opened, after `timeoutMs` at the latest. */
  async dial(timeoutMs: number): Promise<void> {
    this.#ready ??= await this.#connect({ ...this.#way, timeoutMs });
  }

  override createConnection(
    _options: object,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const ready = this.#ready;
    this.#ready = undefined;
    const socket = ready?.destroyed === false ? Promise.resolve(ready) : this.#connect();
    socket.then(
      (opened) => done?.(null, opened),
      (error: Error) => done?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  async #connect(way = this.#way): Promise<ForwardedSocket> {
    const socket = await connect(this.#target, way);
    if (this.#isClosed) socket.destroy();
    return socket;
  }

  override destroy(): void {
    this.#isClosed = true;
    this.#ready?.destroy();
    super.destroy();
  }
}
