// Opens and closes HTTP servers: bounded headers, bounded waiting, and an error that names the flag of a taken port.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { EtlError } from '@etl-router/core';
import { type Address, formatAddress } from '../../config/parse.ts';

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface ListenOptions {
  readonly address: Address;
  /** Flag that moves the server, for the error of a taken port. */
  readonly flag: string;
  readonly handler: RequestHandler;
  /** How long a request may take to come. Default 30,000. */
  readonly requestTimeoutMs?: number;
}

/** A server that listens. */
export interface ListeningServer {
  /** Where it listens; the port is the real one where 0 was asked for. */
  readonly address: Address;
  /** Takes no new connections, lets what is in progress end within `graceMs`, and hangs up on whoever waits. */
  close(graceMs: number): Promise<void>;
}

/** Throws ETL_PORT_IN_USE naming the flag, or ETL_CONFIG_INVALID for an address the machine does not have. */
export async function listenHttp(options: ListenOptions): Promise<ListeningServer> {
  const { address, handler } = options;
  const open = new Set<ServerResponse>();
  const server = createServer(
    {
      maxHeaderSize: 16_384,
      headersTimeout: 10_000,
      requestTimeout: options.requestTimeoutMs ?? 30_000,
      keepAliveTimeout: 5_000,
    },
    (request, response) => {
      open.add(response);
      response.once('close', () => open.delete(response));
      if (!server.listening) hangUpAfter(server, response);
      handler(request, response);
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(options, cause)));
    server.listen({ host: address.host, port: address.port }, resolve);
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return {
    address: { host: address.host, port },
    close: (graceMs) => closeServer(server, open, graceMs),
  };
}

/** The error for an address that can not be opened, whichever kind of server wanted it. */
export function listenError(
  options: Pick<ListenOptions, 'address' | 'flag'>,
  cause: unknown,
): EtlError {
  const where = formatAddress(options.address);
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') {
    return new EtlError(
      'ETL_PORT_IN_USE',
      `--${options.flag}: ${where} is in use; give another address`,
      { cause },
    );
  }
  return new EtlError(
    'ETL_CONFIG_INVALID',
    `--${options.flag}: can not listen on ${where} (${code ?? String(cause)})`,
    {
      cause,
    },
  );
}

async function closeServer(
  server: Server,
  open: ReadonlySet<ServerResponse>,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  for (const response of open) hangUpAfter(server, response);
  const deadline = AbortSignal.timeout(graceMs);
  deadline.addEventListener('abort', () => server.closeAllConnections(), { once: true });
  await closed;
}

/** Ends the connection of an answer after it: clients that keep theirs would hold up the end until they go. */
function hangUpAfter(server: Server, response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
  // One that began already promised to keep it.
  else response.once('close', () => setImmediate(() => server.closeIdleConnections()));
}
