// Talks GraphQL to a router by HTTP. Never invents an answer: what the server did not say is an error.

import { randomUUID } from 'node:crypto';
import type { Agent, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { type ErrorCode, EtlError, errorCodes, isEtlError } from '@etl-router/core';
import { bearerHeaders } from './bearer-headers.ts';
import { type Consistency, type GlobalOptions, type Io, withoutCredentials } from './io.ts';
import type { Place } from './place.ts';
import type { Door, Route } from './route.ts';

const maxAnswerBytes = 256 * 1024 * 1024;
const maxProblemLength = 64 * 1024;

/** Routers that are asked one after the other for the leader. */
const maxHops = 2;

/** Reasons of the network for which no byte of the question can have reached a router. */
const unreachable = [
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'ETIMEDOUT',
];

interface HttpAnswer {
  /** `HTTP 302 to http://…`: for messages. */
  readonly status: string;
  readonly body: string;
}

type Fields = { readonly [field: string]: unknown };

/** What a client needs to know of the options. */
export type ClientOptions = Pick<GlobalOptions, 'place' | 'route' | 'timeoutMs' | 'consistency'>;

/** One router, at a URL or behind the door that a route opens. */
export class RouterClient {
  /** Undefined: the route has not been asked yet. */
  #door: Door | undefined;
  readonly #place: Place;
  readonly #route: Route | undefined;
  /** The router that named this one as the leader. */
  #namedBy: string | undefined;
  #serverTimeMs: number | undefined;
  readonly #timeoutMs: number;
  readonly #consistency: Consistency | undefined;
  readonly #io: Io;

  /** `door`: a certain router. Throws ETL_INVALID_ARGUMENT for a server that is no http or https URL. */
  constructor(options: ClientOptions, io: Io, door?: Door) {
    this.#place = options.place;
    this.#route = options.route;
    this.#door = door ?? doorOf(options.place);
    this.#timeoutMs = options.timeoutMs;
    this.#consistency = options.consistency;
    this.#io = io;
  }

  async #open(): Promise<Door> {
    if (this.#door === undefined) {
      if (this.#route === undefined)
        throw new EtlError('ETL_INTERNAL', 'a router in Kubernetes has no way to it');
      this.#door = await this.#route.open();
    }
    return this.#door;
  }

  /**
   * Runs a document of one root field and returns its data, of the leader where the router that is asked names one.
   * Throws EtlError with the server's code, or ETL_UNAVAILABLE or ETL_TIMEOUT.
   */
  async query<T>(document: string, variables: Fields = {}): Promise<T> {
    const body = JSON.stringify({ query: document, variables });
    // The same at every router, so that what is asked takes effect once.
    const requestId = randomUUID();
    for (let hops = 0; ; hops++) {
      const answer = await this.#post(await this.#open(), body, requestId);
      const { data, errors } = this.#parse(answer);
      const [error] = Array.isArray(errors) ? errors.map(toFields) : [];
      if (error === undefined) return this.#dataOf<T>(document, answer, data);
      const leader = hops < maxHops ? await this.#leaderNamedIn(error) : undefined;
      if (leader === undefined) throw this.#refusal(error);
      this.#namedBy = this.shown;
      this.#door = leader;
    }
  }

  #dataOf<T>(document: string, answer: HttpAnswer, data: unknown): T {
    const field = /\{\s*(\w+)/.exec(document)?.[1] as string;
    if (typeof toFields(data)[field] !== 'object')
      throw this.#notGraphQl(`${answer.status}, no ${field} in the answer`);
    return data as T;
  }

  /** Nothing was done, and another router will do it. Credentials were given for this one and go nowhere else. */
  async #leaderNamedIn(error: Fields): Promise<Door | undefined> {
    const { code, details } = toFields(error['extensions']);
    const { httpAddress } = toFields(details);
    if (code !== 'ETL_NOT_LEADER' || typeof httpAddress !== 'string') return undefined;
    if (this.#route !== undefined) return this.#route.openLeader(httpAddress);
    return this.#doorAt(httpAddress);
  }

  /** Another router of the same cluster; undefined: credentials are given, or it is no host and port. */
  #doorAt(httpAddress: string): Door | undefined {
    const door = this.#door as Door;
    if (door.url.username !== '' || 'authorization' in door.headers) return undefined;
    const url = URL.parse(`${door.url.protocol}//${httpAddress}/graphql`);
    return url?.username === '' && url.pathname === '/graphql' ? toDoor(url) : undefined;
  }

  /**
   * The leader that the router at a URL names; undefined: it is no host and port, or credentials were given, which go
   * nowhere else. It is waited for no longer than `maxTimeoutMs`.
   */
  toLeader(httpAddress: string, maxTimeoutMs: number): RouterClient | undefined {
    const door = this.#doorAt(httpAddress);
    const timeoutMs = Math.min(this.#timeoutMs, maxTimeoutMs);
    const options = { place: this.#place, route: this.#route, timeoutMs };
    return door === undefined ? undefined : new RouterClient(options, this.#io, door);
  }

  /** The same router, for what has to be done though the user interrupted the command. */
  async afterwards(): Promise<RouterClient> {
    const door = await this.#open();
    const options = { place: this.#place, route: this.#route, timeoutMs: this.#timeoutMs };
    return new RouterClient(options, { ...this.#io, signal: new AbortController().signal }, door);
  }

  /** The bytes at a path beside GraphQL. Throws as {@link RouterClient.query}; `--timeout` bounds their silence. */
  async get(path: string): Promise<Readable> {
    return Readable.from(this.#read(await this.#transfer('GET', path)), { objectMode: false });
  }

  async *#read(response: IncomingMessage): AsyncGenerator<Buffer> {
    try {
      yield* response as AsyncIterable<Buffer>;
    } catch (error) {
      throw this.#failure(error as Error, new AbortController().signal);
    }
  }

  /** Sends bytes to a path beside GraphQL. */
  async put(path: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    const response = await this.#transfer('PUT', path, body);
    response.resume();
  }

  async #transfer(
    method: string,
    path: string,
    body?: AsyncIterable<Uint8Array>,
  ): Promise<IncomingMessage> {
    const door = await this.#open();
    const { request: send } = await httpOf(door);
    const url = new URL(door.url);
    url.pathname = url.pathname.replace(/\/graphql$/, '');
    const [pathname, search] = path.split('?');
    url.pathname = `${url.pathname.replace(/\/$/, '')}${pathname}`;
    url.search = search ?? '';
    const deadline = new AbortController();
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const type = body === undefined ? {} : { 'content-type': 'application/octet-stream' };
      const headers = { ...type, ...door.headers };
      const timeout = this.#timeoutMs;
      const request = send(
        url,
        { method, signal: this.#io.signal, headers, timeout, ...connectionOf(door) },
        resolve,
      );
      request.on('timeout', () => {
        deadline.abort();
        request.destroy(new Error('silence'));
      });
      request.on('error', (error) => reject(this.#failure(error, deadline.signal)));
      if (body === undefined) request.end();
      else
        Readable.from(body)
          .on('error', (error) => request.destroy(error))
          .pipe(request);
    });
    if ((response.statusCode ?? 0) < 300) return response;
    throw await this.#problem(response);
  }

  /** What a refusal beside GraphQL says. */
  async #problem(response: IncomingMessage): Promise<EtlError> {
    let text = '';
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > maxProblemLength) break;
    }
    const { title, code } = problemOf(parseFields(text));
    if (code === undefined || title === undefined) {
      return this.#notGraphQl(`${statusOf(response)}, no snapshots`);
    }
    return new EtlError(toCode(code), title);
  }

  #parse({ status, body }: HttpAnswer): Fields {
    try {
      const fields = toFields(JSON.parse(body));
      const { title, code } = problemOf(fields);
      if (title !== undefined && code !== undefined) throw new EtlError(toCode(code), title);
      return fields;
    } catch (cause) {
      if (isEtlError(cause)) throw cause;
      throw this.#notGraphQl(`${status}, the answer is not JSON`, cause);
    }
  }

  #refusal(error: Fields): EtlError {
    const code = toFields(error['extensions'])['code'];
    const message = typeof error['message'] === 'string' ? error['message'] : 'no reason given';
    if (code === 'GRAPHQL_VALIDATION_FAILED') {
      return new EtlError(
        'ETL_UNSUPPORTED',
        `the router at ${this.shown} does not know what this etlctl asks for; compare their versions with etlctl version (${message})`,
      );
    }
    const { httpAddress } = toFields(toFields(error['extensions'])['details']);
    const at = typeof httpAddress === 'string' ? ` (--server ${httpAddress})` : '';
    return new EtlError(toCode(code), `${message}${at}`);
  }

  #notGraphQl(what: string, cause?: unknown): EtlError {
    return new EtlError(
      'ETL_UNAVAILABLE',
      `${this.shown} does not answer as an ETL Router (${what}); ${this.#hint}`,
      cause === undefined ? {} : { cause },
    );
  }

  /** Which router it is, for people. */
  get shown(): string {
    return this.#door?.shown ?? 'the router';
  }

  /** What the clock of whoever answered last said, to the second; undefined: nobody did. */
  get serverTimeMs(): number | undefined {
    return this.#serverTimeMs;
  }

  get #hint(): string {
    return this.#door?.hint ?? checkServer;
  }

  async #post(door: Door, body: string, requestId: string): Promise<HttpAnswer> {
    const { request: send } = await httpOf(door);
    return new Promise((resolve, reject) => {
      const deadline = AbortSignal.timeout(this.#timeoutMs);
      const request = send(
        door.url,
        {
          method: 'POST',
          signal: AbortSignal.any([deadline, this.#io.signal]),
          ...connectionOf(door),
          headers: {
            ...door.headers,
            'content-type': 'application/json',
            accept: 'application/json',
            'content-length': Buffer.byteLength(body),
            'x-etl-request-id': requestId,
            ...(this.#consistency === 'stale' && { 'x-etl-consistency': 'stale' }),
          },
        },
        (response) => {
          const timeMs = Date.parse(response.headers.date ?? '');
          this.#serverTimeMs = Number.isNaN(timeMs) ? undefined : timeMs;
          const chunks: Buffer[] = [];
          let size = 0;
          response.on('data', (chunk: Buffer) => {
            chunks.push(chunk);
            size += chunk.length;
            if (size > maxAnswerBytes) request.destroy(new Error('the answer passes 256 MiB'));
          });
          response.on('end', () =>
            resolve({ status: statusOf(response), body: Buffer.concat(chunks).toString() }),
          );
          response.on('error', (error) => reject(this.#failure(error, deadline)));
        },
      );
      request.on('error', (error) => reject(this.#failure(error, deadline)));
      request.end(body);
    });
  }

  #failure(error: Error, deadline: AbortSignal): EtlError {
    if (deadline.aborted) {
      return new EtlError(
        'ETL_TIMEOUT',
        `no answer from ${this.shown} within ${this.#timeoutMs / 1000}s (--timeout); what was asked may still happen`,
        { cause: error },
      );
    }
    if (this.#io.signal.aborted)
      return new EtlError('ETL_CANCELLED', 'interrupted', { cause: error });
    // The way to the router says itself what is wrong with it.
    if (isEtlError(error)) return error;
    const reason = (error as NodeJS.ErrnoException).code ?? error.message;
    const message = this.#explain(reason);
    return new EtlError('ETL_UNAVAILABLE', message, { cause: error });
  }

  #explain(reason: string): string {
    if (this.#route !== undefined)
      return `the connection to ${this.shown} broke before the whole answer came (${reason}); what was asked may have happened; ${this.#hint}`;
    const protocol = this.#door?.url.protocol;
    if (reason.startsWith('HPE_') || reason === 'EPROTO') {
      const spoken = protocol === 'https:' ? 'TLS; is it http://?' : 'HTTP; is it https://?';
      return `${this.shown} does not speak ${spoken} (${reason}); ${this.#hint}`;
    }
    if (/CERT|ALTNAME|ISSUER/.test(reason)) {
      return `the certificate of ${this.shown} is not trusted (${reason}); NODE_EXTRA_CA_CERTS names a file of authorities`;
    }
    if (unreachable.includes(reason) && this.#namedBy !== undefined) {
      return `${this.#namedBy} names ${this.shown} as the leader, which can not be reached from here (${reason}); ask it under another address with --server, or set --advertise-http-addr of it`;
    }
    return unreachable.includes(reason)
      ? `can not reach the router at ${this.shown} (${reason}); is it running? Set --server or ETLCTL_SERVER, or --cluster for one in Kubernetes`
      : `the connection to ${this.shown} broke before the whole answer came (${reason}); what was asked may have happened`;
  }
}

/** A refusal of what stands before GraphQL and beside it. */
function problemOf({ title, code }: Fields): { readonly title?: string; readonly code?: string } {
  return typeof title === 'string' && typeof code === 'string' ? { title, code } : {};
}

function parseFields(text: string): Fields {
  try {
    return toFields(JSON.parse(text));
  } catch {
    return {};
  }
}

function toFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function statusOf({ statusCode, headers }: IncomingMessage): string {
  const to = headers.location === undefined ? '' : ` to ${withoutCredentials(headers.location)}`;
  return `HTTP ${statusCode}${to}`;
}

const checkServer = 'check --server';

function doorOf(place: Place): Door | undefined {
  if (place.kind !== 'url') return undefined;
  return toDoor(parseServer(place.server), place.token);
}

function toDoor(url: URL, token?: string): Door {
  const headers = token === undefined ? {} : bearerHeaders(token);
  return { url, shown: url.origin, hint: checkServer, headers };
}

function connectionOf({ url, agent }: Door): { auth?: string; agent?: Agent } {
  const { username, password } = url;
  return {
    ...(agent !== undefined && { agent }),
    ...(username !== '' && {
      auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}`,
    }),
  };
}

/** Loaded here, as commands that ask no router start faster without. */
function httpOf({ url }: Door): Promise<typeof import('node:http') | typeof import('node:https')> {
  return url.protocol === 'https:' ? import('node:https') : import('node:http');
}

/** The address of GraphQL; a path before it is kept, for routers behind a gateway. */
function parseServer(server: string): URL {
  const url = URL.parse(/^[a-z]+:\/\//i.test(server) ? server : `http://${server}`);
  const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (url === null || !isWeb || url.hostname === '' || !isDecodable(url)) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `--server: ${JSON.stringify(withoutCredentials(server))} is no http or https URL, such as http://localhost:8080`,
    );
  }
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith('/graphql') ? path : `${path}/graphql`;
  return url;
}

function isDecodable({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(username + password) !== undefined;
  } catch {
    return false;
  }
}

/** A code the server sent, if this version knows it. */
export function toCode(code: unknown): ErrorCode {
  if (typeof code === 'string' && Object.hasOwn(errorCodes, code)) return code as ErrorCode;
  return code === 'BAD_USER_INPUT' || code === 'GRAPHQL_PARSE_FAILED'
    ? 'ETL_INVALID_ARGUMENT'
    : 'ETL_INTERNAL';
}
