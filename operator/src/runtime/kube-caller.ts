// How every call to the API server is made: it has a deadline, is counted, takes its turn, and waits when the server asks
// for it. A call that changes something is refused when `mayWrite` says no, before each attempt: a process that lost its
// lease, or slept, must not act on what it believed before.

import type { IncomingMessage } from 'node:http';
import { type Clock, EtlError, isEtlError, sleep } from '@etl-router/core';
import { ApiError, parseRetryAfterMs, parseStatus } from './api-error.ts';
import type { KubeConnection } from './connection.ts';
import { describeRef, type ObjectRef, pathOfObject } from './kube-object.ts';
import type { RuntimeMetrics } from './metrics.ts';
import { TokenBucket } from './token-bucket.ts';

const answerMaxBytes = 256 * 1024 * 1024;
const attemptsMax = 10;
const userAgent = 'etl-operator';

const contentTypes = {
  json: 'application/json',
  apply: 'application/apply-patch+yaml',
  jsonPatch: 'application/json-patch+json',
} as const;

export interface KubeCallerOptions {
  readonly connection: KubeConnection;
  readonly clock: Clock;
  readonly metrics?: RuntimeMetrics;
  /** Asked before each attempt of each call that changes something. Default: always yes. */
  readonly mayWrite?: () => boolean;
  /** Calls a second in the long run. Default 20. */
  readonly callsPerSecond?: number;
  /** Calls at once before that rate holds. Default 30. */
  readonly burst?: number;
  /** How long a call may take with all its attempts. Default 30,000. */
  readonly deadlineMs?: number;
}

/** What every call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's own. */
  readonly deadlineMs?: number | undefined;
}

/** What a request is made of. */
export interface KubeRequest extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As metrics and messages say it. */
  readonly verb: string;
  /** What it is about, for messages. */
  readonly what: string;
  readonly path: string;
  readonly query?: { readonly [name: string]: string | number | boolean | undefined };
  readonly accept?: string | undefined;
  /** How the body is meant. Default `json`. */
  readonly contentType?: keyof typeof contentTypes;
  readonly body?: unknown;
  /** False for questions that are asked by POST. Default: true for all but GET. */
  readonly changes?: boolean;
  /** Whether 429 and what carries Retry-After is tried again. Default true. */
  readonly patient?: boolean;
}

/** The parts of a request that follow from which object it is about. */
export function requestAbout(
  method: KubeRequest['method'],
  verb: string,
  ref: ObjectRef,
  subresource?: string,
): Pick<KubeRequest, 'method' | 'verb' | 'what' | 'path'> {
  const what = describeRef(ref) + (subresource === undefined ? '' : ` (${subresource})`);
  return { method, verb, what, path: pathOfObject(ref, subresource) };
}

export class KubeCaller {
  readonly clock: Clock;
  readonly #options: KubeCallerOptions;
  readonly #bucket: TokenBucket;
  #lastAnswerMs = Number.NEGATIVE_INFINITY;

  constructor(options: KubeCallerOptions) {
    const { callsPerSecond = 20, burst = 30 } = options;
    this.clock = options.clock;
    this.#options = options;
    this.#bucket = new TokenBucket(options.clock, { perSecond: callsPerSecond, burst });
  }

  /** Milliseconds since the server last answered without a 5xx; infinite before it did. */
  sinceAnswerMs(): number {
    return this.clock.monotonicMs() - this.#lastAnswerMs;
  }

  /** The body of the answer. */
  async json<T>(request: KubeRequest): Promise<T> {
    const ending = new AbortController();
    return await this.#bounded(request, ending, async () => {
      const answer = await this.#attempts(request, ending.signal);
      return JSON.parse(await readBody(answer)) as T;
    });
  }

  /** The answer, its body to be read. `ending` ends it also after this has resolved. */
  async open(request: KubeRequest, ending: AbortController): Promise<IncomingMessage> {
    return await this.#bounded(request, ending, () => this.#attempts(request, ending.signal));
  }

  /** Runs a call until its deadline or its signal, and says which of them ended it. */
  async #bounded<R>(
    request: KubeRequest,
    ending: AbortController,
    run: () => Promise<R>,
  ): Promise<R> {
    const deadlineMs = request.deadlineMs ?? this.#options.deadlineMs ?? 30_000;
    const name = `${request.verb} ${request.what}`;
    const cancel = this.clock.after(deadlineMs, () => {
      ending.abort(
        new EtlError('ETL_TIMEOUT', `${name}: no answer of the API server within ${deadlineMs} ms`),
      );
    });
    const unlink = linkSignal(request.signal, ending);
    try {
      return await run();
    } catch (error) {
      throw toKubeError(error, name, ending.signal);
    } finally {
      cancel();
      unlink();
    }
  }

  async #attempts(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    for (let attempt = 1; ; attempt++) {
      await this.#bucket.take(signal);
      const answer = await this.#attempt(request, signal);
      const status = answer.statusCode as number;
      if (status < 400) return answer;
      const body = parseStatus(await readBody(answer));
      const waitMs = parseRetryAfterMs(answer.headers['retry-after']);
      const askedToWait = status === 429 || (status >= 500 && waitMs !== undefined);
      if (!askedToWait || request.patient === false || attempt === attemptsMax) {
        throw new ApiError(`${request.verb} ${request.what}`, status, body, waitMs);
      }
      await sleep(this.clock, waitMs ?? 1000, signal);
    }
  }

  async #attempt(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { connection, metrics, mayWrite } = this.#options;
    const changes = request.changes ?? request.method !== 'GET';
    if (changes && mayWrite !== undefined && !mayWrite()) {
      throw new EtlError(
        'ETL_NOT_LEADER',
        `${request.verb} ${request.what}: refused, this process does not hold the lease`,
      );
    }
    const startMs = this.clock.monotonicMs();
    const { host } = connection;
    const count = (code: string): void => {
      metrics?.requests.inc({ code, method: request.method, host });
      const seconds = (this.clock.monotonicMs() - startMs) / 1000;
      metrics?.requestSeconds.observe({ verb: request.verb, host }, seconds);
    };
    try {
      const answer = await connection.send(toHttp(request, signal));
      const status = answer.statusCode as number;
      count(String(status));
      if (status < 500) this.#lastAnswerMs = this.clock.monotonicMs();
      if (status === 401) connection.distrust();
      return answer;
    } catch (error) {
      count('<error>');
      throw error;
    }
  }
}

function toHttp(request: KubeRequest, signal: AbortSignal) {
  const query = Object.entries(request.query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  const call = {
    method: request.method,
    path: query.length === 0 ? request.path : `${request.path}?${query.join('&')}`,
    headers: {
      accept: request.accept ?? 'application/json',
      'user-agent': userAgent,
      ...(request.body === undefined
        ? {}
        : { 'content-type': contentTypes[request.contentType ?? 'json'] }),
    },
    signal,
  };
  return request.body === undefined ? call : { ...call, body: JSON.stringify(request.body) };
}

/** Ends `ending` when `signal` does; the result unties them. */
export function linkSignal(signal: AbortSignal | undefined, ending: AbortController): () => void {
  if (signal === undefined) return () => undefined;
  const onAbort = (): void => ending.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
}

/** What went wrong below HTTP, as an error with a code; what was aborted, with the reason for that. */
export function toKubeError(error: unknown, what: string, signal: AbortSignal): EtlError {
  const seen: unknown = signal.aborted ? signal.reason : error;
  if (isEtlError(seen)) return seen;
  const message = seen instanceof Error ? seen.message : String(seen);
  if (signal.aborted) return new EtlError('ETL_CANCELLED', `${what}: ${message}`, { cause: seen });
  return new EtlError('ETL_UNAVAILABLE', `${what}: the API server can not be reached: ${message}`, {
    cause: seen,
  });
}

async function readBody(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > answerMaxBytes) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `an answer of the API server is over ${answerMaxBytes} bytes`,
      );
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
