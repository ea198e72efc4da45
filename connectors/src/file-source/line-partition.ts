// One file of lines as a lane: JSON lines are handed on as they are, CSV rows become JSON objects.

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
import { openGzip, openPlain } from './block-reader.ts';
import { RowFormat, splitRow } from './csv.ts';
import { csvEnd, findLineEnd, type Line, LineReader } from './lines.ts';
import { assertRegularFile } from './regular-file.ts';
import { commonFields, type FileSourceSettings, frameBytesMax } from './settings.ts';

export interface LinePartition {
  /** Where the file is. */
  readonly path: string;
  readonly settings: FileSourceSettings;
  readonly request: OpenPartitionRequest;
}

/** Opens a file where its lane stands. Throws ETL_INVALID_ARGUMENT for a position that is no offset. */
export async function openLinePartition(partition: LinePartition): Promise<PartitionReader> {
  const { path, settings, request } = partition;
  const after = request.after === undefined ? 0 : countOfPosition(request.after);
  if (after === undefined || (after === 0 && request.after !== undefined)) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${path}: the position is not one of this source`);
  }
  await assertRegularFile(path);
  const header = settings.format === 'csv' ? await readHeader(partition) : undefined;
  const lines = await openLines(partition, Math.max(after, header?.start ?? 0));
  return new LinePartitionReader(partition, lines, header?.rows);
}

async function openLines({ path, settings }: LinePartition, offset: number): Promise<LineReader> {
  const { compression, format, csv, maxRecordBytes, follow } = settings;
  const isGzip = compression === 'gzip' || (compression === 'auto' && path.endsWith('.gz'));
  const reader = await (isGzip ? openGzip(path, offset) : openPlain(path, { offset, follow }));
  return new LineReader(reader, offset, {
    findEnd: format === 'csv' ? csvEnd(csv.delimiter) : findLineEnd,
    maxBytes: maxRecordBytes,
    name: path,
    follow,
  });
}

interface Header {
  readonly rows: RowFormat;
  /** Offset of the first row. */
  readonly start: number;
}

/** The names of the fields; undefined when the file does not have its first line yet. */
async function readHeader(partition: LinePartition): Promise<Header | undefined> {
  const { path, settings } = partition;
  const { csv } = settings;
  if (!csv.header) return { rows: new RowFormat(csv.columns, csv, path), start: 0 };
  const lines = await openLines(partition, 0);
  try {
    let line = lines.take();
    while (line === undefined && (await lines.fill())) line = lines.take();
    return line === undefined ? undefined : headerOf(line, partition);
  } finally {
    await lines.close();
  }
}

function headerOf(line: Line, { path, settings: { csv } }: LinePartition): Header {
  try {
    const names = splitRow(textOf(line), csv.delimiter);
    return { rows: new RowFormat(names, csv, path), start: line.end };
  } catch (cause) {
    if (!(cause instanceof EtlError) || cause.code !== 'ETL_RECORD_MALFORMED') throw cause;
    throw new EtlError('ETL_CONNECTOR_FAILED', `${path}: the header is no CSV row`, {
      cause,
      retryable: false,
    });
  }
}

function textOf({ bytes, from, to }: Line): string {
  return bytes.toString('utf8', from, to);
}

class LinePartitionReader implements PartitionReader {
  readonly #partition: LinePartition;
  readonly #lines: LineReader;
  readonly #builder = new BatchBuilder(256 * 1024);
  readonly #common: Buffer;
  readonly #overheadBytes: number;
  /** How CSV rows become JSON; undefined for lines of JSON, and until a followed file has its header. */
  #rows: RowFormat | undefined;
  /** The next record, where it did not fit into the batch before. */
  #held: Line | undefined;
  #leftBytes: number | undefined;

  constructor(partition: LinePartition, lines: LineReader, rows: RowFormat | undefined) {
    this.#partition = partition;
    this.#lines = lines;
    this.#rows = rows;
    this.#common = commonFields(partition.settings);
    this.#overheadBytes = this.#common.length + frameBytesMax;
  }

  async next({ maxRecords, maxBytes, signal }: ReadRequest): Promise<ReadResult> {
    const builder = this.#builder;
    while (builder.count === 0) {
      signal.throwIfAborted();
      if (this.#take(maxRecords, maxBytes)) break;
      if (!(await this.#lines.fill()))
        return this.#partition.settings.follow ? { kind: 'idle' } : { kind: 'end' };
    }
    this.#leftBytes = await this.#lines.left();
    const { lane, epoch } = this.#partition.request;
    return {
      kind: 'batch',
      batch: builder.build({ lane, epoch, firstSequence: 0, watermark: undefined }),
    };
  }

  async acknowledge(): Promise<void> {
    // Files are not ours to change.
  }

  lag(): { readonly bytes?: number } {
    return this.#leftBytes === undefined ? {} : { bytes: this.#leftBytes };
  }

  close(): Promise<void> {
    return this.#lines.close();
  }

  /** Appends what is in memory and fits; false when there was nothing. */
  #take(maxRecords: number, maxBytes: number): boolean {
    const builder = this.#builder;
    while (builder.count < maxRecords) {
      const line = this.#held ?? this.#nextRecord();
      this.#held = line;
      if (line === undefined) break;
      const size = line.to - line.from + this.#overheadBytes;
      if (builder.count > 0 && builder.byteLength + size > maxBytes) break;
      builder.appendLine(positionOfCount(line.end), this.#common, line);
      this.#held = undefined;
    }
    return builder.count > 0;
  }

  /** The next record's payload, and where it ends in the file. */
  #nextRecord(): Line | undefined {
    let line = this.#lines.take();
    const { settings } = this.#partition;
    if (settings.format !== 'csv' || line === undefined) return line;
    if (this.#rows === undefined) {
      this.#rows = headerOf(line, this.#partition).rows;
      line = this.#lines.take();
      if (line === undefined) return undefined;
    }
    const bytes = toJson(this.#rows, line);
    return { bytes, from: 0, to: bytes.length, end: line.end };
  }
}

/** A row that is no CSV goes on as it is, so that a later stage fails it and it can be seen among the dead letters. */
function toJson(rows: RowFormat, line: Line): Buffer {
  const text = textOf(line);
  try {
    return Buffer.from(rows.toJson(text));
  } catch (error) {
    if (!(error instanceof EtlError)) throw error;
    return Buffer.from(text);
  }
}
