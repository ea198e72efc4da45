// Snapshot files as bytes that travel: what both ends check before anyone relies on them. Nothing here holds more than
// a chunk of a file in memory.

import { createHash } from 'node:crypto';
import { type DiskFile, storageCorrupt } from '../../storage/disk.ts';
import {
  checkSnapshotHead,
  type ExpectedSnapshot,
  snapshotDigestBytes,
  snapshotHeadMaxBytes,
} from '../../storage/snapshot-file.ts';

/** Bytes of one chunk. */
export const chunkBytes: number = 512 * 1024;
/** A chunk that is taken. */
export const maxChunkBytes: number = 1024 * 1024;
/** Version of the bytes' own format. */
export const snapshotFormatVersion = 1;
/** Without a chunk for this long a stream is given up. */
export const idleMs: number = 2 * 60 * 1000;

/** A whole file. */
export interface SnapshotDigest {
  readonly totalBytes: number;
  /** Of all bytes. */
  readonly sha256: Uint8Array;
}

/** Reads a file through and proves it by the digest at its end. Throws ETL_STORAGE_CORRUPT. */
export async function digestSnapshot(
  file: DiskFile,
  expected: ExpectedSnapshot,
): Promise<SnapshotDigest> {
  const { path } = expected;
  const totalBytes = await file.size();
  const contentBytes = totalBytes - snapshotDigestBytes;
  if (contentBytes < 0) throw storageCorrupt(path, totalBytes, 'the file is too short');
  checkSnapshotHead(await file.read(0, Math.min(snapshotHeadMaxBytes, contentBytes)), expected);
  const content = createHash('sha256');
  for (let at = 0; at < contentBytes; at += chunkBytes) {
    content.update(await file.read(at, Math.min(chunkBytes, contentBytes - at)));
  }
  const own = await file.read(contentBytes, snapshotDigestBytes);
  const all = content.copy().update(own).digest();
  if (content.digest().compare(own) !== 0) {
    throw storageCorrupt(path, contentBytes, 'the content does not match its SHA-256');
  }
  return { totalBytes, sha256: all };
}
