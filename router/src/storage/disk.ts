// All that the log and the snapshots need of a file system. The log is written against this interface alone, so that
// the simulator runs the production log on a disk that loses, tears and refuses writes (memory-disk.ts).

import { EtlError, isEtlError } from '@etl-router/core';
import { roundUp, usedBytes } from './bytes.ts';
import { sectorBytes } from './mask.ts';

/** `read`: must exist. `update`: must exist, for reading and writing. `create`: made, or emptied. */
export type OpenMode = 'read' | 'update' | 'create';

/** An open file. Calls may overlap only where their byte ranges do not. */
export interface DiskFile {
  size(): Promise<number>;
  /** The bytes at `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Writes all chunks one after the other, growing the file. On an error any part of them may be written. */
  write(offset: number, chunks: readonly Uint8Array[]): Promise<void>;
  /** Resolves when content and size would survive a power failure. Never to be tried again after an error. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Held until {@link DiskLock.release}, or until the process ends in whatever way. */
export interface DiskLock {
  release(): Promise<void>;
}

/** A file system. Paths are separated by `/`; errors are those of Node, with a `code` such as `ENOSPC`. */
export interface Disk {
  /** Names in a directory, sorted; none when it does not exist. */
  list(directory: string): Promise<readonly string[]>;
  /** Creates a directory and its parents, durably; no error when it exists. */
  makeDirectory(directory: string): Promise<void>;
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Replaces `to`. Durable after the directory is synced. */
  rename(from: string, to: string): Promise<void>;
  /** Durable after the directory is synced. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in a directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Takes the exclusive lock of a directory; undefined when another holder has it. */
  lock(directory: string): Promise<DiskLock | undefined>;
}

/** What `error` of an operation on `path` means: ETL_STORAGE_FAILED, with a way out for a full disk. */
export function storageFailed(what: string, path: string, error: unknown): EtlError {
  if (isEtlError(error)) return error;
  const code = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new EtlError(
    'ETL_STORAGE_FAILED',
    full
      ? `${what} ${path}: the disk is full (${code}); free space or enlarge the volume and start again`
      : `${what} ${path}: ${message}; nothing after it was acknowledged, check the disk and start again`,
    { cause: error, details: { file: path, reason: code ?? 'unknown' } },
  );
}

/** Damage at a byte of a file. */
export function storageCorrupt(path: string, offset: number, what: string): EtlError {
  return new EtlError(
    'ETL_STORAGE_CORRUPT',
    `${path} is damaged at byte ${offset}: ${what}; if a majority of the others is whole, replace this member by one with an empty data directory; else begin anew with empty ones and restore a backup. An older copy of the directory must not come back`,
    { details: { file: path, offset } },
  );
}

/** The `code` of a Node error. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Runs one operation on `path`, turning its error into ETL_STORAGE_FAILED. */
export async function onDisk<Result>(
  what: string,
  path: string,
  run: () => Promise<Result>,
): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw storageFailed(what, path, error);
  }
}

/** Reads a whole file; undefined when it does not exist. */
export function readWhole(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  return withFile(disk, path, async (file) => file.read(0, await file.size()));
}

/** Opens a file to read it, and closes it; undefined when it does not exist. */
export async function withFile<Result>(
  disk: Disk,
  path: string,
  read: (file: DiskFile) => Promise<Result>,
): Promise<Result | undefined> {
  let file: DiskFile;
  try {
    file = await disk.open(path, 'read');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw storageFailed('open', path, error);
  }
  try {
    return await onDisk('read', path, () => read(file));
  } finally {
    await file.close();
  }
}

const pieceBytes = 1024 * 1024;

/**
 * Reads a file up to its last byte that is not zero, with the rest of that byte's sector; undefined when it does not
 * exist. What is behind is looked at in pieces.
 */
export async function readUsed(
  disk: Disk,
  path: string,
): Promise<{ readonly bytes: Uint8Array; readonly size: number } | undefined> {
  return await withFile(disk, path, async (file) => {
    const size = await file.size();
    let end = size;
    for (let used = 0; used === 0 && end > 0; ) {
      const start = Math.max(0, end - pieceBytes);
      used = usedBytes(await file.read(start, end - start));
      end = start + used;
    }
    return { bytes: await file.read(0, Math.min(size, roundUp(end, sectorBytes))), size };
  });
}

/** Replaces a file so that after a crash it is the old one or the new one, and after the return the new one. */
export async function replaceFile(disk: Disk, path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  await onDisk('write', path, async () => {
    const file = await disk.open(temporary, 'create');
    try {
      await file.write(0, [content]);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(temporary, path);
    await disk.syncDirectory(directoryOf(path));
  });
}

/** The part before the last `/`. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? (slash === 0 ? '/' : '.') : path.slice(0, slash);
}
