// Snapshots of the state as files: written whole and durable, or not there; read in pieces and proven by their digest, or
// refused (docs/specs/0003-log-format.md, "Snapshot file").

import { createHash } from 'node:crypto';
import { assert, type EtlError, isEtlError } from '@etl-router/core';
import { readCount, viewOf, writeCount } from './bytes.ts';
import { type Disk, type DiskFile, onDisk, storageCorrupt, withFile } from './disk.ts';
import type { LogPosition } from './log-types.ts';

/** Where a member's snapshots are. */
export interface SnapshotPlace {
  readonly disk: Disk;
  readonly directory: string;
  readonly clusterId: string;
}

/** A row of the state: a key and its value. */
export type SnapshotRow = readonly [key: Uint8Array, value: Uint8Array];

/** A snapshot that was written. */
export interface SnapshotInfo {
  readonly path: string;
  readonly bytes: number;
  readonly rows: number;
  /** Hexadecimal, of all bytes before it; the last 32 bytes of the file. */
  readonly sha256: string;
}

const magic: Uint8Array = Buffer.from('ETLRSNP\n', 'latin1');
const formatVersion = 1;
const headBytes = 32;
const endMark = 0xffff_ffff;
const digestBytes = 32;
const tailBytes: number = 4 + 8 + digestBytes;
const keyMaxBytes: number = 64 * 1024;
const valueMaxBytes: number = 16 * 1024 * 1024;
const chunkBytes: number = 256 * 1024;

/** The name of the file of a snapshot. */
export function snapshotName({ index, term }: LogPosition): string {
  return `${String(index).padStart(16, '0')}-${term}.snap`;
}

/** Positions of the snapshots there are, oldest first. */
export async function listSnapshots(place: SnapshotPlace): Promise<readonly LogPosition[]> {
  const { disk, directory } = place;
  const names = await onDisk('list', directory, () => disk.list(directory));
  const positions: LogPosition[] = [];
  for (const name of names) {
    const match = /^(\d{16})-(\d+)\.snap$/.exec(name);
    if (match !== null) positions.push({ index: Number(match[1]), term: Number(match[2]) });
  }
  return positions;
}

/** Writes a snapshot. When it returns, the file would survive a power failure. */
export async function writeSnapshot(
  place: SnapshotPlace,
  position: LogPosition,
  rows: AsyncIterable<readonly SnapshotRow[]>,
): Promise<SnapshotInfo> {
  const { disk, directory } = place;
  const path = `${directory}/${snapshotName(position)}`;
  await onDisk('create', directory, () => disk.makeDirectory(directory));
  return await onDisk('write', path, async () => {
    const file = await disk.open(`${path}.tmp`, 'create');
    const writer = new SnapshotWriter(file);
    try {
      writer.push(encodeHead(place.clusterId, position));
      for await (const some of rows) {
        for (const row of some) await writer.row(row);
      }
      await writer.end();
    } finally {
      await file.close();
    }
    await disk.rename(`${path}.tmp`, path);
    await disk.syncDirectory(directory);
    return { path, bytes: writer.bytes, rows: writer.rows, sha256: writer.sha256 };
  });
}

/** Collects bytes to chunks and digests them on the way. */
class SnapshotWriter {
  bytes = 0;
  rows = 0;
  sha256 = '';
  readonly #file: DiskFile;
  readonly #hash = createHash('sha256');
  #chunks: Uint8Array[] = [];
  #pending = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  push(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#chunks.push(chunk);
    this.#pending += chunk.length;
  }

  async row(row: SnapshotRow): Promise<void> {
    this.push(encodeRowHead(row));
    this.push(row[0]);
    this.push(row[1]);
    this.rows += 1;
    if (this.#pending >= chunkBytes) await this.#flush();
  }

  async end(): Promise<void> {
    this.push(encodeEnd(this.rows));
    const digest = this.#hash.digest();
    this.sha256 = digest.toString('hex');
    this.#chunks.push(digest);
    this.#pending += digest.length;
    await this.#flush();
    await this.#file.sync();
  }

  async #flush(): Promise<void> {
    const chunk = Buffer.concat(this.#chunks, this.#pending);
    this.#chunks = [];
    this.#pending = 0;
    await this.#file.write(this.bytes, [chunk]);
    this.bytes += chunk.length;
  }
}

/** Reads a snapshot. Throws ETL_STORAGE_CORRUPT when it is missing, damaged or of another cluster. */
export async function readSnapshot(
  place: SnapshotPlace,
  position: LogPosition,
): Promise<readonly SnapshotRow[]> {
  const rows: SnapshotRow[] = [];
  await scanSnapshot(place, position, (row) => rows.push(row));
  return rows;
}

/** Reads all of a snapshot and throws ETL_STORAGE_CORRUPT where it is not what was written. */
export async function checkSnapshot(place: SnapshotPlace, position: LogPosition): Promise<void> {
  await scanSnapshot(place, position, () => {});
}

/** The value of one row of a snapshot, which is proven as a whole. Throws as {@link readSnapshot} does. */
export async function readSnapshotRow(
  place: SnapshotPlace,
  position: LogPosition,
  key: Uint8Array,
): Promise<Uint8Array | undefined> {
  let found: Uint8Array | undefined;
  await scanSnapshot(place, position, (row) => {
    if (Buffer.compare(row[0], key) === 0) found = row[1].slice();
  });
  return found;
}

/**
 * Reads a snapshot in pieces, so that nobody waits for more than one of them, and tells each row. What was told counts
 * once this returns: only then the digest is known to agree.
 */
async function scanSnapshot(
  place: SnapshotPlace,
  position: LogPosition,
  onRow: (row: SnapshotRow) => void,
): Promise<void> {
  const { disk, directory, clusterId } = place;
  const path = `${directory}/${snapshotName(position)}`;
  const isThere = await withFile(disk, path, async (file) => {
    const size = await file.size();
    if (size < headBytes + tailBytes) throw storageCorrupt(path, size, 'the file is too short');
    const digestAt = size - digestBytes;
    const scan = new SnapshotScan({ path, clusterId, position }, onRow);
    const hash = createHash('sha256');
    for (let at = 0; at < digestAt; ) {
      const piece = await file.read(at, Math.min(scan.wantedBytes, digestAt - at));
      if (piece.length === 0) throw storageCorrupt(path, at, 'the file is too short');
      hash.update(piece);
      scan.read(piece);
      at += piece.length;
    }
    if (hash.digest().compare(await file.read(digestAt, digestBytes)) !== 0)
      throw storageCorrupt(path, digestAt, 'the content does not match its SHA-256');
    scan.end();
    return true;
  });
  if (isThere === undefined) throw storageCorrupt(path, 0, 'the snapshot is missing');
}

/** Takes the bytes of a snapshot without their digest as they come, and tells the rows. */
class SnapshotScan {
  readonly #expected: ExpectedSnapshot;
  readonly #onRow: (row: SnapshotRow) => void;
  #rest: Uint8Array | undefined;
  /** Where in the file the rest begins. */
  #at = 0;
  #missingBytes = 0;
  #rows = 0;
  #hasEnded = false;
  #failure: EtlError | undefined;

  constructor(expected: ExpectedSnapshot, onRow: (row: SnapshotRow) => void) {
    this.#expected = expected;
    this.#onRow = onRow;
  }

  /** How much to bring next: the rest of a long row comes at once. */
  get wantedBytes(): number {
    return Math.max(chunkBytes, this.#missingBytes);
  }

  /** What does not fit is kept for {@link end}: a digest that does not agree says more. */
  read(piece: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      const bytes = this.#rest === undefined ? piece : Buffer.concat([this.#rest, piece]);
      // The first piece has all of the head.
      const from = this.#rest === undefined ? checkSnapshotHead(bytes, this.#expected) : 0;
      const end = this.#readRows(bytes, from);
      this.#rest = bytes.subarray(end);
      this.#at += end;
    } catch (error) {
      if (!isEtlError(error)) throw error;
      this.#failure = error;
    }
  }

  /** Throws ETL_STORAGE_CORRUPT where the bytes are not a whole snapshot, the expected one. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#hasEnded || this.#rest?.length !== 0) throw this.#disagreement(0);
  }

  /** Reads whole rows from `from` on, and returns where the first begins that is not whole. */
  #readRows(bytes: Uint8Array, from: number): number {
    const view = viewOf(bytes);
    let at = from;
    while (!this.#hasEnded && at + 12 <= bytes.length) {
      const keyLength = view.getUint32(at, true);
      if (keyLength === endMark) {
        if (readCount(view, at + 4) !== this.#rows) throw this.#disagreement(at);
        this.#hasEnded = true;
        return at + 12;
      }
      const valueLength = view.getUint32(at + 4, true);
      if (keyLength > keyMaxBytes || valueLength > valueMaxBytes) throw this.#disagreement(at);
      const key = at + 8;
      const value = key + keyLength;
      const end = value + valueLength;
      this.#missingBytes = Math.max(0, end - bytes.length);
      if (this.#missingBytes > 0) return at;
      this.#onRow([bytes.subarray(key, value), bytes.subarray(value, end)]);
      this.#rows += 1;
      at = end;
    }
    return at;
  }

  #disagreement(at: number): EtlError {
    const { path } = this.#expected;
    return storageCorrupt(path, this.#at + at, 'rows and their number do not agree');
  }
}

/** Removes snapshots older than the one that the log names, and what unfinished ones left. */
export async function pruneSnapshots(place: SnapshotPlace, named: LogPosition): Promise<void> {
  const { disk, directory } = place;
  const names = await onDisk('list', directory, () => disk.list(directory));
  const unfinished = names.filter((name) => name.endsWith('.snap.tmp'));
  const old = (await listSnapshots(place)).filter(({ index }) => index < named.index);
  for (const name of [...unfinished, ...old.map(snapshotName)]) {
    const path = `${directory}/${name}`;
    await onDisk('remove', path, () => disk.remove(path));
  }
}

function encodeHead(clusterId: string, { index, term }: LogPosition): Uint8Array {
  const name = Buffer.from(clusterId, 'utf8');
  assert(name.length > 0 && name.length <= 64, 'a cluster id has 1 to 64 bytes');
  const bytes = new Uint8Array(headBytes + name.length);
  const view = viewOf(bytes);
  bytes.set(magic, 0);
  view.setUint32(8, formatVersion, true);
  view.setUint32(12, name.length, true);
  writeCount(view, 16, index);
  writeCount(view, 24, term);
  bytes.set(name, headBytes);
  return bytes;
}

function encodeRowHead([key, value]: SnapshotRow): Uint8Array {
  assert(key.length <= keyMaxBytes, 'a key of the state has at most 64 KiB');
  assert(value.length <= valueMaxBytes, 'a value of the state has at most 16 MiB');
  const bytes = new Uint8Array(8);
  const view = viewOf(bytes);
  view.setUint32(0, key.length, true);
  view.setUint32(4, value.length, true);
  return bytes;
}

function encodeEnd(count: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint32(0, endMark, true);
  writeCount(view, 4, count);
  return bytes;
}

/** What a snapshot file must say of itself. */
export interface ExpectedSnapshot {
  readonly path: string;
  readonly clusterId: string;
  readonly position: LogPosition;
}

/** Bytes at the beginning of a file that {@link checkSnapshotHead} needs, at most. */
export const snapshotHeadMaxBytes: number = headBytes + 64;
/** Bytes at the end of a file that are the SHA-256 of all before them. */
export const snapshotDigestBytes: number = digestBytes;

/** Checks the beginning of a file, and returns where its rows begin. Throws ETL_STORAGE_CORRUPT. */
export function checkSnapshotHead(bytes: Uint8Array, expected: ExpectedSnapshot): number {
  const { path, clusterId, position } = expected;
  if (bytes.length < headBytes) throw storageCorrupt(path, bytes.length, 'the file is too short');
  const view = viewOf(bytes);
  if (Buffer.compare(bytes.subarray(0, 8), magic) !== 0) {
    throw storageCorrupt(path, 0, 'this is no snapshot');
  }
  if (view.getUint32(8, true) !== formatVersion) {
    throw storageCorrupt(path, 8, `format version ${view.getUint32(8, true)} is not known here`);
  }
  const rowsAt = headBytes + view.getUint32(12, true);
  const cluster = Buffer.from(bytes.subarray(headBytes, rowsAt)).toString('utf8');
  if (cluster !== clusterId) throw storageCorrupt(path, headBytes, `it is of cluster ${cluster}`);
  if (readCount(view, 16) !== position.index || readCount(view, 24) !== position.term) {
    throw storageCorrupt(path, 16, 'it stands for another entry than its name says');
  }
  return rowsAt;
}
