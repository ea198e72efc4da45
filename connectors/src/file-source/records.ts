// Cuts a stream of bytes into records that end at line breaks. A line break within quotes belongs to a CSV record. One
// buffer is read into again and again, so what is found is valid until the next call and has to be copied out.

import type { BlockReader } from './block-reader.ts';
import { fileError } from './errors.ts';
import { extendMark, headBytes } from './position.ts';

const newline = 10;
const carriageReturn = 13;

/** Bytes that are read at once: enough that reads are rare, and little enough to stay in the cache. */
const blockBytes = 256 * 1024;

export interface RecordFormat {
  /** Where the stream comes from, for errors. */
  readonly path: string;
  /** Longest record. */
  readonly maxBytes: number;
  /** Quote and delimiter of a CSV file, as bytes; undefined: a record is a line. */
  readonly quoting: { readonly quote: number; readonly delimiter: number } | undefined;
}

/** The records of one stream, one at a time: {@link find} it, use {@link from} to {@link to}, {@link take} it. */
export class RecordReader {
  /** Holds the record. Written over by {@link fill}. */
  bytes: Buffer;
  from = 0;
  to = 0;
  /** Offset of the record in the stream. */
  start = 0;
  /** Offset in the stream where the next record starts: the position of this one. */
  end = 0;
  /** Mark of the file up to {@link end}. */
  mark: number;
  /** Why it is no record, though it stands where one should; undefined when it is one. */
  fault: string | undefined;

  readonly #reader: BlockReader;
  readonly #format: RecordFormat;
  #block: Buffer = Buffer.allocUnsafeSlow(blockBytes);
  /** The part of {@link #block} that holds something. */
  #view: Buffer;
  /** Offset of the first byte of the block in the stream. */
  #base: number;
  /** Index of the first byte that belongs to no record yet. */
  #start = 0;
  #next = 0;
  #isFound = false;
  #isEnded = false;
  #isQuoteOpen = false;
  /** Index of the next quote, where it is at or behind the start. */
  #quoteAt = -1;
  #markedTo: number;
  /** The record before was taken at the end of the file, without its line break. */
  #isMidLine: boolean;
  /** The beginning of a record that is too long, while its end is looked for. */
  #overlong: Buffer | undefined;
  /** Where that is. */
  #overlongStart = 0;

  constructor(reader: BlockReader, offset: number, format: RecordFormat) {
    this.#reader = reader;
    this.#format = format;
    this.#base = offset;
    this.#view = this.#block.subarray(0, 0);
    this.bytes = this.#view;
    this.mark = extendMark(0, reader.head);
    this.#markedTo = reader.head.length;
    this.#isMidLine = offset > 0 && reader.before !== newline;
  }

  /** Looks for the next record in what was read; false: it takes more, see {@link fill}. Empty lines are left out. */
  find(): boolean {
    if (this.#isFound) return true;
    const view = this.#view;
    while (this.#overlong === undefined) {
      const from = this.#start;
      const end = this.#findEnd(from);
      const last = end < 0 ? view.length : end;
      if (last - from > this.#format.maxBytes) return this.#skipOverlong(from);
      if (end < 0 && (!this.#isEnded || last === from)) return false;
      if (end < 0 && this.#isQuoteOpen)
        return this.#firstLine(from, 'has a quote that is never closed');
      const to = last > from && view[last - 1] === carriageReturn ? last - 1 : last;
      const next = end < 0 ? last : end + 1;
      if (to > from) return this.#found({ from, to, next });
      this.#start = next;
    }
    return this.#endOverlong();
  }

  /** Leaves the record behind. */
  take(): void {
    this.#start = this.#next;
    this.#isFound = false;
  }

  /** Reads more; false when there is nothing more now. */
  async fill(): Promise<boolean> {
    if (this.#isEnded) return false;
    this.#makeRoom();
    const filled = this.#view.length;
    const count = await this.#reader.read(this.#block, filled);
    if (count === 0) return false;
    if (this.#isMidLine) this.#assertLineEnds(this.#block[filled] as number);
    this.#view = this.#block.subarray(0, filled + count);
    this.bytes = this.#view;
    if (this.#base === 0 && filled < 3) this.#skipByteOrderMark();
    return true;
  }

  /** Nothing more is read: what is left is a record even without a line break. True when that makes a difference. */
  finish(): boolean {
    if (this.#isEnded) return false;
    this.#isEnded = true;
    return this.#start < this.#view.length || this.#overlong !== undefined;
  }

  get isFinished(): boolean {
    return this.#isEnded;
  }

  /** Bytes that are left, those in memory included. */
  left(): number {
    return this.#view.length - this.#start + this.#reader.left();
  }

  /** How much of the beginning of the stream {@link mark} is of. */
  get markedBytes(): number {
    return this.#markedTo;
  }

  #found({ from, to, next }: { from: number; to: number; next: number }, fault?: string): true {
    this.bytes = this.#view;
    this.from = from;
    this.to = to;
    this.start = this.#base + from;
    this.#next = next;
    this.end = this.#base + next;
    this.fault = fault;
    this.#isFound = true;
    if (this.#markedTo < headBytes) this.#markTo(this.end);
    return true;
  }

  #markTo(offset: number): void {
    const to = Math.min(offset, headBytes);
    if (to <= this.#markedTo) return;
    const bytes = this.#view.subarray(this.#markedTo - this.#base, to - this.#base);
    this.mark = extendMark(this.mark, bytes);
    this.#markedTo = to;
  }

  /** Index of the line break that ends the record, or -1. Tells by {@link #isQuoteOpen} whether a quote is why. */
  #findEnd(from: number): number {
    const view = this.#view;
    const { quoting } = this.#format;
    const end = view.indexOf(newline, from);
    if (quoting === undefined) return end;
    this.#isQuoteOpen = false;
    if (this.#quoteAt < from) {
      const quoteAt = view.indexOf(quoting.quote, from);
      this.#quoteAt = quoteAt < 0 ? view.length : quoteAt;
    }
    if (this.#quoteAt >= (end < 0 ? view.length : end)) return end;
    return this.#findQuotedEnd(from, quoting.quote, quoting.delimiter);
  }

  /** As above, where there is a quote before the line break. It opens only where a field begins (RFC 4180). */
  #findQuotedEnd(from: number, quote: number, delimiter: number): number {
    const view = this.#view;
    let isFieldStart = true;
    for (let at = from; at < view.length; at++) {
      const byte = view[at] as number;
      if (byte === newline) return at;
      if (byte === quote && isFieldStart) {
        at = view.indexOf(quote, at + 1);
        while (at >= 0 && view[at + 1] === quote) at = view.indexOf(quote, at + 2);
        this.#isQuoteOpen = at < 0;
        if (at < 0 || (at + 1 === view.length && !this.#isEnded)) return -1;
      }
      isFieldStart = byte === delimiter;
    }
    return -1;
  }

  /** The line at `from` is a fault of its own; what follows it is read as records again. */
  #firstLine(from: number, fault: string): true {
    const end = this.#view.indexOf(newline, from);
    const to = end < 0 ? this.#view.length : end;
    return this.#found({ from, to, next: end < 0 ? to : end + 1 }, fault);
  }

  #skipOverlong(from: number): boolean {
    const { maxBytes } = this.#format;
    const end = this.#view.indexOf(newline, from);
    if (end >= 0 && end - from <= maxBytes) {
      return this.#firstLine(from, `has a quote that is not closed within ${maxBytes} bytes`);
    }
    this.#overlong = Buffer.from(this.#view.subarray(from, from + maxBytes));
    this.#overlongStart = this.#base + from;
    this.#start = from;
    return this.#endOverlong();
  }

  /** Looks for the end of the record that is too long, forgetting what it passes. */
  #endOverlong(): boolean {
    const view = this.#view;
    const end = view.indexOf(newline, this.#start);
    if (end < 0 && !this.#isEnded) {
      this.#markTo(this.#base + view.length);
      this.#start = view.length;
      return false;
    }
    this.#found(
      { from: 0, to: this.#format.maxBytes, next: end < 0 ? view.length : end + 1 },
      `is longer than ${this.#format.maxBytes} bytes; raise maxRecordBytes to take it`,
    );
    this.bytes = this.#overlong as Buffer;
    this.start = this.#overlongStart;
    this.#overlong = undefined;
    return true;
  }

  /** Moves what is left to the front, and doubles the block where that leaves less than half of it. */
  #makeRoom(): void {
    const rest = this.#view.length - this.#start;
    const block =
      rest > this.#block.length / 2 ? Buffer.allocUnsafeSlow(this.#block.length * 2) : this.#block;
    this.#view.copy(block, 0, this.#start);
    this.#block = block;
    this.#view = block.subarray(0, rest);
    this.bytes = this.#view;
    this.#base += this.#start;
    this.#start = 0;
    this.#quoteAt = -1;
  }

  #assertLineEnds(next: number): void {
    this.#isMidLine = false;
    if (next === newline || next === carriageReturn) return;
    throw fileError(
      this.#format.path,
      'has grown in the middle of the line that was taken for its last; use follow: true for files that grow',
    );
  }

  #skipByteOrderMark(): void {
    const [first, second, third] = this.#view;
    if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
      throw fileError(this.#format.path, 'is UTF-16; convert it to UTF-8');
    }
    if (first === 0xef && second === 0xbb && third === 0xbf) this.#start = 3;
  }
}
