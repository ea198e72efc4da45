// One Parquet file as a lane: each row becomes a JSON object. A row group is decoded at a time; the position of a record is
// the number of its row.

import {
  BatchBuilder,
  countOfPosition,
  EtlError,
  type OpenPartitionRequest,
  type PartitionReader,
  positionOfCount,
  type ReadRequest,
  type ReadResult,
} from '@etl-router/core';
import { type FileMetaData, parquetMetadataAsync } from 'hyparquet';
import { GroupReader, openBuffer, type ParquetBuffer, type RowGroup } from './parquet-group.ts';
import { assertRegularFile } from './regular-file.ts';
import { commonFields, type FileSourceSettings, frameBytesMax } from './settings.ts';

/** Row groups are in memory whole: one that is larger than this is refused instead of exhausting the process. */
const rowGroupMaxBytes = 512 * 1024 * 1024;

/** Opens a file where its lane stands. */
export async function openParquetPartition(
  path: string,
  settings: FileSourceSettings,
  request: OpenPartitionRequest,
): Promise<PartitionReader> {
  const after = request.after === undefined ? -1 : countOfPosition(request.after);
  if (after === undefined)
    throw new EtlError('ETL_INVALID_ARGUMENT', `${path}: the position is not one of this source`);
  await assertRegularFile(path);
  const file = await openBuffer(path);
  try {
    const metadata = await parquetMetadataAsync(file);
    if (after >= Number(metadata.num_rows)) {
      throw new EtlError(
        'ETL_CONNECTOR_FAILED',
        `${path}: has ${metadata.num_rows} rows and was read to row ${after} before; it was replaced`,
        { retryable: false },
      );
    }
    return new ParquetPartitionReader({ path, settings, request, file, metadata }, after + 1);
  } catch (cause) {
    await file.close();
    throw cause instanceof EtlError ? cause : unreadable(path, cause);
  }
}

interface ParquetFile {
  readonly path: string;
  readonly settings: FileSourceSettings;
  readonly request: OpenPartitionRequest;
  readonly file: ParquetBuffer;
  readonly metadata: FileMetaData;
}

class ParquetPartitionReader implements PartitionReader {
  readonly #file: ParquetFile;
  readonly #groups: GroupReader;
  readonly #builder = new BatchBuilder(256 * 1024);
  readonly #common: Buffer;
  readonly #overheadBytes: number;
  readonly #rows: number;
  #next: number;
  #group: RowGroup | undefined;
  /** Row `#next`, rendered already: it did not fit into the batch before. */
  #held: Buffer | undefined;

  constructor(file: ParquetFile, next: number) {
    this.#file = file;
    this.#rows = Number(file.metadata.num_rows);
    this.#groups = new GroupReader(file.file, file.metadata);
    this.#next = next;
    this.#common = commonFields(file.settings);
    this.#overheadBytes = this.#common.length + frameBytesMax;
  }

  async next({ maxRecords, maxBytes, signal }: ReadRequest): Promise<ReadResult> {
    signal.throwIfAborted();
    if (this.#next >= this.#rows) return { kind: 'end' };
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
      builder.appendLine(positionOfCount(this.#next), this.#common, line);
    }
    const { lane, epoch } = this.#file.request;
    return {
      kind: 'batch',
      batch: builder.build({ lane, epoch, firstSequence: 0, watermark: undefined }),
    };
  }

  async acknowledge(): Promise<void> {
    // Files are not ours to change.
  }

  lag(): { readonly records?: number } {
    return { records: Math.max(0, this.#rows - this.#next) };
  }

  async close(): Promise<void> {
    this.#group = undefined;
    await this.#file.file.close();
  }

  #payload(group: RowGroup, row: number): Buffer {
    const payload = Buffer.from(group.json(row));
    const { maxRecordBytes } = this.#file.settings;
    if (payload.length <= maxRecordBytes) return payload;
    throw new EtlError(
      'ETL_CONNECTOR_FAILED',
      `${this.#file.path}: row ${row} is longer than ${maxRecordBytes} bytes; raise maxRecordBytes or mend the file`,
      { retryable: false },
    );
  }

  /** Decodes the row group of a row, and forgets the one before. */
  async #groupOf(row: number, signal: AbortSignal): Promise<RowGroup> {
    if (this.#group?.has(row)) return this.#group;
    this.#group = undefined;
    const { path, metadata } = this.#file;
    let start = 0;
    for (const { num_rows: count, total_byte_size: size } of metadata.row_groups) {
      const end = start + Number(count);
      if (row < end) {
        if (Number(size) > rowGroupMaxBytes) {
          throw new EtlError(
            'ETL_CONNECTOR_FAILED',
            `${path}: the row group at row ${start} has ${size} bytes; at most ${rowGroupMaxBytes} fit in memory`,
            { retryable: false },
          );
        }
        try {
          this.#group = await this.#groups.read(start, end, signal);
        } catch (cause) {
          signal.throwIfAborted();
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
  return new EtlError('ETL_CONNECTOR_FAILED', `${path}: can not be read as Parquet (${reason})`, {
    cause,
    retryable: false,
  });
}
