// The file system as the sink uses it: a seam for tests that fill the disk or fail a sync.

import { mkdir, open, rename, rm, stat } from 'node:fs/promises';

/** An open file. */
export interface StoredFile {
  write(
    bytes: Uint8Array,
    from: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }>;
  read(
    into: Uint8Array,
    from: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
  truncate(length: number): Promise<void>;
  datasync(): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface FileSystem {
  open(path: string, flags: string): Promise<StoredFile>;
  /** Bytes of a regular file; undefined when there is none of that name. Throws for anything else of that name. */
  size(path: string): Promise<number | undefined>;
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
}

/** The machine's. */
export const realFileSystem: FileSystem = {
  open: (path, flags) => open(path, flags),
  async size(path) {
    try {
      const found = await stat(path);
      if (found.isFile()) return found.size;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    throw Object.assign(new Error(`${path} is not a regular file`), { code: 'ENOTSUP' });
  },
  makeDirectory: async (path) => {
    await mkdir(path, { recursive: true });
  },
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { force: true }),
};

/** Writes all of `bytes` at `position`. */
export async function writeFully(
  file: StoredFile,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Reads `length` bytes from the start. */
export async function readFully(file: StoredFile, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** Makes names that were made, changed or removed in a directory durable. */
export async function syncDirectory(files: FileSystem, path: string): Promise<void> {
  const directory = await files.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
