// One Parquet file as a lane: each row becomes a JSON object. A row group is decoded at a time; the position of a record is
// the number of its row.

import {
  BatchBuilder,
  EtlError,
  type PartitionReader,
  type ReadRequest,
  type ReadResult,
} from '@etl-router/core';
import { type FileMetaData, parquetMetadata } from 'hyparquet';
import { fileError } from './errors.ts';
import { GroupReader, openBuffer, type ParquetBuffer, type RowGroup } from './parquet-group.ts';
import { type FilePartition, restartOf, startOf } from './partition.ts';
import { extendMark, PositionWriter } from './position.ts';
import { commonFields, frameBytesMax } from './settings.ts';

/** Row groups are in memory whole: one that is larger than this is refused instead of exhausting the process. */
const rowGroupMaxBytes = 512 * 1024 * 1024;

/** A footer larger than this is refused: it is parsed at once. */
const footerMaxBytes = 64 * 1024 * 1024;

/** Opens a file where its lane stands. */
export async function openParquetPartition(partition: FilePartition): Promise<PartitionReader> {
  const after = startOf(partition);
  const { path } = partition;
  const file = await openBuffer(path);
  try {
    const { metadata, mark } = await readFooter(file);
    const rows = metadata.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
    let generation = after?.generation ?? 0;
    let next = after === undefined ? 0 : after.offset + 1;
    if (after !== undefined && (after.mark !== mark || next > rows)) {
      const how = 'is another file than the one that was read before';
      ({ generation, offset: next } = restartOf(partition, generation, how));
    }
    const position = new PositionWriter(generation);
    return new ParquetPartitionReader({ partition, file, metadata, mark, rows, position }, next);
  } catch (cause) {
    await file.close();
    throw cause instanceof EtlError ? cause : unreadable(path, cause);
  }
}

/** The description at the end of a Parquet file. It names the place of each part of it, so it marks the file. */
async function readFooter(
  file: ParquetBuffer,
): Promise<{ readonly metadata: FileMetaData; readonly mark: number }> {
  const tail = Buffer.from(await file.slice(Math.max(0, file.byteLength - 8)));
  const length = tail.length === 8 ? tail.readUInt32LE(0) : 0;
  if (tail.toString('latin1', 4) !== 'PAR1') throw new Error('it does not end in PAR1');
  if (length > Math.min(footerMaxBytes, file.byteLength - 8))
    throw new Error(`its footer claims ${length} bytes`);
  const bytes = new Uint8Array(await file.slice(file.byteLength - 8 - length));
  return { metadata: parquetMetadata(bytes), mark: extendMark(0, bytes) };
}

interface ParquetFile {
  readonly partition: FilePartition;
  readonly file: ParquetBuffer;
  readonly metadata: FileMetaData;
  readonly mark: number;
  readonly rows: number;
  readonly position: PositionWriter;
}

class ParquetPartitionReader implements PartitionReader {
  readonly #file: ParquetFile;
  readonly #groups: GroupReader;
  readonly #builder = new BatchBuilder(256 * 1024);
  readonly #common: Buffer;
  readonly #overheadBytes: number;
  #next: number;
  #group: RowGroup | undefined;
  /** Row `#next`, rendered already: it did not fit into the batch before. */
  #held: Buffer | undefined;

  constructor(file: ParquetFile, next: number) {
    this.#file = file;
    this.#groups = new GroupReader(file.file, file.metadata);
    this.#next = next;
    this.#common = commonFields(file.partition.settings);
    this.#overheadBytes = this.#common.length + frameBytesMax;
  }

  async next({ maxRecords, maxBytes, signal }: ReadRequest): Promise<ReadResult> {
    signal.throwIfAborted();
    if (this.#next >= this.#file.rows) return { kind: 'end' };
    const group = await this.#groupOf(this.#next, signal);
    const builder = this.#builder;
    const end = Math.min(group.end, this.#next + maxRecords);
    for (; this.#next < end; this.#next++) {
      const payload = this.#held ?? this.#payload(group, this.#next);
      this.#held = payload;
      if (builder.count > 0 && builder.byteLength + payload.length + this.#overheadBytes > maxBytes)
        break;
      this.#held = undefined;
      const line = { bytes: payload, from: 0, to: payload.length };
      builder.appendLine(this.#file.position.set(this.#next, this.#file.mark), this.#common, line);
    }
    const { lane, epoch } = this.#file.partition.request;
    return {
      kind: 'batch',
      batch: builder.build({ lane, epoch, firstSequence: 0, watermark: undefined }),
    };
  }

  async acknowledge(): Promise<void> {
    // Files are not ours to change.
  }

  lag(): { readonly records?: number } {
    return { records: Math.max(0, this.#file.rows - this.#next) };
  }

  async close(): Promise<void> {
    this.#group = undefined;
    await this.#file.file.close();
  }

  #payload(group: RowGroup, row: number): Buffer {
    const payload = Buffer.from(group.json(row));
    const { path, settings } = this.#file.partition;
    if (payload.length <= settings.maxRecordBytes) return payload;
    throw fileError(
      path,
      `row ${row} is longer than ${settings.maxRecordBytes} bytes; raise maxRecordBytes or mend the file`,
    );
  }

  /** Decodes the row group of a row, and forgets the one before. */
  async #groupOf(row: number, signal: AbortSignal): Promise<RowGroup> {
    if (this.#group?.has(row)) return this.#group;
    this.#group = undefined;
    const { metadata, file } = this.#file;
    const { path } = this.#file.partition;
    let start = 0;
    for (const { num_rows: count, total_byte_size: size } of metadata.row_groups) {
      const end = start + Number(count);
      if (row < end) {
        if (Number(size) > rowGroupMaxBytes) {
          throw fileError(
            path,
            `the row group at row ${start} has ${size} bytes; at most ${rowGroupMaxBytes} fit in memory`,
          );
        }
        try {
          this.#group = await this.#groups.read(start, end, signal);
          await file.assertUnchanged();
        } catch (cause) {
          signal.throwIfAborted();
          if (cause instanceof EtlError) throw cause;
          await file.assertUnchanged();
          throw unreadable(path, cause);
        }
        return this.#group;
      }
      start = end;
    }
    throw unreadable(path, new Error(`row ${row} is in no row group`));
  }
}

function unreadable(path: string, cause: unknown): EtlError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return fileError(path, `can not be read as Parquet (${reason})`, cause);
}
