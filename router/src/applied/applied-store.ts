// Where the applied state is kept between two starts. It knows rows of bytes and the place in the log they stand for,
// nothing of what they mean. It may forget after a crash, but must never be wrong: then it is empty and the state is
// rebuilt from the snapshot and the log.

import type { LogPosition } from '../storage/log-types.ts';

/** A row. Rows are ordered by the bytes of their keys. */
export type Row = readonly [key: Uint8Array, value: Uint8Array];

/** A row to write, or without a value to delete. */
export interface RowChange {
  readonly key: Uint8Array;
  /** Of its entry whenever it is asked for, which is when it is written; never, where a later change replaces this one. */
  readonly value: Uint8Array | undefined;
}

/** So many changes that they are told one by one when they are written, and as of their entry however late that is. */
export interface ManyChanges {
  readonly many: Iterable<RowChange>;
}

/** Changes in the order in which they count. */
export type Changes = readonly (RowChange | ManyChanges)[];

/** All rows as of one moment, while writes go on. */
export interface AppliedView {
  readonly applied: LogPosition;
  /** In order, some at a time. To be read once. */
  rows(): AsyncIterable<readonly Row[]>;
  close(): Promise<void>;
}

/** Rows and the place in the log that they stand for. */
export interface AppliedStore {
  /** The last entry whose changes it has, written or waiting to be; index 0 when it is empty. */
  readonly applied: LogPosition;
  /** All rows, in order. */
  load(): Promise<readonly Row[]>;
  /**
   * Takes the changes of entries up to `applied`, in order; every view has all of them or none. They may be written
   * later: what can not be is thrown by a call that comes after. Calls must not overlap.
   */
  apply(changes: Changes, applied: LogPosition): Promise<void>;
  /** Replaces everything. */
  replace(rows: Iterable<Row>, applied: LogPosition): Promise<void>;
  view(): Promise<AppliedView>;
  /** Closes it so that the next start finds all of it. After an error it is closed as a crash would leave it. */
  close(): Promise<void>;
}
