// Cuts a stream of bytes into records that end at line breaks. Where a record ends is a question of the format: a CSV
// field may hold a line break in quotes. The position of a record is the offset of its end, so that reading goes on there
// and the order of positions is the order of the file.

import { EtlError } from '@etl-router/core';
import type { BlockReader } from './block-reader.ts';

const newline = 10;
const carriageReturn = 13;
const quote = 34;
/** UTF-8's mark at the start of a file, which is no part of the first record. */
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

/** Finds where the record that starts at `from` ends: index of its line break, or -1 when it is not in `bytes`. */
export type FindEnd = (bytes: Buffer, from: number) => number;

/** A record is a line. */
export const findLineEnd: FindEnd = (bytes, from) => bytes.indexOf(newline, from);

/**
 * A record is a line, but line breaks within quotes belong to it (RFC 4180). Quotes open only where a field begins, so
 * that a stray one, as in `5" pipe`, spoils its own row and not all that follow.
 */
export function csvEnd(delimiter: string): FindEnd {
  const separator = delimiter.charCodeAt(0);
  return (bytes, from) => {
    let at = from;
    let end = -1;
    for (let opened = bytes.indexOf(quote, from); ; opened = bytes.indexOf(quote, opened + 1)) {
      if (end < at) end = bytes.indexOf(newline, at);
      if (end < 0 || opened < 0 || opened > end) return end;
      if (opened !== from && (opened < at || bytes[opened - 1] !== separator)) continue;
      let close = opened;
      do {
        close = bytes.indexOf(quote, close + 1);
        if (close < 0) return -1;
      } while (bytes[close + 1] === quote && ++close > 0);
      at = close + 1;
      opened = close;
    }
  };
}

/** A record's bytes: `from` to `to` within `bytes`, line break left out. Valid until the next call. */
export interface Line {
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
  /** Offset in the stream where the next record starts. */
  readonly end: number;
}

/** The records of one stream. */
export class LineReader {
  readonly #reader: BlockReader;
  readonly #options: {
    readonly findEnd: FindEnd;
    readonly maxBytes: number;
    readonly name: string;
    readonly follow: boolean;
  };
  #bytes: Buffer = Buffer.alloc(0);
  #from = 0;
  /** Offset of `#bytes[0]` in the stream. */
  #base: number;
  #isAtEnd = false;

  constructor(
    reader: BlockReader,
    offset: number,
    options: {
      readonly findEnd: FindEnd;
      readonly maxBytes: number;
      readonly name: string;
      readonly follow: boolean;
    },
  ) {
    this.#reader = reader;
    this.#base = offset;
    this.#options = options;
  }

  /** The next record that is in memory; undefined: call {@link fill}. Empty lines are left out. */
  take(): Line | undefined {
    const { findEnd, maxBytes } = this.#options;
    for (;;) {
      const from = this.#from + this.#markLength();
      let end = findEnd(this.#bytes, from);
      let next = end + 1;
      if (end < 0) {
        const rest = this.#bytes.length - from;
        if (rest > maxBytes) throw this.#tooLong(from);
        if (!this.#isAtEnd || rest === 0 || this.#options.follow) return undefined;
        end = this.#bytes.length;
        next = end;
      }
      if (end - from > maxBytes) throw this.#tooLong(from);
      this.#from = next;
      const to = end > from && this.#bytes[end - 1] === carriageReturn ? end - 1 : end;
      if (to > from) return { bytes: this.#bytes, from, to, end: this.#base + next };
    }
  }

  /** Reads more; false when there is nothing more now. */
  async fill(): Promise<boolean> {
    const block = await this.#reader.read();
    if (block === undefined) {
      const isNew = !this.#isAtEnd;
      this.#isAtEnd = true;
      return isNew && this.#from < this.#bytes.length && !this.#options.follow;
    }
    this.#isAtEnd = false;
    const rest = this.#bytes.subarray(this.#from);
    this.#base += this.#from;
    this.#bytes = rest.length === 0 ? block : Buffer.concat([rest, block]);
    this.#from = 0;
    return true;
  }

  /** Bytes that are left, those in memory included. */
  async left(): Promise<number> {
    return this.#bytes.length - this.#from + (await this.#reader.left());
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  #markLength(): number {
    if (this.#base + this.#from > 0) return 0;
    return this.#bytes.subarray(0, 3).equals(byteOrderMark) ? 3 : 0;
  }

  #tooLong(from: number): EtlError {
    const { name, maxBytes } = this.#options;
    return new EtlError(
      'ETL_CONNECTOR_FAILED',
      `${name}: the record at offset ${this.#base + from} is longer than ${maxBytes} bytes; raise maxRecordBytes or mend the file`,
      { retryable: false },
    );
  }
}
