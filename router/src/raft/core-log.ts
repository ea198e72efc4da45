// The log as the core sees it: what the driver has appended, and behind it the entries of this turn that it has not
// been handed yet. The driver hands every record to the log before it calls the core again, so the two never overlap
// in time.

import { assert } from '@etl-router/core';
import type { Entry, LogPosition, LogReader } from '../storage/log-types.ts';

export class CoreLog {
  readonly #reader: LogReader;
  /** Replaces everything from its first index on. */
  #tail: Entry[] = [];
  /** A snapshot taken in this turn: everything up to it is released. */
  #snapshot: LogPosition | undefined;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  get snapshot(): LogPosition {
    return this.#snapshot ?? this.#reader.snapshot;
  }

  get firstIndex(): number {
    return this.#snapshot === undefined ? this.#reader.firstIndex : this.#snapshot.index + 1;
  }

  get lastIndex(): number {
    const last = this.#tail.at(-1);
    if (last !== undefined) return last.index;
    return this.#snapshot === undefined ? this.#reader.lastIndex : this.#snapshot.index;
  }

  get lastTerm(): number {
    return this.term(this.lastIndex) as number;
  }

  /** The term of an entry; undefined where it is released or does not exist. */
  term(index: number): number | undefined {
    const first = this.#tail[0];
    if (first !== undefined && index >= first.index) return this.#tail[index - first.index]?.term;
    if (this.#snapshot === undefined) return this.#reader.term(index);
    return index === this.#snapshot.index ? this.#snapshot.term : undefined;
  }

  /** Entries from `low` up to but without `high`, up to `maxBytes` of data, but at least one. */
  entries(low: number, high: number, maxBytes: number): readonly Entry[] {
    if (low >= high) return [];
    const tailFrom = this.#tail[0]?.index ?? Number.POSITIVE_INFINITY;
    const stored =
      low < tailFrom ? this.#reader.entries(low, Math.min(high, tailFrom), maxBytes) : [];
    const next = low + stored.length;
    if (next < tailFrom || next >= high) return stored;
    let bytes = stored.reduce((sum, { data }) => sum + data.length, 0);
    const entries = [...stored];
    for (const entry of this.#tail.slice(next - tailFrom, high - tailFrom)) {
      bytes += entry.data.length;
      if (entries.length > 0 && bytes > maxBytes) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Puts entries at the end, replacing what is there from the first one's index on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index <= this.lastIndex + 1, 'the log has no gaps');
    assert(first.index >= this.firstIndex, 'what is released is not replaced');
    const tailFrom = this.#tail[0]?.index;
    if (tailFrom === undefined || first.index <= tailFrom) this.#tail = [...entries];
    else {
      this.#tail.length = first.index - tailFrom;
      this.#tail.push(...entries);
    }
  }

  /** Forgets everything: the log goes on behind a snapshot that it does not agree with. */
  restore(snapshot: LogPosition): void {
    this.#tail = [];
    this.#snapshot = snapshot;
  }

  /** What was appended since the last call. The driver hands it to the log at once. */
  take(): { readonly entries: readonly Entry[]; readonly snapshot: LogPosition | undefined } {
    const taken = { entries: this.#tail, snapshot: this.#snapshot };
    this.#tail = [];
    this.#snapshot = undefined;
    return taken;
  }

  /** Whether a log that ends with that entry is at least as up to date (thesis 3.6.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const own = this.lastTerm;
    return lastTerm > own || (lastTerm === own && lastIndex >= this.lastIndex);
  }

  /**
   * The last entry at or before `index` whose term is at most `term`: what lies between can not agree with a log that
   * has that term there. With its term, or 0 where that is released.
   */
  lastWithTermAtMost(index: number, term: number): LogPosition {
    let at = Math.min(index, this.lastIndex);
    for (; at > 0; at--) {
      const own = this.term(at);
      if (own === undefined) return { index: at, term: 0 };
      if (own <= term) return { index: at, term: own };
    }
    return { index: 0, term: 0 };
  }
}
