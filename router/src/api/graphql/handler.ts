// GraphQL over HTTP by graphql-yoga, with what it leaves open closed: bounded bodies, JSON only (so that no web page
// can send a mutation with a form), no cross-origin access, masked internal errors, and /health beside it.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isEtlError, type Logger, toEtlError } from '@etl-router/core';
import { GraphQLError } from 'graphql';
import { createSchema, createYoga, type YogaServerInstance } from 'graphql-yoga';
import { documentLimits, useLimits } from './limits.ts';
import { dateTimeScalar, jsonScalar, uint64Scalar } from './scalars.ts';

/** Resolvers by type and field, as graphql-tools takes them. */
export interface Resolvers {
  readonly [type: string]: { readonly [field: string]: unknown };
}

export interface GraphQlOptions {
  readonly resolvers: Resolvers;
  readonly logger: Logger;
  /** What `/health` says. */
  readonly health: () => { readonly status: string; readonly [field: string]: unknown };
}

/** The schema's text, for clients and tests. */
export const schemaText: string = readFileSync(
  new URL('./schema.graphql', import.meta.url),
  'utf8',
);

/** The handler of the HTTP port: `POST /graphql` (and `/`), subscriptions over SSE, GraphiQL, `/health`. */
export function createGraphQlHandler(
  options: GraphQlOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  const yoga = createServer(options);
  return (request, response) => {
    handle(yoga, options, { request, response }).catch((error: unknown) => {
      options.logger.debug({ err: error }, 'request ended early');
      response.destroy();
    });
  };
}

function createServer({ resolvers, logger }: GraphQlOptions): YogaServerInstance<object, object> {
  return createYoga({
    schema: createSchema({
      typeDefs: schemaText,
      resolvers: { UInt64: uint64Scalar, JSON: jsonScalar, DateTime: dateTimeScalar, ...resolvers },
    }),
    cors: false,
    logging: false,
    multipart: false,
    batching: false,
    landingPage: false,
    plugins: [useLimits()],
    maskedErrors: { maskError: (error) => maskError(error, logger) },
  });
}

/** Errors of ours keep code and message; anything else becomes one line with an id that the log has too. */
export function maskError(error: unknown, logger: Logger): Error {
  const original = error instanceof GraphQLError ? (error.originalError ?? undefined) : error;
  if (error instanceof GraphQLError && original === undefined) return error;
  const located = error instanceof GraphQLError ? { nodes: error.nodes, path: error.path } : {};
  if (isEtlError(original) && original.code !== 'ETL_INTERNAL') {
    return new GraphQLError(original.message, {
      ...located,
      extensions: { code: original.code, retryable: original.retryable },
    });
  }
  const id = randomUUID();
  logger.error({ err: toEtlError(original), errorId: id }, 'a resolver failed');
  return new GraphQLError(`an internal error happened; the router's log has it under ${id}`, {
    ...located,
    extensions: { code: 'ETL_INTERNAL' },
  });
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function handle(
  yoga: YogaServerInstance<object, object>,
  options: GraphQlOptions,
  exchange: Exchange,
): Promise<void> {
  const { request, response } = exchange;
  const path = (request.url ?? '/').split('?')[0];
  response.setHeader('x-content-type-options', 'nosniff');
  if (path === '/health') {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return refuse(response, 405, 'only GET and HEAD', 'GET, HEAD');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(options.health()));
    return;
  }
  if (path !== '/graphql' && path !== '/')
    return refuse(response, 404, 'not found; GraphQL is at /graphql');
  if (request.method !== 'POST' && request.method !== 'GET') {
    return refuse(response, 405, 'only GET and POST', 'GET, POST');
  }
  if (
    request.method === 'POST' &&
    !/^application\/(graphql\+)?json\s*(;\s*charset=utf-?8\s*)?$/i.test(
      request.headers['content-type'] ?? '',
    )
  ) {
    return refuse(response, 415, 'send application/json in UTF-8');
  }
  const body = request.method === 'POST' ? await readBody(request) : undefined;
  if (body === 'too large') {
    response.setHeader('connection', 'close');
    return refuse(response, 413, `a body is at most ${documentLimits.bodyBytes} bytes`);
  }
  await answer(yoga, exchange, body);
}

async function answer(
  yoga: YogaServerInstance<object, object>,
  { request, response }: Exchange,
  body: Buffer | undefined,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const query = (request.url ?? '').split('?')[1];
  const result = await yoga.fetch(
    `http://localhost/graphql${query === undefined ? '' : `?${query}`}`,
    {
      method: request.method ?? 'GET',
      headers: {
        accept: request.headers.accept ?? 'application/json',
        'content-type': 'application/json',
      },
      signal: gone.signal,
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    },
  );
  response.statusCode = result.status;
  result.headers.forEach((value, name) => response.setHeader(name, value));
  if (result.body === null) response.end();
  else await pipeline(Readable.from(result.body as AsyncIterable<Uint8Array>), response);
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'too large'> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > documentLimits.bodyBytes) return 'too large';
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function refuse(response: ServerResponse, status: number, message: string, allow?: string): void {
  response.statusCode = status;
  if (allow !== undefined) response.setHeader('allow', allow);
  response.setHeader('content-type', 'application/problem+json');
  response.end(JSON.stringify({ status, title: message }));
}
