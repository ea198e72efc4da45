// The few things that dead letters and spills ask of a disk, so that the simulator can own it and lose what was not
// synced. Names are flat; the implementation on the real disk stands below.

import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** A file that grows at its end. Calls do not overlap, but reads may come at any time. */
export interface StoredFile {
  readonly size: number;
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Resolves when what was appended would survive a crash. */
  sync(): Promise<void>;
  /** Exactly `length` bytes, or fewer at the end of the file. */
  read(offset: number, length: number): Promise<Buffer>;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export interface Directory {
  /** Names of the files and directories in it, sorted; none when it does not exist. */
  list(): Promise<readonly string[]>;
  /** Opens a file, made with its directory when it is not there. The name is durable after {@link Directory.sync}. */
  open(name: string): Promise<StoredFile>;
  /** Puts `bytes` in the place of a file, whole and durable or not at all. */
  replace(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
  /** Removes the directory and all in it. */
  clear(): Promise<void>;
  sync(): Promise<void>;
  directory(name: string): Directory;
}

/** A directory on the real disk; made when the first file is opened. */
export function nodeDirectory(path: string): Directory {
  return {
    async list() {
      try {
        return (await readdir(path)).toSorted();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      }
    },
    async open(name) {
      await mkdir(path, { recursive: true });
      return openFile(join(path, name));
    },
    async replace(name, bytes) {
      await mkdir(path, { recursive: true });
      const temporary = join(path, `${name}.new`);
      const file = await open(temporary, 'w');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(path, name));
      await syncDirectory(path);
    },
    remove: (name) => rm(join(path, name), { force: true }),
    clear: () => rm(path, { recursive: true, force: true }),
    sync: () => syncDirectory(path),
    directory: (name) => nodeDirectory(join(path, name)),
  };
}

async function openFile(path: string): Promise<StoredFile> {
  const file = await open(path, 'a+');
  let { size } = await file.stat();
  return {
    get size() {
      return size;
    },
    async append(chunks) {
      let length = 0;
      for (const chunk of chunks) length += chunk.length;
      const { bytesWritten } = await file.writev(chunks as Uint8Array[]);
      if (bytesWritten !== length) {
        throw new Error(`${path}: wrote ${bytesWritten} of ${length} bytes; is the disk full?`);
      }
      size += length;
    },
    sync: () => file.datasync(),
    async read(offset, length) {
      const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, size - offset)));
      let at = 0;
      while (at < bytes.length) {
        const { bytesRead } = await file.read(bytes, at, bytes.length - at, offset + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return bytes.subarray(0, at);
    },
    async truncate(to) {
      await file.truncate(to);
      await file.sync();
      size = to;
    },
    close: () => file.close(),
  };
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
