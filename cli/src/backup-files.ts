// Backups in a folder: one folder each, with the bytes and metadata.json. One appears whole or not at all, and is read
// only as what its metadata says: a backup that was cut or changed is refused before a router sees it.

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { EtlError, toEtlError } from '@etl-router/core';

export const compressions = ['zstd', 'gzip', 'none'] as const;
export type Compression = (typeof compressions)[number];

/** What metadata.json says of a backup. */
export interface BackupMetadata {
  readonly version: '1';
  readonly backup_id: string;
  readonly router_endpoint: string;
  readonly cluster_id: string;
  readonly commit_index: string;
  readonly term: string;
  readonly revision: string;
  readonly format_version: number;
  readonly created_at: string;
  readonly objects: number;
  readonly pipelines: number;
  readonly lanes: number;
  /** Of the bytes without compression. */
  readonly size_bytes: number;
  readonly sha256: string;
  readonly compression: Compression;
  /** The file beside, and its own size. */
  readonly file: string;
  readonly file_bytes: number;
}

const metadataName = 'metadata.json';
const fileNames = { zstd: 'state.zst', gzip: 'state.gz', none: 'state' } as const;
const nameOfBackup = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/;
const maxMetadataBytes = 64 * 1024;

/** The folder that `--dest` or `--source` names. Throws ETL_UNSUPPORTED for object stores. */
export function folderOf(flag: string, location: string): string {
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(location) ?? [];
  if (scheme === undefined && location !== '') return resolve(location);
  if (scheme === 's3' || scheme === 'gs') {
    throw new EtlError(
      'ETL_UNSUPPORTED',
      `${flag}: ${scheme}:// is not built in; give a folder or a file:// URL and copy it from there`,
    );
  }
  try {
    if (scheme === 'file') return fileURLToPath(location);
  } catch {
    // A host in it, or an escape that is none: refused below.
  }
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `${flag}: ${JSON.stringify(location)} is neither a folder nor a file:// URL`,
  );
}

/** Throws ETL_INVALID_ARGUMENT unless it can be the name of a backup. */
export function checkBackupId(id: string): void {
  if (nameOfBackup.test(id)) return;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `${JSON.stringify(id)} is no name of a backup: 1 to 128 letters, digits and . _ -, not beginning with "."`,
  );
}

/** What a folder holds. */
export interface BackupList {
  /** The newest first. */
  readonly backups: readonly BackupMetadata[];
  /** Why the others can not be read: one that is damaged hides no other. */
  readonly failures: readonly EtlError[];
}

/** All backups of a folder. */
export async function listBackups(folder: string): Promise<BackupList> {
  const names = await onFolder(folder, () => readdir(folder));
  const backups: BackupMetadata[] = [];
  const failures: EtlError[] = [];
  for (const id of names.filter((name) => nameOfBackup.test(name)).toSorted()) {
    try {
      const metadata = await readMetadata(folder, id);
      if (metadata !== undefined) backups.push(metadata);
    } catch (error) {
      failures.push(toEtlError(error));
    }
  }
  backups.sort(
    (a, b) => b.created_at.localeCompare(a.created_at) || (a.backup_id < b.backup_id ? -1 : 1),
  );
  return { backups, failures };
}

/** Throws ETL_NOT_FOUND, or ETL_STORAGE_CORRUPT where its metadata can not be read. */
export async function getBackup(folder: string, id: string): Promise<BackupMetadata> {
  checkBackupId(id);
  const metadata = await readMetadata(folder, id);
  if (metadata !== undefined) return metadata;
  throw new EtlError('ETL_NOT_FOUND', `there is no backup ${id} in ${folder}`);
}

export interface NewBackup {
  readonly folder: string;
  readonly id: string;
  readonly force: boolean;
  readonly compression: Compression;
  readonly facts: Omit<BackupMetadata, 'file' | 'file_bytes' | 'compression'>;
  readonly bytes: Readable;
  readonly signal: AbortSignal;
}

/** Throws ETL_CONFLICT where a backup of that name is there, and may not be replaced. */
export async function checkIsNew(folder: string, id: string, force: boolean): Promise<void> {
  if (force || !(await exists(join(folder, id)))) return;
  throw new EtlError('ETL_CONFLICT', `${join(folder, id)} exists already; --force replaces it`);
}

/** Writes a backup and proves what it wrote; leaves nothing behind where it fails. */
export async function writeBackup(backup: NewBackup): Promise<BackupMetadata> {
  const { folder, id, compression, facts, signal } = backup;
  const part = join(folder, `.${id}.${randomBytes(4).toString('hex')}.part`);
  await onFolder(folder, async () => {
    await makeFolder(folder);
    await mkdir(part, { mode: 0o700 });
  });
  try {
    const file = fileNames[compression];
    const path = join(part, file);
    await onFolder(path, async () =>
      pipeline(backup.bytes, createWriteStream(path, { mode: 0o600, flush: true }), { signal }),
    );
    const { size: fileBytes } = await stat(path);
    const metadata: BackupMetadata = { ...facts, compression, file, file_bytes: fileBytes };
    await proveBackup(part, metadata, signal);
    await onFolder(part, async () => {
      const text = `${JSON.stringify(metadata, undefined, 2)}\n`;
      await writeFile(join(part, metadataName), text, { mode: 0o600, flush: true });
      await syncFolder(part);
      await publish(part, backup);
    });
    return metadata;
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

/** Node's own recursion never ends where a file system has no folders to give, such as /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || (await exists(dirname(path)))) throw error;
    await makeFolder(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
}

async function publish(part: string, { folder, id, force }: NewBackup): Promise<void> {
  await checkIsNew(folder, id, force);
  const old = `${part}.old`;
  if (force && (await exists(join(folder, id)))) await rename(join(folder, id), old);
  await rename(part, join(folder, id));
  await rm(old, { recursive: true, force: true });
  await syncFolder(folder);
}

/** The bytes of a backup as they stand in its file. */
export function openBackup(folder: string, { backup_id: id, file }: BackupMetadata): Readable {
  return createReadStream(join(folder, id, file));
}

/** Throws ETL_STORAGE_CORRUPT unless the file in `directory` is what the metadata says. */
export async function proveBackup(
  directory: string,
  metadata: BackupMetadata,
  signal: AbortSignal,
): Promise<void> {
  const { file, compression, size_bytes: size, sha256 } = metadata;
  const path = join(directory, file);
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    await checkIsFile(path);
    const source = createReadStream(path, { signal });
    for await (const chunk of plain(source, compression)) {
      bytes += chunk.length;
      if (bytes > size) break;
      hash.update(chunk);
    }
  } catch (error) {
    if (signal.aborted) throw new EtlError('ETL_CANCELLED', 'interrupted', { cause: error });
    throw damaged(path, `it can not be read (${reasonOf(error)})`, error);
  }
  if (bytes !== size) {
    const some = bytes > size ? `more than ${size}` : String(bytes);
    throw damaged(path, `it has ${some} bytes, and ${size} are said`);
  }
  if (hash.digest('hex') !== sha256) throw damaged(path, 'its content does not match its SHA-256');
}

async function* plain(source: Readable, compression: Compression): AsyncGenerator<Buffer> {
  const transform: Transform | undefined =
    compression === 'zstd'
      ? createZstdDecompress()
      : compression === 'gzip'
        ? createGunzip()
        : undefined;
  if (transform !== undefined) source.on('error', (error) => transform.destroy(error));
  try {
    yield* (transform === undefined ? source : source.pipe(transform)) as AsyncIterable<Buffer>;
  } finally {
    source.destroy();
    transform?.destroy();
  }
}

/** Removes a backup, damaged ones too. */
export async function deleteBackup(folder: string, id: string): Promise<void> {
  checkBackupId(id);
  const gone = join(folder, `.${id}.${randomBytes(4).toString('hex')}.part`);
  await onFolder(join(folder, id), () => rename(join(folder, id), gone));
  await onFolder(gone, () => rm(gone, { recursive: true, force: true }));
}

/** Undefined: there is none. */
async function readMetadata(folder: string, id: string): Promise<BackupMetadata | undefined> {
  const path = join(folder, id, metadataName);
  try {
    const { size } = await checkIsFile(path);
    if (size > maxMetadataBytes) throw new Error('it is too large');
    const metadata = JSON.parse(await readFile(path, 'utf8')) as BackupMetadata;
    if (isMetadata(metadata)) return { ...metadata, backup_id: id };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (['ENOENT', 'ENOTDIR'].includes(code)) return undefined;
    throw damaged(path, reasonOf(error), error);
  }
  throw damaged(path, 'it is not of a backup that this etlctl knows');
}

/** Reading a pipe or a device may never end. */
async function checkIsFile(path: string): Promise<Stats> {
  const stats = await stat(path);
  if (!stats.isFile()) throw new Error('it is no regular file');
  return stats;
}

function isMetadata(metadata: BackupMetadata): boolean {
  const { version, compression, file, sha256, size_bytes: bytes, created_at: at } = metadata;
  return (
    version === '1' &&
    compressions.includes(compression) &&
    file === fileNames[compression] &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    Number.isSafeInteger(bytes) &&
    typeof metadata.cluster_id === 'string' &&
    !Number.isNaN(Date.parse(at))
  );
}

function damaged(path: string, why: string, cause?: unknown): EtlError {
  return new EtlError('ETL_STORAGE_CORRUPT', `${path} is no whole backup: ${why}`, { cause });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Runs `work` on a path; a failure of the file system becomes an error that names it. */
async function onFolder<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (name === 'AbortError') throw new EtlError('ETL_CANCELLED', 'interrupted', { cause: error });
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    const kind = code === 'ENOENT' ? 'ETL_NOT_FOUND' : 'ETL_STORAGE_FAILED';
    throw new EtlError(kind, `${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
