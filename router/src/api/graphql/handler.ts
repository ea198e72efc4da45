// GraphQL over HTTP by graphql-yoga, with what it leaves open closed: bounded bodies, JSON only (so that no web page
// can send a mutation with a form), no cross-origin access, masked internal errors, and /health beside it.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Logger } from '@etl-router/core';
import type { Gate } from '../access/gate.ts';
import { admit } from '../access/refusals.ts';
import { consistencyHeader } from '../consistency.ts';
import { backupsPath, handleBackup } from '../http/backups.ts';
import type { Admitted } from './access.ts';
import type { GraphQlEngine } from './engine.ts';
import type { RouterContext } from './resolvers/context.ts';
import { requestIdHeader } from './resolvers/request.ts';

export interface GraphQlOptions {
  /** What the resolvers read and change. */
  readonly context: RouterContext;
  readonly logger: Logger;
  /** What `/health` says. */
  readonly health: () => { readonly status: string; readonly [field: string]: unknown };
  /** Who may come in; undefined: everybody. `/health` stays open. */
  readonly gate?: Gate | undefined;
}

export interface GraphQlHandler {
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Loads what the first request would wait for. */
  readonly load: () => Promise<void>;
}

/** The handler of the HTTP port: `POST /graphql` (and `/`), subscriptions over SSE, GraphiQL, `/health`, `/backups/`. */
export function createGraphQlHandler(options: GraphQlOptions): GraphQlHandler {
  const engine = loadEngine(options);
  return {
    handle: (request, response) => {
      handle(engine, options, { request, response }).catch((error: unknown) => {
        options.logger.debug({ err: error }, 'request ended early');
        response.destroy();
      });
    },
    load: async () => {
      const loaded = await engine();
      // The schema is checked at the first document.
      await loaded.fetch('http://localhost/graphql?query={__typename}', {}, {});
    },
  };
}

/** Loads at the first call. */
function loadEngine({ context, logger, gate }: GraphQlOptions): () => Promise<GraphQlEngine> {
  let loading: Promise<GraphQlEngine> | undefined;
  return () => {
    if (loading === undefined) {
      loading = import('./engine.ts').then(({ createEngine }) =>
        createEngine(context, logger, gate),
      );
      loading.catch((error: unknown) => logger.error({ err: error }, 'GraphQL can not be loaded'));
    }
    return loading;
  };
}

/** A manifest of 1 MiB fits, escaped. */
const maxBodyBytes = 4 * 1024 * 1024;
/** Snapshots may take longer to come, which is up to the server. */
const bodyTimeoutMs = 30_000;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function handle(
  engine: () => Promise<GraphQlEngine>,
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
  const admitted = await admittedOf(options, exchange, path);
  if (admitted === undefined) return;
  if (path?.startsWith(backupsPath)) {
    await handleBackup(options.context.router.backups, options.logger, exchange);
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
    return refuse(response, 413, `a body is at most ${maxBodyBytes} bytes`);
  }
  await answer(await engine(), options, { ...exchange, ...admitted, body });
}

/**
 * Who comes in; undefined: they were refused. A snapshot holds all there is, which is more than queries show: taking one
 * along needs the right to change, as making one does.
 */
async function admittedOf(
  { gate, logger }: GraphQlOptions,
  exchange: Exchange,
  path: string | undefined,
): Promise<Admitted | undefined> {
  if (gate === undefined) return {};
  const verb = path?.startsWith(backupsPath) === true ? 'update' : undefined;
  const caller = await admit({ gate, ...exchange, logger, verb });
  return caller && { caller };
}

async function answer(
  engine: GraphQlEngine,
  { gate, context }: GraphQlOptions,
  { request, response, caller, body }: Exchange & Admitted & { readonly body: Buffer | undefined },
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const query = (request.url ?? '').split('?')[1];
  const result = await engine.fetch(
    `http://localhost/graphql${query === undefined ? '' : `?${query}`}`,
    {
      method: request.method ?? 'GET',
      headers: {
        accept: request.headers.accept ?? 'application/json',
        'content-type': 'application/json',
        ...headersOf(request),
      },
      signal: gone.signal,
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    },
    { caller },
  );
  response.statusCode = result.status;
  result.headers.forEach((value, name) => response.setHeader(name, value));
  if (result.body === null) {
    response.end();
    return;
  }
  const unwatch = gate?.watch(request, context.clock, () => response.destroy());
  try {
    await pipeline(Readable.from(result.body as AsyncIterable<Uint8Array>), response);
  } finally {
    unwatch?.();
  }
}

/** Of the caller's headers these alone mean something to the engine. */
function headersOf({ headers }: IncomingMessage): { readonly [header: string]: string } {
  const names = [consistencyHeader, requestIdHeader];
  return Object.fromEntries(
    names.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  );
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'too large'> {
  const chunks: Buffer[] = [];
  let size = 0;
  const late = AbortSignal.timeout(bodyTimeoutMs);
  late.addEventListener('abort', () => request.destroy(new Error('the body came too slowly')));
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > maxBodyBytes) return 'too large';
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
