// The production log with someone who looks over its shoulder: the oracles hear of every record before it is queued.

import type { Log } from '../src/storage/log.ts';
import type {
  AppendDone,
  Entry,
  HardState,
  LogPosition,
  LogRecord,
  RaftLog,
} from '../src/storage/log-types.ts';

export class WatchedLog implements RaftLog {
  readonly #log: Log;
  readonly #onRecord: (record: LogRecord) => void;

  constructor(log: Log, onRecord: (record: LogRecord) => void) {
    this.#log = log;
    this.#onRecord = onRecord;
  }

  get hardState(): HardState {
    return this.#log.hardState;
  }

  get snapshot(): LogPosition {
    return this.#log.snapshot;
  }

  get compacted(): LogPosition {
    return this.#log.compacted;
  }

  get firstIndex(): number {
    return this.#log.firstIndex;
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  get durable(): LogPosition {
    return this.#log.durable;
  }

  get failure(): RaftLog['failure'] {
    return this.#log.failure;
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  get diskBytes(): number {
    return this.#log.diskBytes;
  }

  term(index: number): number | undefined {
    return this.#log.term(index);
  }

  entries(low: number, high: number, maxBytes: number): readonly Entry[] {
    return this.#log.entries(low, high, maxBytes);
  }

  append(record: LogRecord, done: AppendDone): void {
    this.#onRecord(record);
    this.#log.append(record, done);
  }

  compact(index: number, done: AppendDone): void {
    this.#log.compact(index, done);
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}
