// The log in memory: every entry that is not compacted, and the state beside them, as of the last append. The same
// rules hold for appending and for reading back; a record that breaks one is a bug in the first case (assert) and
// damage in the second (recover.ts).

import { assert } from '@etl-router/core';
import type { LogBase } from './frames.ts';
import {
  type Entry,
  type HardState,
  type LogPosition,
  type LogReader,
  logStart,
} from './log-types.ts';

/** What an entry costs in memory beside its data. */
const entryOverheadBytes = 64;

/** Entries and state. */
export class LogView implements LogReader {
  #entries: Entry[] = [];
  /** Index before the first entry held. Above the compacted index only while an old segment is read back. */
  #before = 0;
  #bytes = 0;
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };
  #snapshot: LogPosition = logStart;
  #compacted: LogPosition = logStart;

  get hardState(): HardState {
    return this.#hardState;
  }

  get snapshot(): LogPosition {
    return this.#snapshot;
  }

  get compacted(): LogPosition {
    return this.#compacted;
  }

  get firstIndex(): number {
    return this.#before + 1;
  }

  get lastIndex(): number {
    return this.#before + this.#entries.length;
  }

  /** Memory that the entries take, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether entries above the compacted index are missing. */
  get hasGap(): boolean {
    return this.#before > this.#compacted.index;
  }

  term(index: number): number | undefined {
    if (index === this.#compacted.index) return this.#compacted.term;
    return this.#entries[index - this.#before - 1]?.term;
  }

  entries(low: number, high: number, maxBytes: number): readonly Entry[] {
    assert(
      low >= this.firstIndex && low <= high && high <= this.lastIndex + 1,
      `entries ${low} to ${high} are outside the log, ${this.firstIndex} to ${this.lastIndex}`,
    );
    const first = low - this.#before - 1;
    const end = high - this.#before - 1;
    let bytes = 0;
    let at = first;
    for (; at < end; at++) {
      bytes += (this.#entries[at] as Entry).data.length;
      if (bytes > maxBytes && at > first) break;
    }
    return this.#entries.slice(first, at);
  }

  setHardState(next: HardState): void {
    const { term, vote, commit } = this.#hardState;
    assert(next.term >= term, `the term went back from ${term} to ${next.term}`);
    assert(
      next.term > term || vote === 0 || next.vote === vote,
      `the vote of term ${term} changed from ${vote} to ${next.vote}`,
    );
    assert(next.commit >= commit, `the commit index went back from ${commit} to ${next.commit}`);
    this.#hardState = next;
  }

  /** Appends an entry in place of everything from its index on. */
  append(entry: Entry): void {
    const { index, term } = entry;
    assert(
      index > this.#compacted.index && index <= this.lastIndex + 1,
      `entry ${index} does not fit a log of entries ${this.firstIndex} to ${this.lastIndex}`,
    );
    assert(
      index > this.#hardState.commit || index > this.lastIndex,
      `entry ${index} would replace a committed one; committed up to ${this.#hardState.commit}`,
    );
    assert(
      term <= this.#hardState.term && term >= (this.term(index - 1) ?? 0),
      `entry ${index} has term ${term}; the one before has ${this.term(index - 1)}, the log ${this.#hardState.term}`,
    );
    this.#cut(index);
    this.#entries.push(entry);
    this.#bytes += entry.data.length + entryOverheadBytes;
  }

  /** A snapshot of entries that the log holds and keeps. */
  markSnapshot(position: LogPosition): void {
    assert(
      position.index >= this.#snapshot.index,
      `the snapshot went back from ${this.#snapshot.index} to ${position.index}`,
    );
    this.#snapshot = position;
  }

  /** A snapshot that takes the place of all entries. */
  reset(position: LogPosition): void {
    this.markSnapshot(position);
    this.#entries = [];
    this.#bytes = 0;
    this.#before = position.index;
    this.#compacted = position;
  }

  /** Releases entries up to and including `position`. */
  compact(position: LogPosition): void {
    const { index } = position;
    assert(
      index >= this.#compacted.index && index <= this.#snapshot.index,
      `can not compact to ${index}: compacted to ${this.#compacted.index}, snapshot at ${this.#snapshot.index}`,
    );
    this.#compacted = position;
    const count = Math.min(index - this.#before, this.#entries.length);
    if (count <= 0) return;
    for (const entry of this.#entries.splice(0, count)) {
      this.#bytes -= entry.data.length + entryOverheadBytes;
    }
    this.#before += count;
  }

  /** Starts reading back at a segment: entries up to `base.last` may be in segments that are gone. */
  startAt(base: LogBase): void {
    this.#hardState = base.hardState;
    this.#snapshot = base.snapshot;
    this.#compacted = base.compacted;
    this.#entries = [];
    this.#bytes = 0;
    this.#before = base.last.index;
  }

  /** Drops entries from `index` on. */
  #cut(index: number): void {
    if (index <= this.#before) this.#before = index - 1;
    const keep = index - this.#before - 1;
    for (const entry of this.#entries.splice(keep)) {
      this.#bytes -= entry.data.length + entryOverheadBytes;
    }
  }
}
