// The backups that a member keeps: one folder each, with the bytes and what is to be known of them. A folder appears
// whole or not at all. Names come from callers, so they are checked here, where they become paths.

import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { EtlError } from '@etl-router/core';
import { type BackupCounts, backupFormatVersion } from './backup-file.ts';
import { errorCode, onDisk } from './disk.ts';
import { nodeDisk } from './node-disk.ts';

/** What is to be known of a backup. */
export interface BackupInfo extends Readonly<BackupCounts> {
  readonly id: string;
  readonly bytes: number;
  /** Of those bytes, in hexadecimal. */
  readonly sha256: string;
  readonly clusterId: string;
  readonly index: number;
  readonly term: number;
  readonly createdAtMs: number;
  readonly formatVersion: number;
}

/** What a store holds at most. */
export interface BackupLimits {
  readonly backups: number;
  /** Of one. */
  readonly bytes: number;
  /** Of all. */
  readonly totalBytes: number;
}

/** A backup that is being written. */
export interface BackupWriter {
  /** Throws ETL_LIMIT_EXCEEDED where it becomes too large. */
  write(chunk: Uint8Array): Promise<void>;
  readonly bytes: number;
}

/** What its maker says of a backup. */
export type BackupFacts = Omit<BackupInfo, 'id' | 'bytes' | 'sha256' | 'formatVersion'>;

/** Bytes read at a time. */
export const backupPieceBytes: number = 512 * 1024;
/** What a member keeps, unless it is told otherwise. */
export const backupLimits: BackupLimits = {
  backups: 100,
  bytes: 1024 ** 3,
  totalBytes: 8 * 1024 ** 3,
};

const nameOfBackup = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/;
const contentName = 'state';
const metadataName = 'metadata.json';

/** Throws ETL_INVALID_ARGUMENT unless it can be the name of a backup. */
export function checkBackupId(id: string): void {
  if (nameOfBackup.test(id)) return;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    'snapshot_id: must be 1 to 128 letters, digits and . _ -, and not begin with "."',
    { details: { field: 'snapshot_id' } },
  );
}

/** The backups in a folder. */
export class BackupStore {
  readonly limits: BackupLimits;
  readonly #directory: string;
  #written = 0;
  /** Bytes of those that are being written. */
  #reservedBytes = 0;

  private constructor(directory: string, limits: BackupLimits) {
    this.#directory = directory;
    this.limits = limits;
  }

  /** Opens the folder, which need not exist, and removes what a crash left. */
  static async open(directory: string, limits: BackupLimits = backupLimits): Promise<BackupStore> {
    const names = await onDisk('list', directory, () => nodeDisk.list(directory));
    for (const name of names.filter((each) => each.startsWith('.'))) {
      await remove(`${directory}/${name}`);
    }
    return new BackupStore(directory, limits);
  }

  /** The newest first. */
  async list(): Promise<readonly BackupInfo[]> {
    const found = await Promise.all((await this.#names()).map((id) => this.#read(id)));
    return found
      .filter((info) => info !== undefined)
      .sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : 1));
  }

  /** Throws ETL_NOT_FOUND. */
  async get(id: string): Promise<BackupInfo> {
    checkBackupId(id);
    const info = await this.#read(id);
    if (info !== undefined) return info;
    throw new EtlError('ETL_NOT_FOUND', `snapshot ${id} does not exist at this router`, {
      details: { what: 'snapshot', id },
    });
  }

  /** Its bytes from `offset` on, some at a time. */
  async *read(id: string, offset = 0): AsyncGenerator<Uint8Array> {
    checkBackupId(id);
    const path = this.#path(id, contentName);
    const file = await onDisk('open', path, () => open(path, 'r'));
    try {
      for (let at = offset; ; ) {
        const piece = Buffer.allocUnsafe(backupPieceBytes);
        const { bytesRead } = await onDisk('read', path, () =>
          file.read(piece, 0, piece.length, at),
        );
        if (bytesRead === 0) return;
        at += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  /**
   * Keeps what `produce` writes, durably, or nothing at all where it throws. Throws ETL_CONFLICT for a name that is taken
   * and ETL_LIMIT_EXCEEDED where there is no room.
   */
  async add(
    id: string,
    produce: (writer: BackupWriter) => Promise<BackupFacts>,
  ): Promise<BackupInfo> {
    checkBackupId(id);
    const room = await this.#room(id);
    this.#written += 1;
    const folder = `${this.#directory}/.new-${this.#written}`;
    await onDisk('create', this.#directory, () => nodeDisk.makeDirectory(this.#directory));
    await remove(folder);
    await onDisk('create', folder, () => mkdir(folder, { mode: 0o700 }));
    const writer = new FolderWriter(room, this.limits, (bytes) => {
      this.#reservedBytes += bytes;
    });
    try {
      await writer.open(`${folder}/${contentName}`);
      const info = await this.#fill(id, writer, produce);
      await writer.close();
      await writeDurably(`${folder}/${metadataName}`, renderInfo(info));
      await onDisk('sync', folder, () => nodeDisk.syncDirectory(folder));
      await this.#publish(folder, id);
      return info;
    } catch (error) {
      await writer.close();
      await remove(folder);
      throw error;
    } finally {
      this.#reservedBytes -= writer.bytes;
    }
  }

  /** Removes a backup; one that is not there is no error. Who reads it goes on to its end. */
  async delete(id: string): Promise<void> {
    checkBackupId(id);
    this.#written += 1;
    const gone = `${this.#directory}/.gone-${this.#written}`;
    try {
      await rename(this.#path(id), gone);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw error;
    }
    await onDisk('sync', this.#directory, () => nodeDisk.syncDirectory(this.#directory));
    await remove(gone);
  }

  async #fill(
    id: string,
    writer: FolderWriter,
    produce: (writer: BackupWriter) => Promise<BackupFacts>,
  ): Promise<BackupInfo> {
    const facts = await produce(writer);
    const { bytes, sha256 } = await writer.finish();
    return { id, bytes, sha256, formatVersion: backupFormatVersion, ...facts };
  }

  async #publish(folder: string, id: string): Promise<void> {
    await onDisk('rename', folder, async () => {
      try {
        await rename(folder, this.#path(id));
      } catch (error) {
        if (['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) throw taken(id);
        throw error;
      }
      await nodeDisk.syncDirectory(this.#directory);
    });
  }

  /** Bytes that one more may take. */
  async #room(id: string): Promise<number> {
    const all = await this.list();
    if (all.some((each) => each.id === id)) throw taken(id);
    const { backups, totalBytes } = this.limits;
    const kept = all.reduce((sum, { bytes }) => sum + bytes, 0);
    const room = totalBytes - kept - this.#reservedBytes;
    if (all.length < backups && room > 0) return room;
    throw new EtlError(
      'ETL_LIMIT_EXCEEDED',
      `this router keeps ${all.length} snapshots of ${kept} bytes; at most ${backups} of ${totalBytes}: delete some first`,
      { details: { limit: backups, limitBytes: totalBytes } },
    );
  }

  async #names(): Promise<readonly string[]> {
    const names = await onDisk('list', this.#directory, () =>
      readdir(this.#directory).catch((error: unknown) => {
        if (errorCode(error) === 'ENOENT') return [];
        throw error;
      }),
    );
    return names.filter((name) => nameOfBackup.test(name));
  }

  /** Undefined: it is not there, or not one of ours. */
  async #read(id: string): Promise<BackupInfo | undefined> {
    try {
      return parseInfo(id, await readFile(this.#path(id, metadataName), 'utf8'));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  #path(id: string, file = ''): string {
    return file === '' ? `${this.#directory}/${id}` : `${this.#directory}/${id}/${file}`;
  }
}

class FolderWriter implements BackupWriter {
  bytes = 0;
  readonly #hash: Hash = createHash('sha256');
  readonly #room: number;
  readonly #limits: BackupLimits;
  readonly #reserve: (bytes: number) => void;
  #path = '';
  #file: FileHandle | undefined;

  constructor(room: number, limits: BackupLimits, reserve: (bytes: number) => void) {
    this.#room = room;
    this.#limits = limits;
    this.#reserve = reserve;
  }

  async open(path: string): Promise<void> {
    this.#path = path;
    this.#file = await onDisk('create', path, () => open(path, 'wx', 0o600));
  }

  async write(chunk: Uint8Array): Promise<void> {
    const after = this.bytes + chunk.length;
    const most = Math.min(this.#room, this.#limits.bytes);
    if (after > most) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `the snapshot passes ${most} bytes: one has at most ${this.#limits.bytes}, all together ${this.#limits.totalBytes}`,
        { details: { limitBytes: most } },
      );
    }
    this.#reserve(chunk.length);
    this.bytes = after;
    this.#hash.update(chunk);
    await onDisk('write', this.#path, async () => {
      for (let at = 0; at < chunk.length; ) {
        const written = await this.#file?.write(chunk, at);
        at += written?.bytesWritten ?? chunk.length;
      }
    });
  }

  async finish(): Promise<{ readonly bytes: number; readonly sha256: string }> {
    await onDisk('sync', this.#path, async () => this.#file?.sync());
    return { bytes: this.bytes, sha256: this.#hash.digest('hex') };
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

function renderInfo({ revision, ...info }: BackupInfo): string {
  return `${JSON.stringify({ ...info, revision: String(revision) }, undefined, 2)}\n`;
}

function parseInfo(id: string, text: string): BackupInfo | undefined {
  try {
    const info = JSON.parse(text) as BackupInfo & { readonly revision: string };
    return { ...info, id, revision: BigInt(info.revision) };
  } catch {
    return undefined;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await onDisk('write', path, async () => {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

async function remove(path: string): Promise<void> {
  await onDisk('remove', path, () => rm(path, { recursive: true, force: true }));
}

function taken(id: string): EtlError {
  return new EtlError(
    'ETL_CONFLICT',
    `snapshot ${id} exists already; delete it or use another id`,
    {
      details: { what: 'snapshot', id },
    },
  );
}
