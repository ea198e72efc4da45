// Keeps a second writer off the same output. The lock is a socket that the kernel closes when the process dies, by
// whatever signal, so that it is never left behind. It holds within one machine; between machines, epochs fence.

import { createHash } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { EtlError } from '@etl-router/core';

/** A lock that is held. */
export interface OutputLock {
  release(): Promise<void>;
}

/** Takes the lock of `name` in `directory`. Throws a retryable ETL_CONNECTOR_FAILED while another holds it. */
export async function lockOutput(directory: string, name: string): Promise<OutputLock> {
  const { dev, ino } = await stat(directory, { bigint: true });
  const hash = createHash('sha256').update(`${dev}:${ino}:${name}`).digest('hex').slice(0, 32);
  const address = addressOf(directory, hash);
  let server = await listen(address);
  if (server === undefined && isFile(address) && !(await answers(address))) {
    await rm(address, { force: true });
    server = await listen(address);
  }
  if (server === undefined) {
    throw new EtlError(
      'ETL_CONNECTOR_FAILED',
      `${join(directory, name)} is being written by another sink or process; stop that one, it is tried again`,
      { details: { output: join(directory, name) } },
    );
  }
  const held = server;
  return { release: () => new Promise((resolve) => held.close(() => resolve())) };
}

/** Linux has socket names outside the file system, Windows has pipes; elsewhere it is a file. */
function addressOf(directory: string, hash: string): string {
  if (process.platform === 'linux') return `\0etl-router-${hash}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\etl-router-${hash}`;
  return join(directory, `${hash.slice(0, 8)}.lock`);
}

function isFile(address: string): boolean {
  return address.endsWith('.lock');
}

/** Undefined when the address is taken. */
function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => {
      server.unref();
      resolve(server);
    });
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
