// A directory in memory that loses on a crash what a disk may lose: bytes that were not synced, or any prefix of them,
// and names whose directory was not synced.

import type { Random } from '@etl-router/core';
import type { Directory, StoredFile } from '../storage/directory.ts';

interface MemoryFile {
  bytes: Buffer;
  /** Bytes that would survive a crash. */
  synced: number;
  /** Its name would survive a crash. */
  isNamed: boolean;
}

/** The disk that survives. */
export class MemoryDisk {
  readonly #files = new Map<string, MemoryFile>();
  /** Set to make every write and sync fail with it. */
  failure: Error | undefined;
  /** Set to lose on a crash what was synced, as a disk that lies does. */
  ignoresSync = false;
  #generation = 0;

  /** A view of the disk for one life of a process; it stops working at the next crash. */
  open(): Directory {
    return this.#view('', this.#generation);
  }

  /** Ends all views. What was not synced survives up to a random point. */
  crash(random: Random): void {
    this.#generation++;
    for (const [path, file] of this.#files) {
      if (!file.isNamed) {
        this.#files.delete(path);
        continue;
      }
      const torn = file.bytes.length - file.synced;
      file.bytes = file.bytes.subarray(0, file.synced + (torn > 0 ? random.below(torn + 1) : 0));
      file.synced = file.bytes.length;
    }
  }

  /** Bytes of all files. */
  get size(): number {
    let size = 0;
    for (const { bytes } of this.#files.values()) size += bytes.length;
    return size;
  }

  /** The names of all files. */
  get paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** The bytes of one file, to damage them. */
  bytesOf(path: string): Buffer {
    const file = this.#files.get(path);
    if (file === undefined) throw new Error(`no file ${path}`);
    return file.bytes;
  }

  #view(prefix: string, generation: number): Directory {
    const check = (): void => {
      if (generation !== this.#generation)
        throw new Error('the process that had this file is gone');
    };
    const write = (): void => {
      check();
      if (this.failure !== undefined) throw this.failure;
    };
    const lies = (): boolean => this.ignoresSync;
    const files = this.#files;
    return {
      async list() {
        check();
        const names = new Set<string>();
        for (const path of files.keys()) {
          if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0] as string);
        }
        return [...names].toSorted();
      },
      async open(name) {
        check();
        const path = prefix + name;
        const file = files.get(path) ?? { bytes: Buffer.alloc(0), synced: 0, isNamed: false };
        files.set(path, file);
        return openFile(file, { check, write, lies });
      },
      async replace(name, bytes) {
        write();
        const copy = Buffer.from(bytes);
        files.set(prefix + name, { bytes: copy, synced: copy.length, isNamed: true });
      },
      async remove(name) {
        check();
        files.delete(prefix + name);
      },
      async clear() {
        check();
        for (const path of files.keys()) if (path.startsWith(prefix)) files.delete(path);
      },
      async sync() {
        write();
        for (const [path, file] of files) if (path.startsWith(prefix)) file.isNamed = true;
      },
      directory: (name) => this.#view(`${prefix}${name}/`, generation),
    };
  }
}

function openFile(
  file: MemoryFile,
  access: {
    readonly check: () => void;
    readonly write: () => void;
    readonly lies: () => boolean;
  },
): StoredFile {
  return {
    get size() {
      return file.bytes.length;
    },
    async append(chunks) {
      access.write();
      file.bytes = Buffer.concat([file.bytes, ...chunks]);
    },
    async sync() {
      access.write();
      await Promise.resolve();
      access.write();
      if (!access.lies()) file.synced = file.bytes.length;
    },
    async read(offset, length) {
      access.check();
      return Buffer.from(file.bytes.subarray(offset, offset + length));
    },
    async truncate(size) {
      access.write();
      file.bytes = file.bytes.subarray(0, size);
      file.synced = Math.min(file.synced, size);
    },
    async close() {},
  };
}
