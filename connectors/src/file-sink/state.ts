// What a file sink knows of its output, and the log that keeps it: `.etl/NAME.state` beside the data. Layout of a frame,
// little endian:
//   length (4) · CRC-32 of length and payload (4) · payload, a JSON object of type Change
// A frame is synced before the next is written, so only the last can be torn: it is cut off, for nobody was told of it.
// Anything else that does not check is refused as corrupt: a frame with a whole one behind it, or one whose length alone
// is damaged. Cutting those off would take back what was acknowledged.

import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { EtlError } from '@etl-router/core';
import type { Column } from '../columns/table.ts';
import { type FileSystem, readFully, type StoredFile, syncDirectory, writeFully } from './files.ts';

/** A lane as stored. */
export interface LaneState {
  readonly pipeline: string;
  readonly stage: string;
  readonly source: string;
  readonly partition: string;
  readonly epoch: number;
  /** In hex; null: nothing stored yet. */
  readonly position: string | null;
}

/** The file that is being written. */
export interface FileState {
  /** Its name when finished; until then that of a series has `.partial` behind it. */
  readonly name: string;
  /** Bytes that count; what is behind them was acknowledged to nobody. */
  readonly length: number;
  readonly records: number;
  readonly startedMs: number;
}

/** What one frame says; what is absent stays as it was. */
export interface Change {
  readonly lanes?: readonly LaneState[];
  /** Null: no file is being written. */
  readonly file?: FileState | null;
  /** More row groups of the current Parquet file, in base64. */
  readonly newRowGroups?: readonly string[];
  /** All row groups of the current Parquet file. */
  readonly rowGroups?: readonly string[];
  readonly columns?: readonly Column[];
  /** Number of the next file of a series. */
  readonly next?: number;
  /** A file that is complete and may still have to lose its `.partial`. */
  readonly finished?: string | null;
}

/** Everything that is known. */
export interface SinkState {
  readonly lanes: Map<string, LaneState>;
  file: FileState | undefined;
  rowGroups: string[];
  columns: readonly Column[] | undefined;
  next: number;
  finished: string | undefined;
}

export function keyOfLane(lane: Omit<LaneState, 'epoch' | 'position'>): string {
  return JSON.stringify([lane.pipeline, lane.stage, lane.source, lane.partition]);
}

/** The state before anything was written. */
export function emptyState(): SinkState {
  return {
    lanes: new Map(),
    file: undefined,
    rowGroups: [],
    columns: undefined,
    next: 1,
    finished: undefined,
  };
}

/** Makes a change part of the state. */
export function applyChange(state: SinkState, change: Change): void {
  for (const lane of change.lanes ?? []) state.lanes.set(keyOfLane(lane), lane);
  if (change.file !== undefined) {
    if (change.file?.name !== state.file?.name) state.rowGroups = [];
    state.file = change.file ?? undefined;
  }
  if (change.rowGroups !== undefined) state.rowGroups = [...change.rowGroups];
  state.rowGroups.push(...(change.newRowGroups ?? []));
  if (change.columns !== undefined) state.columns = change.columns;
  if (change.next !== undefined) state.next = change.next;
  if (change.finished !== undefined) state.finished = change.finished ?? undefined;
}

/** The state as one change. */
function wholeChange(state: SinkState): Change {
  return {
    lanes: [...state.lanes.values()],
    file: state.file ?? null,
    rowGroups: state.rowGroups,
    ...(state.columns === undefined ? {} : { columns: state.columns }),
    next: state.next,
    finished: state.finished ?? null,
  };
}

const headBytes = 8;
const openBrace = 0x7b;
const closeBrace = 0x7d;
/** A frame larger than this is none of ours. */
const frameMaxBytes = 256 * 1024 * 1024;
/** The log is rewritten when it has grown to this and to four times what it was after the last time. */
const compactBytes = 1024 * 1024;

/** The log and the state it adds up to. */
export class StateLog {
  readonly state: SinkState;
  /** The log's file. */
  readonly path: string;
  readonly #files: FileSystem;
  readonly #directory: string;
  #file: StoredFile;
  #length: number;
  #compacted: number;

  private constructor(
    place: { readonly files: FileSystem; readonly directory: string; readonly path: string },
    opened: { readonly file: StoredFile; readonly state: SinkState; readonly length: number },
  ) {
    this.#files = place.files;
    this.#directory = place.directory;
    this.path = place.path;
    this.#file = opened.file;
    this.state = opened.state;
    this.#length = opened.length;
    this.#compacted = opened.length;
  }

  /** Opens the log of `name`, or makes it. Throws ETL_STORAGE_CORRUPT when it does not check. */
  static async open(files: FileSystem, directory: string, name: string): Promise<StateLog> {
    const path = join(directory, `${encodeURIComponent(name)}.state`);
    const size = await files.size(path);
    const file = await files.open(path, size === undefined ? 'wx+' : 'r+');
    try {
      const state = emptyState();
      const bytes = await readFully(file, size ?? 0);
      const length = replay(bytes, path, (change) => applyChange(state, change));
      if (length < bytes.length) await file.truncate(length);
      await file.sync();
      await syncDirectory(files, directory);
      return new StateLog({ files, directory, path }, { file, state, length });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Appends a change; resolves when it is on disk and part of the state. After an error, open the log again. */
  async append(change: Change): Promise<void> {
    const frame = encodeFrame(change);
    await writeFully(this.#file, frame, this.#length);
    await this.#file.datasync();
    this.#length += frame.length;
    applyChange(this.state, change);
    if (this.#length >= Math.max(compactBytes, 4 * this.#compacted)) await this.#compact();
  }

  /** Throws when the log is no longer where the next opening looks for it: it was removed or moved. */
  async confirm(): Promise<void> {
    const size = await this.#files.size(this.path);
    if (size !== undefined && size >= this.#length) return;
    throw new EtlError(
      'ETL_CONNECTOR_FAILED',
      `${this.path}: was removed or cut while its output is written; restore it, or move the data away too`,
      { details: { file: this.path } },
    );
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #compact(): Promise<void> {
    const frame = encodeFrame(wholeChange(this.state));
    const temporary = `${this.path}.new`;
    await this.#files.remove(temporary);
    const file = await this.#files.open(temporary, 'wx+');
    await writeFully(file, frame, 0);
    await file.sync();
    await this.#files.rename(temporary, this.path);
    await syncDirectory(this.#files, this.#directory);
    const before = this.#file;
    this.#file = file;
    this.#length = frame.length;
    this.#compacted = frame.length;
    await before.close();
  }
}

function encodeFrame(change: Change): Buffer {
  const payload = Buffer.from(JSON.stringify(change));
  const frame = Buffer.allocUnsafe(headBytes + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32(payload, crc32(frame.subarray(0, 4))), 4);
  payload.copy(frame, headBytes);
  return frame;
}

/** Shows every frame; returns where the last whole one ends. */
function replay(bytes: Buffer, path: string, onChange: (change: Change) => void): number {
  let at = 0;
  while (at + headBytes <= bytes.length) {
    const length = bytes.readUInt32LE(at);
    const end = at + headBytes + length;
    if (!checks(bytes, at, length)) {
      if (isTorn(bytes, at, end)) return at;
      throw new EtlError(
        'ETL_STORAGE_CORRUPT',
        `${path}: the frame at ${at} does not check; restore the file, or remove it together with the data it describes`,
        { details: { file: path, offset: at } },
      );
    }
    onChange(JSON.parse(bytes.toString('utf8', at + headBytes, end)) as Change);
    at = end;
  }
  return at;
}

/** Whether a whole frame with a payload of `length` bytes begins at `at`, whatever its own length field says. */
function checks(bytes: Buffer, at: number, length: number): boolean {
  const end = at + headBytes + length;
  if (length < 2 || length > frameMaxBytes || end > bytes.length) return false;
  if (bytes[at + headBytes] !== openBrace || bytes[end - 1] !== closeBrace) return false;
  const head = Buffer.alloc(4);
  head.writeUInt32LE(length);
  return crc32(bytes.subarray(at + headBytes, end), crc32(head)) === bytes.readUInt32LE(at + 4);
}

/** Whether what does not check at `at`, and says that it ends at `end`, is a write that was cut short. */
function isTorn(bytes: Buffer, at: number, end: number): boolean {
  if (end < bytes.length && !isZero(bytes.subarray(at))) return false;
  if (checks(bytes, at, bytes.length - at - headBytes)) return false;
  for (let next = at + 1; next + headBytes <= bytes.length; next++) {
    if (checks(bytes, next, bytes.readUInt32LE(next))) return false;
  }
  return true;
}

/** Space that was given to the file but never written. */
function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
