// The words of the log, in the shape of Raft: what is stored, what can be asked, and the one way to write. Raft's core
// is written against RaftLog; whatever implements it must promise what docs/specs/0003-log-format.md says.

import type { EtlError } from '@etl-router/core';

/** `configuration`: a change of members; `normal`: a command, or without data the beginning of a term. */
export type EntryType = 'normal' | 'configuration';

/** An entry of the log. */
export interface Entry {
  /** From 1. */
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  /** At most {@link maxEntryBytes}; not to be changed once appended. */
  readonly data: Uint8Array;
}

/** A place in the log. Index 0, term 0: before the first entry. */
export interface LogPosition {
  readonly index: number;
  readonly term: number;
}

/** What a member must not forget beside its entries. */
export interface HardState {
  readonly term: number;
  /** Raft id that was voted for in the term; 0: none. */
  readonly vote: number;
  /** Highest index known to be committed; may be older than the truth. */
  readonly commit: number;
}

/** Written together: all of it takes effect or nothing, a snapshot before the entries. */
export interface LogRecord {
  /** The commit index may be that of the record's own entries. */
  readonly hardState?: HardState;
  /** Without gaps. Replaces everything from the first one's index on. */
  readonly entries?: readonly Entry[];
  /**
   * A snapshot file of that position is durable. Entries stay if the log agrees with it; otherwise all are dropped and
   * the log continues behind it.
   */
  readonly snapshot?: LogPosition;
}

/** What of the hard state holds before the entries of the same record: what they replace is not committed. */
export function stateBefore(hardState: HardState, entries: readonly Entry[]): HardState {
  const [first] = entries;
  if (first === undefined || hardState.commit < first.index) return hardState;
  return { ...hardState, commit: first.index - 1 };
}

/** Told once when a record is durable, or with the error that ended the log. Never called before append returns. */
export type AppendDone = (error?: EtlError) => void;

/** What was appended, durable or not. */
export interface LogReader {
  readonly hardState: HardState;
  /** The latest durable snapshot. */
  readonly snapshot: LogPosition;
  /** The last entry that was released; its term stays known. */
  readonly compacted: LogPosition;
  /** Index of the first entry held: one above {@link compacted}. */
  readonly firstIndex: number;
  /** Index of the last entry; one below {@link firstIndex} when none is held. */
  readonly lastIndex: number;
  /** The term of an entry; undefined when it is released or does not exist. */
  term(index: number): number | undefined;
  /** Entries from `low` up to but without `high`, up to `maxBytes` of data, but at least one. */
  entries(low: number, high: number, maxBytes: number): readonly Entry[];
}

/** The log. */
export interface RaftLog extends LogReader {
  /** The last entry that is durable. */
  readonly durable: LogPosition;
  /** The error that ended the log. */
  readonly failure: EtlError | undefined;
  /** Queues a record. Records take effect in the order of the calls. */
  append(record: LogRecord, done: AppendDone): void;
  /** Releases entries up to `index`, which a durable snapshot must cover. */
  compact(index: number, done: AppendDone): void;
  /** Writes what is queued and closes the files. */
  close(): Promise<void>;
}

/** Data of one entry. */
export const maxEntryBytes: number = 1024 * 1024;

/** Before the first entry. */
export const logStart: LogPosition = { index: 0, term: 0 };
