// The bytes of snapshots over HTTP, for clients that speak GraphQL and can not carry them in it: GET gives one, PUT takes
// one. What is asked goes in the query, so that a redirect or a proxy keeps it.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ErrorCode, EtlError, type Logger, toEtlError } from '@etl-router/core';
import type { Backups } from '../../server/backups.ts';
import { type Compression, compress, compressions } from '../../server/compression.ts';

/** Path below which they are. */
export const backupsPath = '/backups/';

const statuses: { readonly [code in ErrorCode]?: number } = {
  ETL_CANCELLED: 499,
  ETL_CONFLICT: 409,
  ETL_INVALID_ARGUMENT: 400,
  ETL_LIMIT_EXCEEDED: 413,
  ETL_NOT_FOUND: 404,
  ETL_STORAGE_FAILED: 503,
  ETL_TIMEOUT: 408,
  ETL_UNAVAILABLE: 503,
  ETL_UNSUPPORTED: 501,
};

/** Answers a request below {@link backupsPath}. */
export async function handleBackup(
  backups: Backups,
  logger: Logger,
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse },
): Promise<void> {
  const { request, response } = exchange;
  try {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const id = decodeURIComponent(url.pathname.slice(backupsPath.length));
    if (request.method === 'GET') await give(backups, { id, url, response });
    else if (request.method === 'PUT') await take(backups, { id, url, request, response });
    else {
      response.setHeader('allow', 'GET, PUT');
      refuse(response, 405, { title: 'only GET and PUT' });
    }
  } catch (error) {
    const failure = error instanceof URIError ? malformed() : toEtlError(error);
    if (failure.code === 'ETL_INTERNAL') logger.error({ err: error }, 'a snapshot was not sent');
    if (response.headersSent) response.destroy();
    else {
      // What still comes of the request is not read.
      response.setHeader('connection', 'close');
      const { code, message } = failure;
      const title = code === 'ETL_INTERNAL' ? 'internal error' : message;
      refuse(response, statuses[code] ?? 500, { title, code });
    }
  }
}

async function give(
  backups: Backups,
  {
    id,
    url,
    response,
  }: { readonly id: string; readonly url: URL; readonly response: ServerResponse },
): Promise<void> {
  const compression = compressionOf(url);
  await backups.get(id);
  response.setHeader('content-type', 'application/octet-stream');
  await pipeline(Readable.from(compress(backups.read(id), compression)), response);
}

async function take(
  backups: Backups,
  {
    id,
    url,
    request,
    response,
  }: {
    readonly id: string;
    readonly url: URL;
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
  },
): Promise<void> {
  if (request.headers['content-type'] !== 'application/octet-stream')
    throw new EtlError('ETL_INVALID_ARGUMENT', 'send application/octet-stream');
  const gone = new AbortController();
  request.once('close', () => {
    if (!request.complete) gone.abort();
  });
  const expected = {
    id,
    bytes: Number(url.searchParams.get('size') ?? Number.NaN),
    sha256: url.searchParams.get('sha256') ?? '',
    compression: compressionOf(url),
  };
  if (!Number.isSafeInteger(expected.bytes))
    throw new EtlError('ETL_INVALID_ARGUMENT', 'size: must be the number of bytes');
  await backups.receive(expected, request, gone.signal);
  response.statusCode = 201;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ id }));
}

function compressionOf(url: URL): Compression {
  const asked = url.searchParams.get('compression') ?? 'none';
  const known = compressions.find((each) => each === asked);
  if (known !== undefined) return known;
  throw new EtlError('ETL_INVALID_ARGUMENT', `compression: must be ${compressions.join(', ')}`);
}

function malformed(): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', 'snapshot_id: is not well encoded');
}

function refuse(
  response: ServerResponse,
  status: number,
  problem: { readonly title: string; readonly code?: ErrorCode },
): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/problem+json');
  response.end(JSON.stringify({ status, ...problem }));
}
