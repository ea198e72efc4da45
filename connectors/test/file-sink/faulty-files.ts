// A file system over the real one that runs out of space or fails where a test tells it to.

import { type FileSystem, realFileSystem, type StoredFile } from '../../src/file-sink/files.ts';

/** Which call fails next, by what it is called on. */
export class FaultyFiles implements FileSystem {
  /** Bytes that may still be written in all; what passes them is cut and fails. */
  spaceBytes = Infinity;
  /** Fails the next call of that name on a path that ends so. */
  fault:
    | {
        readonly call: 'datasync' | 'sync' | 'rename' | 'open' | 'truncate';
        readonly ending: string;
      }
    | undefined;

  size(path: string): Promise<number | undefined> {
    return realFileSystem.size(path);
  }

  makeDirectory(path: string): Promise<void> {
    return realFileSystem.makeDirectory(path);
  }

  remove(path: string): Promise<void> {
    return realFileSystem.remove(path);
  }

  async open(path: string, flags: string): Promise<StoredFile> {
    this.#hit('open', path);
    const file = await realFileSystem.open(path, flags);
    return {
      write: async (bytes, from, length, position) => {
        const allowed = Math.min(length, this.spaceBytes);
        this.spaceBytes -= allowed;
        if (allowed === 0 && length > 0) throw failure('ENOSPC');
        return file.write(bytes, from, allowed, position);
      },
      read: (into, from, length, position) => file.read(into, from, length, position),
      truncate: async (length) => {
        this.#hit('truncate', path);
        await file.truncate(length);
      },
      datasync: async () => {
        this.#hit('datasync', path);
        await file.datasync();
      },
      sync: async () => {
        this.#hit('sync', path);
        await file.sync();
      },
      close: () => file.close(),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    this.#hit('rename', from);
    await realFileSystem.rename(from, to);
  }

  #hit(call: string, path: string): void {
    if (this.fault?.call !== call || !path.endsWith(this.fault.ending)) return;
    this.fault = undefined;
    throw failure('EIO');
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: made up`), { code });
}
