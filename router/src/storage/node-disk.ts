// The machine's disk. The callback calls of node:fs are wrapped here once: the promise calls of a FileHandle cost
// about as much again as a small write.

import * as fs from 'node:fs';
import { mkdir, readdir, rename, unlink } from 'node:fs/promises';
import {
  type Disk,
  type DiskFile,
  type DiskLock,
  directoryOf,
  errorCode,
  type OpenMode,
} from './disk.ts';

const flags: { readonly [mode in OpenMode]: string } = { read: 'r', update: 'r+', create: 'w+' };

/** What is written without a detour over another thread. */
const inPlaceMaxBytes: number = 64 * 1024;

/** The disk of this machine. */
export const nodeDisk: Disk = {
  async list(directory) {
    try {
      return (await readdir(directory)).sort();
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    }
  },
  async makeDirectory(directory) {
    const first = await mkdir(directory, { recursive: true });
    if (first === undefined) return;
    for (let path = directory; path.length >= first.length; path = directoryOf(path)) {
      await syncDirectory(directoryOf(path));
      if (path === directoryOf(path)) break;
    }
  },
  async open(path, mode) {
    return new NodeFile(await openFile(path, flags[mode]));
  },
  rename,
  remove: unlink,
  syncDirectory,
  lock: lockDirectory,
};

class NodeFile implements DiskFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.fstat(this.#fd, (error, stat) => (error ? reject(error) : resolve(stat.size))),
    );
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const count = await this.#readSome(buffer, done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return buffer.subarray(0, done);
  }

  async write(offset: number, chunks: readonly Uint8Array[]): Promise<void> {
    let at = offset;
    const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
    if (bytes <= inPlaceMaxBytes) return this.#writeInPlace(offset, chunks);
    for (const chunk of chunks) {
      for (let done = 0; done < chunk.length; ) {
        const count = await this.#writeSome(chunk, done, at);
        done += count;
        at += count;
      }
    }
  }

  /** A few pages go to the memory of the system, which takes less than to hand them to another thread. */
  #writeInPlace(offset: number, chunks: readonly Uint8Array[]): void {
    let at = offset;
    for (const chunk of chunks) {
      for (let done = 0; done < chunk.length; ) {
        const count = fs.writeSync(this.#fd, chunk, done, chunk.length - done, at);
        done += count;
        at += count;
      }
    }
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.fdatasync(this.#fd, (error) => (error ? reject(error) : resolve())),
    );
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.close(this.#fd, (error) => (error ? reject(error) : resolve())),
    );
  }

  #readSome(buffer: Uint8Array, start: number, position: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.read(this.#fd, buffer, start, buffer.length - start, position, (error, count) =>
        error ? reject(error) : resolve(count),
      ),
    );
  }

  #writeSome(chunk: Uint8Array, start: number, position: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.write(this.#fd, chunk, start, chunk.length - start, position, (error, count) =>
        error ? reject(error) : resolve(count),
      ),
    );
  }
}

function openFile(path: string, flag: string): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.open(path, flag, 0o600, (error, fd) => (error ? reject(error) : resolve(fd))),
  );
}

async function syncDirectory(directory: string): Promise<void> {
  const fd = await openFile(directory, 'r');
  try {
    await new Promise<void>((resolve, reject) =>
      fs.fsync(fd, (error) => (error ? reject(error) : resolve())),
    );
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Node has no call for a file lock, LevelDB has: it locks the file LOCK of its directory with fcntl, within the
 * process too. The database stays empty.
 */
async function lockDirectory(directory: string): Promise<DiskLock | undefined> {
  // Loaded only where a directory is locked: the thread of the log locks none, and goes without.
  const { Level } = await import('level');
  const database = new Level(directory);
  try {
    await database.open();
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (errorCode(cause) === 'LEVEL_LOCKED') return undefined;
    throw cause ?? error;
  }
  return { release: () => database.close() };
}
