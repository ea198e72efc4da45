// Talks GraphQL to a router over plain HTTP. Never invents an answer: what the server did not say is an error.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type ErrorCode, EtlError, errorCodes } from '@etl-router/core';
import { type GlobalOptions, type Io, withoutCredentials } from './io.ts';

const maxAnswerBytes = 256 * 1024 * 1024;

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

/** One router, by its HTTP address. */
export class RouterClient {
  readonly #endpoint: URL;
  readonly #timeoutMs: number;
  readonly #io: Io;

  /** Throws ETL_INVALID_ARGUMENT for a server that is no http or https URL. */
  constructor(options: GlobalOptions, io: Io) {
    this.#endpoint = parseServer(options.server);
    this.#timeoutMs = options.timeoutMs;
    this.#io = io;
  }

  /**
   * Runs a document of one root field and returns its data. Throws EtlError with the server's code, or ETL_UNAVAILABLE
   * or ETL_TIMEOUT.
   */
  async query<T>(document: string, variables: Fields = {}): Promise<T> {
    const answer = await this.#post(JSON.stringify({ query: document, variables }));
    const { data, errors } = this.#parse(answer);
    const [error] = Array.isArray(errors) ? errors.map(toFields) : [];
    if (error !== undefined) throw this.#refusal(error);
    const field = /\{\s*(\w+)/.exec(document)?.[1] as string;
    if (typeof toFields(data)[field] !== 'object')
      throw this.#notGraphQl(`${answer.status}, no ${field} in the answer`);
    return data as T;
  }

  #parse({ status, body }: HttpAnswer): Fields {
    try {
      return toFields(JSON.parse(body));
    } catch (cause) {
      throw this.#notGraphQl(`${status}, the answer is not JSON`, cause);
    }
  }

  #refusal(error: Fields): EtlError {
    const code = toFields(error['extensions'])['code'];
    const message = typeof error['message'] === 'string' ? error['message'] : 'no reason given';
    if (code === 'GRAPHQL_VALIDATION_FAILED') {
      return new EtlError(
        'ETL_UNSUPPORTED',
        `the router at ${this.#shown} does not know what this etlctl asks for; compare their versions with etlctl version (${message})`,
      );
    }
    return new EtlError(toCode(code), message);
  }

  #notGraphQl(what: string, cause?: unknown): EtlError {
    return new EtlError(
      'ETL_UNAVAILABLE',
      `${this.#shown} does not answer as an ETL Router (${what}); check --server`,
      cause === undefined ? {} : { cause },
    );
  }

  get #shown(): string {
    return this.#endpoint.origin;
  }

  async #post(body: string): Promise<HttpAnswer> {
    // Loaded here, as commands that ask no router start faster without.
    const { request: send } = await (this.#endpoint.protocol === 'https:'
      ? import('node:https')
      : import('node:http'));
    const { username, password } = this.#endpoint;
    return new Promise((resolve, reject) => {
      const deadline = AbortSignal.timeout(this.#timeoutMs);
      const request = send(
        this.#endpoint,
        {
          method: 'POST',
          signal: AbortSignal.any([deadline, this.#io.signal]),
          ...(username === ''
            ? {}
            : { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` }),
          headers: {
            'content-type': 'application/json',
            accept: 'application/json',
            'content-length': Buffer.byteLength(body),
            'x-request-id': randomUUID(),
          },
        },
        (response) => {
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
        `no answer from ${this.#shown} within ${this.#timeoutMs / 1000}s (--timeout); what was asked may still happen`,
        { cause: error },
      );
    }
    if (this.#io.signal.aborted)
      return new EtlError('ETL_CANCELLED', 'interrupted', { cause: error });
    const reason = (error as NodeJS.ErrnoException).code ?? error.message;
    const message = this.#explain(reason);
    return new EtlError('ETL_UNAVAILABLE', message, { cause: error });
  }

  #explain(reason: string): string {
    const { protocol } = this.#endpoint;
    if (reason.startsWith('HPE_') || reason === 'EPROTO') {
      const spoken = protocol === 'https:' ? 'TLS; is it http://?' : 'HTTP; is it https://?';
      return `${this.#shown} does not speak ${spoken} (${reason}); check --server`;
    }
    if (/CERT|ALTNAME|ISSUER/.test(reason)) {
      return `the certificate of ${this.#shown} is not trusted (${reason}); NODE_EXTRA_CA_CERTS names a file of authorities`;
    }
    return unreachable.includes(reason)
      ? `can not reach the router at ${this.#shown} (${reason}); is it running? Set --server or ETLCTL_SERVER`
      : `the connection to ${this.#shown} broke before the whole answer came (${reason}); what was asked may have happened`;
  }
}

function toFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function statusOf({ statusCode, headers }: IncomingMessage): string {
  const to = headers.location === undefined ? '' : ` to ${withoutCredentials(headers.location)}`;
  return `HTTP ${statusCode}${to}`;
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
