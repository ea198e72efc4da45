// Talks GraphQL to a router over plain HTTP. Never invents an answer: what the server did not say is an error.

import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type ErrorCode, EtlError, errorCodes } from '@etl-router/core';
import { type GlobalOptions, type Io, withoutCredentials } from './io.ts';

const maxAnswerBytes = 256 * 1024 * 1024;

interface GraphQlAnswer {
  readonly data?: { readonly [field: string]: unknown } | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions?: { readonly code?: string };
  }[];
}

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

  /** Runs a document and returns its data. Throws EtlError with the server's code, or ETL_UNAVAILABLE or ETL_TIMEOUT. */
  async query<T>(
    document: string,
    variables: { readonly [name: string]: unknown } = {},
  ): Promise<T> {
    const body = await this.#post(JSON.stringify({ query: document, variables }));
    const answer = this.#parse(body);
    const [error] = answer.errors ?? [];
    if (error !== undefined) {
      throw new EtlError(toCode(error.extensions?.code), error.message);
    }
    if (answer.data === undefined || answer.data === null) throw this.#notGraphQl('no data');
    return answer.data as T;
  }

  #parse(body: string): GraphQlAnswer {
    try {
      return JSON.parse(body) as GraphQlAnswer;
    } catch (cause) {
      throw this.#notGraphQl('the answer is not JSON', cause);
    }
  }

  #notGraphQl(what: string, cause?: unknown): EtlError {
    return new EtlError(
      'ETL_UNAVAILABLE',
      `${this.#shown} does not answer as an ETL Router (${what}); check --server`,
      cause === undefined ? {} : { cause },
    );
  }

  get #shown(): string {
    return withoutCredentials(this.#endpoint.origin);
  }

  #post(body: string): Promise<string> {
    const send = this.#endpoint.protocol === 'https:' ? httpsRequest : httpRequest;
    const { username, password } = this.#endpoint;
    return new Promise((resolve, reject) => {
      const deadline = AbortSignal.timeout(this.#timeoutMs);
      const request = send(
        new URL('/graphql', this.#endpoint.origin),
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
          response.on('end', () => resolve(Buffer.concat(chunks).toString()));
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
    return new EtlError(
      'ETL_UNAVAILABLE',
      `can not reach the router at ${this.#shown} (${reason}); is it running? Set --server or ETLCTL_SERVER`,
      { cause: error },
    );
  }
}

function parseServer(server: string): URL {
  const url = URL.parse(/^[a-z]+:\/\//i.test(server) ? server : `http://${server}`);
  if (
    url === null ||
    (url.protocol !== 'http:' && url.protocol !== 'https:') ||
    url.hostname === ''
  ) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `--server: ${JSON.stringify(withoutCredentials(server))} is no http or https URL, such as http://localhost:8080`,
    );
  }
  return url;
}

/** A code the server sent, if this version knows it; a GraphQL validation error is an invalid argument. */
export function toCode(code: string | undefined | null): ErrorCode {
  if (code !== undefined && code !== null && Object.hasOwn(errorCodes, code))
    return code as ErrorCode;
  return code === 'GRAPHQL_VALIDATION_FAILED' ||
    code === 'BAD_USER_INPUT' ||
    code === 'GRAPHQL_PARSE_FAILED'
    ? 'ETL_INVALID_ARGUMENT'
    : 'ETL_INTERNAL';
}
