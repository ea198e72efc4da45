// The rows of one Parquet row group in memory. Columns are decoded one after the other, and each is replaced by its
// different values as JSON text and a number per row, unless they hardly repeat: a fifth of the memory, and a value is
// rendered once, not once a row.

import { type AsyncBuffer, type FileMetaData, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { openFile } from './block-reader.ts';
import { fileError } from './errors.ts';
import {
  columnsOf,
  type ParquetColumn,
  type Render,
  valueParsers,
  withBareTypes,
} from './parquet-values.ts';

/** More different values than this and a column is kept as it is. */
const distinctMax = 65_536;

/** A file that is read at offsets and stays the same file when another takes its name. */
export interface ParquetBuffer extends AsyncBuffer {
  /** Throws when it was written to since it was opened. */
  assertUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file to be read at offsets. */
export async function openBuffer(path: string): Promise<ParquetBuffer> {
  const handle = await openFile(path);
  const info = await handle.stat();
  const { size, mtimeMs } = info;
  if (!info.isFile()) {
    await handle.close();
    throw fileError(path, 'is not a regular file');
  }
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
    assertUnchanged: async () => {
      const now = await handle.stat();
      if (now.size === size && now.mtimeMs <= mtimeMs) return;
      throw fileError(path, 'was written to while it was read; a Parquet file has to be whole');
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
    this.#metadata = withBareTypes(metadata);
  }

  /** Rows `start` (inclusive) to `end` (exclusive), which have to be one group. */
  async read(start: number, end: number, signal: AbortSignal): Promise<RowGroup> {
    const texts: TextOf[] = [];
    for (const column of this.#columns) {
      signal.throwIfAborted();
      texts.push(await this.#read(column, start, end));
    }
    const names = this.#columns.map(({ name }) => JSON.stringify(name));
    return new RowGroup(start, end, { names, texts });
  }

  async #read(
    { name, isParsed, render }: ParquetColumn,
    rowStart: number,
    rowEnd: number,
  ): Promise<TextOf> {
    const texts = new TextTable(render);
    const parts: ArrayLike<unknown>[] = [];
    await parquetRead({
      file: this.#file,
      metadata: this.#metadata,
      columns: [name],
      compressors,
      parsers: valueParsers(isParsed ? (value) => texts.add(value) : (value) => value),
      utf8: false,
      rowStart,
      rowEnd,
      onChunk: ({ columnData }) => parts.push(columnData),
    });
    const count = parts.reduce((sum, { length }) => sum + length, 0);
    if (count !== rowEnd - rowStart)
      throw new Error(`column ${JSON.stringify(name)} has ${count} of ${rowEnd - rowStart} values`);
    if (!isParsed) return partsText(parts, render);
    const codes = toCodes(parts, count);
    if (codes === undefined) return partsText(parts, (value) => texts.text(value));
    return codedText(texts, codes);
  }
}

/** A function of its own, so that what it returns does not keep the decoded values in memory. */
function codedText(texts: TextTable, codes: Uint16Array): TextOf {
  return (row) => texts.text(codes[row]);
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

/** The different values of a column as JSON text, each with a number. Number 0 is null. */
class TextTable {
  readonly #render: Render;
  readonly #codes = new Map<unknown, number>();
  readonly #texts: string[] = ['null'];

  constructor(render: Render) {
    this.#render = render;
  }

  /** The number of a value; its text itself when there are too many. */
  add(value: unknown): number | string {
    const key = value instanceof Uint8Array ? this.#render(value) : value;
    const known = this.#codes.get(key);
    if (known !== undefined) return known;
    const text = typeof key === 'string' ? key : this.#render(key);
    if (this.#texts.length === distinctMax) return text;
    const code = this.#texts.push(text) - 1;
    this.#codes.set(key, code);
    return code;
  }

  /** The text of what {@link TextTable.add} returned. */
  text(value: unknown): string {
    if (typeof value === 'string') return value;
    return this.#texts[(value as number | null | undefined) ?? 0] as string;
  }
}

/** Values of a column, page after page. */
type Parts = readonly ArrayLike<unknown>[];

/** The values as numbers of texts; undefined where one is a text. */
function toCodes(parts: Parts, count: number): Uint16Array | undefined {
  const codes = new Uint16Array(count);
  let row = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++) {
      const value = part[index] ?? 0;
      if (typeof value !== 'number') return undefined;
      codes[row++] = value;
    }
  }
  return codes;
}

function partsText(parts: Parts, render: Render): TextOf {
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
