// The rows of one Parquet row group in memory. Columns are decoded one after the other, and each is replaced by its
// different values as JSON text and a number per row, unless they hardly repeat: a fifth of the memory, and a value is
// rendered once, not once a row.

import { open } from 'node:fs/promises';
import { type AsyncBuffer, type FileMetaData, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import {
  columnsOf,
  type ParquetColumn,
  parsers,
  type Render,
  withRawTypes,
} from './parquet-values.ts';

/** More different values than this and a column is kept as it is. */
const distinctMax = 65_536;

/** A file that is read at offsets and stays the same file when another takes its name. */
export interface ParquetBuffer extends AsyncBuffer {
  close(): Promise<void>;
}

/** Opens a file to be read at offsets. */
export async function openBuffer(path: string): Promise<ParquetBuffer> {
  const handle = await open(path, 'r');
  const { size } = await handle.stat();
  return {
    byteLength: size,
    slice: async (start, end = size) => {
      const bytes = new Uint8Array(end - start);
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at);
        if (bytesRead === 0) throw new Error(`it ends at ${start + at} and was ${size} bytes long`);
        at += bytesRead;
      }
      return bytes.buffer;
    },
    close: () => handle.close(),
  };
}

/** A column of a group: the JSON text of a row's value. */
type TextOf = (row: number) => string;

/** Reads row groups of one file. */
export class GroupReader {
  readonly #file: ParquetBuffer;
  readonly #metadata: FileMetaData;
  readonly #columns: readonly ParquetColumn[];

  constructor(file: ParquetBuffer, metadata: FileMetaData) {
    this.#file = file;
    this.#columns = columnsOf(metadata);
    this.#metadata = withRawTypes(metadata);
  }

  /** Rows `start` (inclusive) to `end` (exclusive), which have to be one group. */
  async read(start: number, end: number, signal: AbortSignal): Promise<RowGroup> {
    const texts: TextOf[] = [];
    for (const column of this.#columns) {
      signal.throwIfAborted();
      texts.push(textOf(await this.#values(column.name, start, end), column));
    }
    const names = this.#columns.map(({ name }) => JSON.stringify(name));
    return new RowGroup(start, end, { names, texts });
  }

  async #values(name: string, rowStart: number, rowEnd: number): Promise<Parts> {
    const parts: ArrayLike<unknown>[] = [];
    await parquetRead({
      file: this.#file,
      metadata: this.#metadata,
      columns: [name],
      compressors,
      parsers,
      utf8: false,
      rowStart,
      rowEnd,
      onChunk: ({ columnData }) => parts.push(columnData),
    });
    return parts;
  }
}

/** Decoded rows. */
export class RowGroup {
  readonly start: number;
  readonly end: number;
  readonly #keys: readonly string[];
  readonly #texts: readonly TextOf[];

  constructor(
    start: number,
    end: number,
    columns: { readonly names: readonly string[]; readonly texts: readonly TextOf[] },
  ) {
    this.start = start;
    this.end = end;
    this.#keys = columns.names.map((name, index) => `${index === 0 ? '{' : ','}${name}:`);
    this.#texts = columns.texts;
  }

  has(row: number): boolean {
    return row >= this.start && row < this.end;
  }

  /** The row as a JSON object. */
  json(row: number): string {
    const at = row - this.start;
    const keys = this.#keys;
    const texts = this.#texts;
    let text = '';
    for (let index = 0; index < keys.length; index++) {
      text += keys[index] as string;
      text += (texts[index] as TextOf)(at);
    }
    return keys.length === 0 ? '{}' : `${text}}`;
  }
}

/** Values of a column, page after page. */
type Parts = readonly ArrayLike<unknown>[];

function textOf(parts: Parts, { isFlat, render }: ParquetColumn): TextOf {
  const coded = isFlat ? codedText(parts, render) : undefined;
  if (coded !== undefined) return coded;
  const starts: number[] = [];
  let count = 0;
  for (const part of parts) {
    starts.push(count);
    count += part.length;
  }
  let current = 0;
  return (row) => {
    while (current > 0 && row < (starts[current] as number)) current--;
    while (current + 1 < starts.length && row >= (starts[current + 1] as number)) current++;
    return render((parts[current] as ArrayLike<unknown>)[row - (starts[current] as number)]);
  };
}

/** The column by the different values it has; undefined when these are many. */
function codedText(parts: Parts, render: Render): TextOf | undefined {
  const count = parts.reduce((sum, { length }) => sum + length, 0);
  const codes = new Uint16Array(count);
  const codeOf = new Map<unknown, number>();
  const texts: string[] = [];
  let row = 0;
  let [lastValue, lastCode]: [unknown, number] = [Number.NaN, 0];
  for (const part of parts) {
    for (let index = 0; index < part.length; index++) {
      const value = part[index] ?? null;
      if (value !== lastValue) {
        const known = codeOf.get(value);
        if (
          known === undefined &&
          (texts.length === distinctMax || (row > 8192 && texts.length > row / 2))
        )
          return undefined;
        lastCode = known ?? texts.push(render(value)) - 1;
        if (known === undefined) codeOf.set(value, lastCode);
        lastValue = value;
      }
      codes[row++] = lastCode;
    }
  }
  return (at) => texts[codes[at] as number] as string;
}
