// A CSV row (RFC 4180) as a JSON object, from bytes to bytes: no field becomes a string on the way. csv-parse reads the
// header; rows it reads at a tenth of the speed (docs/connectors/file-source.md), and the tests compare with it.

import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { fileError } from './errors.ts';
import type { CsvSettings } from './settings.ts';

const quoteMark = 34;
const backslash = 92;
const minus = 45;
const point = 46;
const zero = 48;
const nine = 57;

/** What a byte of a JSON string needs: 0 nothing, 1 a backslash before it, 2 an escape of its own, 3 a look at UTF-8. */
const needs: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === quoteMark || byte === backslash) return 1;
  if (byte < 32) return 2;
  return byte < 128 ? 0 : 3;
});

const escapes: readonly Buffer[] = Array.from({ length: 32 }, (_, byte) =>
  Buffer.from(JSON.stringify(String.fromCharCode(byte)).slice(1, -1)),
);

/** The names in a header row. */
export function parseHeader(row: Buffer, csv: CsvSettings, path: string): readonly string[] {
  const { delimiter, quote } = csv;
  let names: string[];
  try {
    [names = []] = parse(row, {
      delimiter,
      quote: quote === '' ? null : quote,
      escape: quote === '' ? null : quote,
      relax_quotes: true,
      record_delimiter: '\n',
    }) as string[][];
  } catch (cause) {
    throw fileError(path, 'the header is no CSV', cause);
  }
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated === undefined) return names;
  const name = JSON.stringify(repeated.slice(0, 100));
  throw fileError(
    path,
    `the header names ${name} twice; set csv.header: false and csv.columns, or mend the file`,
  );
}

/** Converts rows. What it wrote last is in {@link bytes}, {@link from} to {@link to}, until the next call. */
export class RowConverter {
  bytes: Buffer = Buffer.allocUnsafeSlow(4096);
  readonly from = 0;
  to = 0;

  readonly #names: readonly string[];
  readonly #keys: readonly Buffer[];
  readonly #keyBytes: number;
  readonly #delimiter: number;
  readonly #quote: number;
  readonly #infers: boolean;
  readonly #allowsShort: boolean;
  #row: Buffer = this.bytes;
  #end = 0;
  /** Where the field that was read last ends. */
  #at = 0;
  #hasWide = false;

  constructor(names: readonly string[], csv: CsvSettings) {
    this.#names = names;
    this.#keys = names.map((name, index) =>
      Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`),
    );
    this.#keyBytes = this.#keys.reduce((sum, { length }) => sum + length, 0);
    this.#delimiter = csv.delimiter.charCodeAt(0);
    this.#quote = csv.quote === '' ? -1 : csv.quote.charCodeAt(0);
    this.#infers = csv.types === 'infer';
    this.#allowsShort = csv.allowShortRows;
  }

  /** Converts the row at `from` to `to`; says what is wrong with it, or undefined. */
  convert(row: Buffer, from: number, to: number): string | undefined {
    this.#reserve(to - from);
    this.#row = row;
    this.#end = to;
    this.#at = from;
    this.#hasWide = false;
    const keys = this.#keys;
    let out = 0;
    let field = 0;
    for (;;) {
      const key = keys[field];
      if (key === undefined) return this.#wrongCount();
      for (let index = 0; index < key.length; index++) this.bytes[out++] = key[index] as number;
      out = this.#field(out);
      if (out < 0) return `has a quote that is never closed, in field ${this.#nameOf(field)}`;
      field++;
      if (this.#at === to) break;
      if (row[this.#at] !== this.#delimiter)
        return `has text behind the closing quote of field ${this.#nameOf(field - 1)}`;
      this.#at++;
    }
    if (field < keys.length && !this.#allowsShort) return this.#wrongCount();
    this.bytes[out++] = 125;
    this.to = out;
    return this.#hasWide && !isUtf8(row.subarray(from, to)) ? 'is not UTF-8' : undefined;
  }

  /** Room for the largest JSON of a row: six bytes for each of its own, a key, two quotes and `null` for each field. */
  #reserve(rowBytes: number): void {
    const needed = rowBytes * 6 + this.#keyBytes + this.#keys.length * 4 + 2;
    if (needed > this.bytes.length) this.bytes = Buffer.allocUnsafeSlow(needed * 2);
  }

  #field(start: number): number {
    if (this.#at < this.#end && this.#row[this.#at] === this.#quote) return this.#quoted(start);
    return this.#infers ? this.#inferred(start) : this.#plain(start);
  }

  #plain(start: number): number {
    const { bytes } = this;
    const row = this.#row;
    const end = this.#end;
    const delimiter = this.#delimiter;
    let at = this.#at;
    let out = start;
    bytes[out++] = quoteMark;
    while (at < end) {
      const byte = row[at] as number;
      if (byte === delimiter) break;
      if (needs[byte] === 0) bytes[out++] = byte;
      else out = this.#escaped(byte, out);
      at++;
    }
    bytes[out++] = quoteMark;
    this.#at = at;
    return out;
  }

  /** Negative when the quote is not closed. */
  #quoted(start: number): number {
    const { bytes } = this;
    const row = this.#row;
    const end = this.#end;
    const quote = this.#quote;
    let at = this.#at + 1;
    let out = start;
    bytes[out++] = quoteMark;
    for (; at < end; at++) {
      const byte = row[at] as number;
      if (byte === quote) {
        at++;
        if (at >= end || row[at] !== quote) {
          bytes[out++] = quoteMark;
          this.#at = at;
          return out;
        }
      }
      if (needs[byte] === 0) bytes[out++] = byte;
      else out = this.#escaped(byte, out);
    }
    return -1;
  }

  #escaped(byte: number, start: number): number {
    const { bytes } = this;
    let out = start;
    if (needs[byte] === 2) return out + (escapes[byte] as Buffer).copy(bytes, out);
    if (needs[byte] === 1) bytes[out++] = backslash;
    else this.#hasWide = true;
    bytes[out++] = byte;
    return out;
  }

  /** A field without quotes as number, boolean or null, where its text says exactly that; else as text. */
  #inferred(start: number): number {
    const row = this.#row;
    const last = this.#end;
    const delimiter = this.#delimiter;
    let end = this.#at;
    while (end < last && row[end] !== delimiter) end++;
    const text = literalOf(row, this.#at, end);
    if (text !== undefined) {
      this.#at = end;
      return start + text.copy(this.bytes, start);
    }
    if (!isExactNumber(row, this.#at, end)) return this.#plain(start);
    const { bytes } = this;
    let out = start;
    for (let at = this.#at; at < end; at++) bytes[out++] = row[at] as number;
    this.#at = end;
    return out;
  }

  #wrongCount(): string {
    let count = 1;
    for (let at = this.#at; at < this.#end; at++) if (this.#row[at] === this.#delimiter) count++;
    const known = this.#keys.length;
    return count > known || this.#at < this.#end
      ? `has more fields than the ${known} of the header`
      : `has fewer fields than the ${known} of the header; set csv.allowShortRows to take it`;
  }

  #nameOf(field: number): string {
    return JSON.stringify(this.#names[field]?.slice(0, 100));
  }
}

const literals: readonly Buffer[] = ['true', 'false'].map((text) => Buffer.from(text));
const nullText: Buffer = Buffer.from('null');

function literalOf(row: Buffer, from: number, to: number): Buffer | undefined {
  if (from === to) return nullText;
  const size = to - from;
  if (size !== 4 && size !== 5) return undefined;
  const literal = literals[size - 4] as Buffer;
  for (let index = 0; index < size; index++)
    if (row[from + index] !== literal[index]) return undefined;
  return literal;
}

/**
 * Whether the text is a JSON number of which nothing is lost: a whole number of at most 18 digits, or a decimal fraction
 * of at most 15. `007`, `+1`, `1e5` and `-0` are text: they are more often names of things.
 */
function isExactNumber(row: Buffer, from: number, to: number): boolean {
  const first = row[from] === minus ? from + 1 : from;
  let at = first;
  let hasDigit = false;
  while (at < to && isDigit(row[at] as number)) hasDigit = row[at++] !== zero || hasDigit;
  const whole = at - first;
  if (whole === 0 || (whole > 1 && row[first] === zero)) return false;
  if (at === to) return whole <= 18 && (hasDigit || first === from);
  if (row[at++] !== point) return false;
  const fraction = at;
  while (at < to && isDigit(row[at] as number)) hasDigit = row[at++] !== zero || hasDigit;
  if (at < to || at === fraction || whole + at - fraction > 15) return false;
  return hasDigit || first === from;
}

function isDigit(byte: number): boolean {
  return byte >= zero && byte <= nine;
}
