// A disk in memory that behaves as badly as a real one may: what is not synced can vanish, or appear in part, sector by
// sector, when the power fails; operations fail when told to. The contract suite and the simulator run the production
// log on it.

import type { Random } from '@etl-router/core';
import { type Disk, type DiskFile, type DiskLock, directoryOf, type OpenMode } from './disk.ts';

/** What an operation does, for those who let it fail. */
export type DiskOperationKind =
  | 'list'
  | 'makeDirectory'
  | 'open'
  | 'size'
  | 'read'
  | 'write'
  | 'sync'
  | 'close'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'lock';

/** An operation about to happen. */
export interface DiskOperation {
  /** From 1, over the disk's life. */
  readonly number: number;
  readonly kind: DiskOperationKind;
  readonly path: string;
}

/**
 * `power`: the operation may take effect in part, and nothing completes any more until {@link MemoryDisk.restart}.
 * Any other: the operation fails with that code, a write after some of its bytes, a sync without effect.
 */
export type DiskFault = 'power' | 'EIO' | 'ENOSPC';

export interface MemoryDiskOptions {
  readonly random: Random;
  /** Decides over the fate of every operation. */
  readonly fault?: (operation: DiskOperation) => DiskFault | undefined;
  /** When an operation completes; the simulator passes its event queue. Default: at once. */
  readonly schedule?: (operation: DiskOperation, complete: () => void) => void;
  /** Bytes of all files together; more is ENOSPC. */
  readonly capacityBytes?: number;
}

const sectorBytes = 512;

/** A file's content as it is read now, and as it would be after a power failure. */
class Inode {
  content: Uint8Array = new Uint8Array(0);
  durable: Uint8Array = new Uint8Array(0);
  /** Sectors written since the last sync. */
  readonly dirty: Set<number> = new Set();

  write(offset: number, chunk: Uint8Array): void {
    const end = offset + chunk.length;
    if (end > this.content.length) {
      const grown = new Uint8Array(end);
      grown.set(this.content);
      this.content = grown;
    }
    this.content.set(chunk, offset);
    const last = Math.floor((end - 1) / sectorBytes);
    for (let sector = Math.floor(offset / sectorBytes); sector <= last; sector++) {
      this.dirty.add(sector);
    }
  }

  sync(): void {
    this.durable = this.content.slice();
    this.dirty.clear();
  }

  /** Each sector that was not synced survives or not, and so does the size. */
  crash(random: Random): void {
    const sectors = Array.from(this.dirty).filter(() => random.below(2) === 0);
    const sectorEnd = (sector: number): number => (sector + 1) * sectorBytes;
    const least = Math.max(this.durable.length, ...sectors.map(sectorEnd));
    const size = random.below(2) === 0 ? this.content.length : Math.min(least, this.content.length);
    const image = new Uint8Array(size);
    image.set(this.durable.subarray(0, size));
    for (const sector of sectors) {
      const start = sector * sectorBytes;
      image.set(this.content.subarray(start, Math.min(sectorEnd(sector), size)), start);
    }
    this.content = image;
    this.sync();
  }
}

/** A change of names that is not durable yet. */
interface NameChange {
  readonly directory: string;
  readonly apply: (names: Map<string, Inode>) => void;
}

/** A disk that forgets. */
export class MemoryDisk implements Disk {
  readonly #options: MemoryDiskOptions;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #changes: NameChange[] = [];
  readonly #directories = new Set<string>(['.', '/']);
  readonly #locks = new Set<string>();
  #operations = 0;
  #powered = true;
  #generation = 0;
  #powerLost = Promise.withResolvers<void>();

  constructor(options: MemoryDiskOptions) {
    this.#options = options;
  }

  /** Operations so far. */
  get operations(): number {
    return this.#operations;
  }

  /** Resolves when a fault cut the power. */
  get powerLost(): Promise<void> {
    return this.#powerLost.promise;
  }

  /** Cuts the power: no operation completes any more, and open files and locks are void. */
  powerOff(): void {
    this.#powered = false;
    this.#powerLost.resolve();
  }

  /** Brings the disk back with what survived; files that were open stay void. */
  restart(): void {
    const { random } = this.#options;
    this.#generation += 1;
    this.#locks.clear();
    const directories = new Set(this.#changes.map(({ directory }) => directory));
    for (const directory of directories) {
      const changes = this.#changes.filter((change) => change.directory === directory);
      for (const { apply } of changes.slice(0, random.below(changes.length + 1))) {
        apply(this.#durableNames);
      }
    }
    this.#changes = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) inode.crash(random);
    this.#powered = true;
    this.#powerLost = Promise.withResolvers<void>();
  }

  /** Ends the process that uses the disk, as SIGKILL does: files and locks are void, and nothing is lost. */
  killHolders(): void {
    this.#generation += 1;
    this.#locks.clear();
  }

  /** Paths of all files, sorted. */
  paths(): readonly string[] {
    return [...this.#names.keys()].sort();
  }

  /** Content of a file, for a test to look at. */
  peek(path: string): Uint8Array {
    return this.#inode(path).content.slice();
  }

  /** Another disk with nothing but what is certain to survive a power failure now. */
  durableCopy(): MemoryDisk {
    const copy = new MemoryDisk({ random: this.#options.random });
    for (const [path, inode] of this.#durableNames) copy.poke(path, inode.durable);
    return copy;
  }

  /** Replaces a file durably, behind the back of whoever uses it. */
  poke(path: string, content: Uint8Array): void {
    const inode = new Inode();
    inode.content = content.slice();
    inode.sync();
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
    this.#directories.add(directoryOf(path));
  }

  /** Removes a file durably, behind the back of whoever uses it. */
  erase(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  list(directory: string): Promise<readonly string[]> {
    return this.#run('list', directory, () =>
      this.paths()
        .filter((path) => directoryOf(path) === directory)
        .map((path) => path.slice(directory.length + 1)),
    );
  }

  makeDirectory(directory: string): Promise<void> {
    return this.#run('makeDirectory', directory, () => {
      for (let path = directory; !this.#directories.has(path); path = directoryOf(path)) {
        this.#directories.add(path);
      }
    });
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#run('open', path, () => {
      if (mode === 'create') {
        if (!this.#directories.has(directoryOf(path))) throw diskError('ENOENT', path);
        const inode = new Inode();
        this.#change(path, (names) => names.set(path, inode));
      }
      return this.#file(path, this.#inode(path));
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run('rename', from, () => {
      const inode = this.#inode(from);
      this.#change(to, (names) => {
        names.delete(from);
        names.set(to, inode);
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.#run('remove', path, () => {
      this.#inode(path);
      this.#change(path, (names) => names.delete(path));
    });
  }

  syncDirectory(directory: string): Promise<void> {
    return this.#run('syncDirectory', directory, () => {
      for (const change of this.#changes) {
        if (change.directory === directory) change.apply(this.#durableNames);
      }
      this.#changes = this.#changes.filter((change) => change.directory !== directory);
    });
  }

  lock(directory: string): Promise<DiskLock | undefined> {
    return this.#run('lock', directory, () => {
      if (this.#locks.has(directory)) return undefined;
      this.#locks.add(directory);
      const generation = this.#generation;
      const release = (): Promise<void> => {
        if (generation === this.#generation) this.#locks.delete(directory);
        return Promise.resolve();
      };
      return { release };
    });
  }

  #file(path: string, inode: Inode): DiskFile {
    const generation = this.#generation;
    const run = <Result>(kind: DiskOperationKind, act: () => Result, partly?: () => void) =>
      generation === this.#generation
        ? this.#run(kind, path, act, partly)
        : new Promise<Result>(() => {});
    return {
      size: () => run('size', () => inode.content.length),
      read: (offset, length) => run('read', () => inode.content.slice(offset, offset + length)),
      write: (offset, chunks) => {
        const bytes = Buffer.concat(chunks);
        const half = bytes.subarray(0, this.#options.random.below(bytes.length + 1));
        const whole = (): void => {
          this.#checkCapacity(path, offset + bytes.length - inode.content.length);
          inode.write(offset, bytes);
        };
        return run('write', whole, () => inode.write(offset, half));
      },
      sync: () => run('sync', () => inode.sync()),
      close: () => run('close', () => {}),
    };
  }

  /**
   * Runs one operation. After a power failure, or for a holder that was killed, it never completes.
   */
  #run<Result>(
    kind: DiskOperationKind,
    path: string,
    act: () => Result,
    partly: () => void = () => {},
  ): Promise<Result> {
    if (!this.#powered) return new Promise(() => {});
    this.#operations += 1;
    const operation = { number: this.#operations, kind, path };
    const fault = this.#options.fault?.(operation);
    const generation = this.#generation;
    const { schedule = (_operation, complete) => complete() } = this.#options;
    return new Promise((resolve, reject) => {
      const complete = (settle: () => void): void =>
        schedule(operation, () => {
          if (this.#powered && generation === this.#generation) settle();
        });
      if (fault === 'power') {
        this.#perhaps(act);
        this.powerOff();
      } else if (fault !== undefined) {
        partly();
        complete(() => reject(diskError(fault, path)));
      } else {
        const attempt = (): (() => void) => {
          try {
            const result = act();
            return () => resolve(result);
          } catch (error) {
            return () => reject(error);
          }
        };
        // What is made durable is so only when it completes: the power may fail before.
        const late = kind === 'sync' || kind === 'syncDirectory';
        const settle = late ? (): void => attempt()() : attempt();
        complete(settle);
      }
    });
  }

  /** What an operation does that the power failure met. */
  #perhaps(act: () => void): void {
    if (this.#options.random.below(2) === 0) return;
    try {
      act();
    } catch {
      // It would have failed; nobody is told any more.
    }
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw diskError('ENOENT', path);
    return inode;
  }

  #change(path: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#names);
    this.#changes.push({ directory: directoryOf(path), apply });
  }

  #checkCapacity(path: string, growth: number): void {
    const { capacityBytes } = this.#options;
    if (capacityBytes === undefined || growth <= 0) return;
    let used = growth;
    for (const inode of this.#names.values()) used += inode.content.length;
    if (used > capacityBytes) throw diskError('ENOSPC', path);
  }
}

/** An error as the machine's file system raises it. */
function diskError(code: 'ENOENT' | 'EIO' | 'ENOSPC', path: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${code}: ${path}`);
  error.code = code;
  return error;
}
