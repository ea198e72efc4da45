// One file of lines as a lane: JSON lines are handed on as they are, CSV rows become JSON objects.

import {
  BatchBuilder,
  countOfPosition,
  EtlError,
  encodeCommonFields,
  type OpenPartitionRequest,
  type PartitionReader,
  positionOfCount,
  type ReadRequest,
  type ReadResult,
} from '@etl-router/core';
import { openGzip, openPlain } from './block-reader.ts';
import { RowFormat, splitRow } from './csv.ts';
import { findCsvEnd, findLineEnd, type Line, LineReader } from './lines.ts';
import { assertRegularFile } from './regular-file.ts';
import type { FileSourceSettings } from './settings.ts';

const json = encodeCommonFields({ contentType: 'application/json' });

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
  if (after === undefined) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${path}: the position is not one of this source`);
  }
  await assertRegularFile(path);
  const isGzip =
    settings.compression === 'gzip' || (settings.compression === 'auto' && path.endsWith('.gz'));
  const rows = settings.format === 'csv' ? await openRows(partition, isGzip) : undefined;
  const offset = Math.max(after, rows?.start ?? 0);
  const lines = await openLines(partition, isGzip, offset);
  return new LinePartitionReader(partition, lines, rows?.format);
}

async function openLines(
  { path, settings }: LinePartition,
  isGzip: boolean,
  offset: number,
): Promise<LineReader> {
  const reader = isGzip ? await openGzip(path, offset) : await openPlain(path, offset);
  return new LineReader(reader, offset, {
    findEnd: settings.format === 'csv' ? findCsvEnd : findLineEnd,
    maxBytes: settings.maxRecordBytes,
    name: path,
    follow: settings.follow,
  });
}

/** The names of the fields, and where the first row starts. */
async function openRows(
  partition: LinePartition,
  isGzip: boolean,
): Promise<{ format: RowFormat; start: number }> {
  const { path, settings } = partition;
  const { csv } = settings;
  if (!csv.header) return { format: new RowFormat(csv.columns, csv, path), start: 0 };
  const lines = await openLines(partition, isGzip, 0);
  try {
    let line = lines.take();
    while (line === undefined && (await lines.fill())) line = lines.take();
    if (line === undefined) return { format: new RowFormat(csv.columns, csv, path), start: 0 };
    const text = textOf(line).replace(/^\ufeff/, '');
    const names = splitRow(text, csv.delimiter);
    return { format: new RowFormat(names, csv, path), start: line.end };
  } finally {
    await lines.close();
  }
}

function textOf({ bytes, from, to }: Line): string {
  return bytes.toString('utf8', from, to);
}

class LinePartitionReader implements PartitionReader {
  readonly #partition: LinePartition;
  readonly #lines: LineReader;
  readonly #rows: RowFormat | undefined;
  readonly #builder = new BatchBuilder(256 * 1024);
  #leftBytes: number | undefined;

  constructor(partition: LinePartition, lines: LineReader, rows: RowFormat | undefined) {
    this.#partition = partition;
    this.#lines = lines;
    this.#rows = rows;
  }

  async next({ maxRecords, maxBytes, signal }: ReadRequest): Promise<ReadResult> {
    const builder = this.#builder;
    for (;;) {
      signal.throwIfAborted();
      while (builder.count < maxRecords && (builder.count === 0 || builder.byteLength < maxBytes)) {
        const line = this.#lines.take();
        if (line === undefined) break;
        this.#append(line);
      }
      if (builder.count > 0) break;
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

  #append(line: Line): void {
    const { type } = this.#partition.settings;
    if (this.#rows === undefined && type === '') {
      this.#builder.appendLine(positionOfCount(line.end), json, line);
      return;
    }
    const payload =
      this.#rows === undefined
        ? line.bytes.subarray(line.from, line.to)
        : this.#toJson(this.#rows, line);
    if (type === '')
      this.#builder.appendLine(positionOfCount(line.end), json, { bytes: payload, from: 0, to: payload.length });
    else
      this.#builder.append({
        position: positionOfCount(line.end),
        type,
        contentType: 'application/json',
        payload,
      });
  }

  /** A row that is no CSV goes on as it is, so that a later stage fails it and it can be seen among the dead letters. */
  #toJson(rows: RowFormat, line: Line): Buffer {
    const text = textOf(line);
    try {
      return Buffer.from(rows.toJson(text));
    } catch (error) {
      if (!(error instanceof EtlError)) throw error;
      return Buffer.from(text);
    }
  }
}
