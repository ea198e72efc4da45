// One Parquet file as a lane: each row becomes a JSON object. A row group is decoded at a time, column by column; the
// position of a record is the number of its row. Integers keep all their digits, times all their precision.

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
  stringifyJsonText,
} from '@etl-router/core';
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
  type SchemaElement,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { assertRegularFile } from './regular-file.ts';
import type { FileSourceSettings } from './settings.ts';

const json = encodeCommonFields({ contentType: 'application/json' });

/** Row groups are in memory whole: one that is larger than this is refused instead of exhausting the process. */
const rowGroupMaxBytes = 512 * 1024 * 1024;

/** Values as the file has them; {@link renderValue} makes text of them by the type of their column. */
const parsers = {
  timestampFromMilliseconds: (ms: bigint) => ms,
  timestampFromMicroseconds: (micros: bigint) => micros,
  timestampFromNanoseconds: (nanos: bigint) => nanos,
  dateFromDays: (days: number) => days,
};

interface Column {
  readonly name: string;
  /** `"name":` with the comma or brace before it. */
  readonly key: string;
  readonly render: (value: unknown) => string;
}

interface Group {
  readonly start: number;
  readonly end: number;
  readonly values: readonly ArrayLike<unknown>[];
}

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
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    return new ParquetPartitionReader({ path, settings, request, file, metadata }, after + 1);
  } catch (cause) {
    if (cause instanceof EtlError) throw cause;
    throw unreadable(path, cause);
  }
}

interface ParquetFile {
  readonly path: string;
  readonly settings: FileSourceSettings;
  readonly request: OpenPartitionRequest;
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
}

class ParquetPartitionReader implements PartitionReader {
  readonly #file: ParquetFile;
  readonly #columns: readonly Column[];
  readonly #builder = new BatchBuilder(256 * 1024);
  readonly #rows: number;
  #next: number;
  #group: Group | undefined;

  constructor(file: ParquetFile, next: number) {
    this.#file = file;
    this.#rows = Number(file.metadata.num_rows);
    this.#columns = columnsOf(file.metadata);
    this.#next = next;
  }

  async next({ maxRecords, maxBytes, signal }: ReadRequest): Promise<ReadResult> {
    signal.throwIfAborted();
    if (this.#next >= this.#rows) return { kind: 'end' };
    const group = await this.#groupOf(this.#next);
    const builder = this.#builder;
    const end = Math.min(group.end, this.#next + maxRecords);
    while (this.#next < end && (builder.count === 0 || builder.byteLength < maxBytes)) {
      this.#append(group, this.#next++);
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
  }

  #append(group: Group, row: number): void {
    const at = row - group.start;
    let text = '';
    this.#columns.forEach((column, index) => {
      const value = (group.values[index] as ArrayLike<unknown>)[at];
      text += column.key;
      text += value === null || value === undefined ? 'null' : column.render(value);
    });
    const payload = Buffer.from(`${text}}`);
    const { type } = this.#file.settings;
    if (type === '')
      this.#builder.appendLine(positionOfCount(row), json, { bytes: payload, from: 0, to: payload.length });
    else
      this.#builder.append({
        position: positionOfCount(row),
        type,
        contentType: 'application/json',
        payload,
      });
  }

  /** Decodes the row group of a row, and forgets the one before. */
  async #groupOf(row: number): Promise<Group> {
    if (this.#group !== undefined && row >= this.#group.start && row < this.#group.end)
      return this.#group;
    this.#group = undefined;
    const { path, file, metadata } = this.#file;
    let start = 0;
    for (const { num_rows: count, total_byte_size: size } of metadata.row_groups) {
      const end = start + Number(count);
      if (row < end) {
        if (Number(size) > rowGroupMaxBytes) {
          throw new EtlError(
            'ETL_CONNECTOR_FAILED',
            `${path}: the row group at row ${start} has ${size} bytes; at most ${rowGroupMaxBytes} fit in memory`,
            {
              retryable: false,
            },
          );
        }
        this.#group = {
          start,
          end,
          values: await readColumns({ path, file, metadata }, start, end, this.#columns),
        };
        return this.#group;
      }
      start = end;
    }
    throw unreadable(path, new Error(`row ${row} is in no row group`));
  }
}

async function readColumns(
  { path, file, metadata }: Pick<ParquetFile, 'path' | 'file' | 'metadata'>,
  rowStart: number,
  rowEnd: number,
  columns: readonly Column[],
): Promise<readonly ArrayLike<unknown>[]> {
  const parts = new Map<string, ArrayLike<unknown>[]>();
  try {
    await parquetRead({
      file,
      metadata,
      compressors,
      parsers,
      rowStart,
      rowEnd,
      onChunk: ({ columnName, columnData }) => {
        const list = parts.get(columnName);
        if (list === undefined) parts.set(columnName, [columnData]);
        else list.push(columnData);
      },
    });
  } catch (cause) {
    throw unreadable(path, cause);
  }
  return columns.map(({ name }) => {
    const list = parts.get(name) ?? [];
    return list.length === 1
      ? (list[0] as ArrayLike<unknown>)
      : list.flatMap((part) => Array.from(part));
  });
}

/** The top-level columns, in the order of the schema. */
function columnsOf({ schema }: FileMetaData): readonly Column[] {
  const columns: Column[] = [];
  let at = 1;
  const skip = (): void => {
    const children = schema[at++]?.num_children ?? 0;
    for (let child = 0; child < children; child++) skip();
  };
  for (let index = 0; index < (schema[0]?.num_children ?? 0); index++) {
    const element = schema[at] as SchemaElement;
    skip();
    const key = `${index === 0 ? '{' : ','}${JSON.stringify(element.name)}:`;
    columns.push({ name: element.name, key, render: rendererOf(element) });
  }
  return columns;
}

/** Digits of a second that a time unit has. */
const digitsOf = { MILLIS: 3, MICROS: 6, NANOS: 9 } as const;

function rendererOf(element: SchemaElement): (value: unknown) => string {
  if (element.num_children !== undefined && element.num_children > 0) return renderNested;
  const { logical_type: logical, converted_type: converted, type } = element;
  const isLocal = logical?.type === 'TIMESTAMP' && !logical.isAdjustedToUTC;
  const zone = isLocal ? '' : 'Z';
  if (logical?.type === 'TIMESTAMP')
    return (value) => renderTime(value, digitsOf[logical.unit], zone);
  if (converted === 'TIMESTAMP_MILLIS') return (value) => renderTime(value, 3, zone);
  if (converted === 'TIMESTAMP_MICROS') return (value) => renderTime(value, 6, zone);
  if (type === 'INT96') return (value) => renderTime(value, 9, 'Z');
  if (converted === 'DATE' || logical?.type === 'DATE') {
    return (value) => `"${new Date(Number(value) * 86_400_000).toISOString().slice(0, 10)}"`;
  }
  if (type === 'INT64' || type === 'INT32' || type === 'BOOLEAN') return String;
  if (type === 'BYTE_ARRAY' && (converted === 'UTF8' || logical?.type === 'STRING'))
    return cachedText();
  return renderNested;
}

/** Text columns repeat themselves: the last few thousand texts are kept as JSON. */
function cachedText(): (value: unknown) => string {
  const known = new Map<unknown, string>();
  return (value) => {
    let text = known.get(value);
    if (text === undefined) {
      text = JSON.stringify(value);
      if (known.size >= 4096) known.clear();
      known.set(value, text);
    }
    return text;
  };
}

const twoDigits = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));
/** The date of the last day that was rendered: neighbouring rows share it. */
const lastDay = { day: Number.NaN, text: '' };

/** RFC 3339 with as many digits of a second as the column has; `digits` is 3, 6 or 9. */
function renderTime(value: unknown, digits: 3 | 6 | 9, zone: string): string {
  const perSecond = 10 ** digits;
  let seconds: number;
  let fraction: number;
  const ticks = Number(value);
  if (Number.isSafeInteger(ticks)) {
    seconds = Math.floor(ticks / perSecond);
    fraction = ticks - seconds * perSecond;
  } else {
    const exact = BigInt(value as bigint);
    fraction = Number(((exact % BigInt(perSecond)) + BigInt(perSecond)) % BigInt(perSecond));
    seconds = Number((exact - BigInt(fraction)) / BigInt(perSecond));
  }
  const day = Math.floor(seconds / 86_400);
  if (day !== lastDay.day) {
    lastDay.day = day;
    lastDay.text = new Date(day * 86_400_000).toISOString().slice(0, -13);
  }
  const ofDay = seconds - day * 86_400;
  const minutes = Math.floor(ofDay / 60);
  const clock = `${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:${twoDigits[ofDay % 60]}`;
  const rest = fraction === 0 ? '' : `.${String(fraction).padStart(digits, '0')}`;
  return `"${lastDay.text}${clock}${rest}${zone}"`;
}

function renderNested(value: unknown): string {
  return stringifyJsonText(plain(value));
}

/** What JSON has no word for: bytes become base64, times ISO text. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

function unreadable(path: string, cause: unknown): EtlError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new EtlError('ETL_CONNECTOR_FAILED', `${path}: can not be read as Parquet (${reason})`, {
    cause,
    retryable: false,
  });
}
