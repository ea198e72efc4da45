// What a backup is as bytes: a head that says of what it is, then rows of the state. Size and SHA-256 stand beside it
// (backup-store.ts), so a backup that was cut is known before it is read (docs/specs/0009-backup.md).

import { EtlError } from '@etl-router/core';
import { encodeRowHead, RowReader } from '../state/row-stream.ts';
import { viewOf } from './bytes.ts';

/** Of what a backup is. */
export interface BackupHead {
  readonly clusterId: string;
  /** Last entry it holds, and its term. */
  readonly index: number;
  readonly term: number;
  readonly createdAtMs: number;
}

/** How much a backup holds. */
export interface BackupCounts {
  /** Revision of its last change. */
  revision: bigint;
  objects: number;
  pipelines: number;
  services: number;
  sidecars: number;
  lanes: number;
  groups: number;
}

/** A row: a key and its value. */
export type BackupRow = readonly [key: Uint8Array, value: Uint8Array];

/** Version of the format that is written here. Later ones are refused. */
export const backupFormatVersion = 1;

const magic: Uint8Array = Buffer.from('ETLRBAK\n', 'latin1');
const fixedBytes = 16;
const headMaxBytes = 4096;

/** What stands before the rows. */
export function encodeBackupHead(head: BackupHead): Uint8Array {
  const text = Buffer.from(JSON.stringify(head), 'utf8');
  const bytes = Buffer.alloc(fixedBytes + text.length);
  bytes.set(magic, 0);
  bytes.writeUInt32LE(backupFormatVersion, 8);
  bytes.writeUInt32LE(text.length, 12);
  bytes.set(text, fixedBytes);
  return bytes;
}

/** A row as it stands in a backup. */
export function encodeBackupRow([key, value]: BackupRow): readonly Uint8Array[] {
  return [encodeRowHead(key, value), key, value];
}

/** Counts rows by what their keys say. */
export class RowCounter {
  readonly counts: BackupCounts = {
    revision: 0n,
    objects: 0,
    pipelines: 0,
    services: 0,
    sidecars: 0,
    lanes: 0,
    groups: 0,
  };

  add([key, value]: BackupRow, revisionOf: (value: Uint8Array) => bigint): void {
    const { counts } = this;
    const tag = String.fromCharCode(key[0] ?? 0);
    if (tag === '0') counts.revision = revisionOf(value);
    else if (tag === 'a') {
      counts.objects += 1;
      if (Buffer.from(key.subarray(1, 13)).toString('latin1') === 'EtlPipeline\0')
        counts.pipelines += 1;
    } else if (tag === 'b') counts.services += 1;
    else if (tag === 'c') counts.sidecars += 1;
    else if (tag === 'e') counts.lanes += 1;
    else if (tag === 'g') counts.groups += 1;
  }
}

/** Takes a backup as its bytes come, and gives its rows. */
export class BackupReader {
  readonly #rows = new RowReader();
  #before: Uint8Array | undefined = new Uint8Array();
  #head: BackupHead | undefined;

  /**
   * The rows that end in `chunk`. Throws ETL_INVALID_ARGUMENT for bytes that are no backup, ETL_UNSUPPORTED for one of a
   * later format.
   */
  *read(chunk: Uint8Array): Generator<BackupRow> {
    if (this.#before === undefined) {
      yield* this.#rows.read(chunk);
      return;
    }
    const bytes = Buffer.concat([this.#before, chunk]);
    const rowsAt = this.#readHead(bytes);
    this.#before = rowsAt === undefined ? bytes : undefined;
    if (rowsAt !== undefined) yield* this.#rows.read(bytes.subarray(rowsAt));
  }

  /** The head. Throws ETL_INVALID_ARGUMENT where it, or the last row, is not whole. */
  end(): BackupHead {
    if (this.#head === undefined) throw noBackup('it is too short');
    this.#rows.end();
    return this.#head;
  }

  #readHead(bytes: Uint8Array): number | undefined {
    const seen = Math.min(bytes.length, magic.length);
    if (Buffer.compare(bytes.subarray(0, seen), magic.subarray(0, seen)) !== 0)
      throw noBackup('it begins as something else');
    if (bytes.length < fixedBytes) return undefined;
    const view = viewOf(bytes);
    const version = view.getUint32(8, true);
    if (version > backupFormatVersion) {
      throw new EtlError(
        'ETL_UNSUPPORTED',
        `the backup has format version ${version} and this release knows ${backupFormatVersion}; use the release that made it or a later one`,
      );
    }
    const length = view.getUint32(12, true);
    if (version === 0 || length > headMaxBytes) throw noBackup('its head is damaged');
    if (bytes.length < fixedBytes + length) return undefined;
    this.#head = parseHead(bytes.subarray(fixedBytes, fixedBytes + length));
    return fixedBytes + length;
  }
}

function parseHead(bytes: Uint8Array): BackupHead {
  try {
    const head = JSON.parse(Buffer.from(bytes).toString('utf8')) as BackupHead;
    const { clusterId, index, term, createdAtMs } = head;
    const counts = [index, term, createdAtMs];
    if (typeof clusterId === 'string' && counts.every((count) => Number.isSafeInteger(count)))
      return { clusterId, index, term, createdAtMs };
  } catch {
    // Not JSON, so not one of ours: refused below.
  }
  throw noBackup('its head is damaged');
}

function noBackup(why: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `this is no backup: ${why}`);
}
