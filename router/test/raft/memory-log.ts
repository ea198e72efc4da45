// A log for the core's tests: in memory, durable when the test says so. What is left of it after a crash is what was
// durable.

import { type LogRecord, stateBefore } from '../../src/storage/log-types.ts';
import { LogView } from '../../src/storage/log-view.ts';

export class MemoryLog extends LogView {
  readonly #records: LogRecord[] = [];
  #durable = 0;

  /** Records that were appended. */
  get count(): number {
    return this.#records.length;
  }

  /** Records that are durable. */
  get durable(): number {
    return this.#durable;
  }

  write(record: LogRecord): void {
    this.#records.push(record);
    const { hardState, entries = [], snapshot } = record;
    if (hardState !== undefined) this.setHardState(stateBefore(hardState, entries));
    if (snapshot !== undefined) {
      if (this.term(snapshot.index) === snapshot.term) this.markSnapshot(snapshot);
      else this.reset(snapshot);
    }
    for (const entry of entries) this.append(entry);
    if (hardState !== undefined) this.setHardState(hardState);
  }

  /** Makes everything durable. */
  sync(): void {
    this.#durable = this.#records.length;
  }

  /** Releases entries up to `index`, of which a snapshot is kept. */
  release(index: number): void {
    const position = { index, term: this.term(index) as number };
    if (index > this.snapshot.index) this.write({ snapshot: position });
    this.compact(position);
  }

  /** What a restart finds. */
  afterCrash(): MemoryLog {
    const log = new MemoryLog();
    for (const record of this.#records.slice(0, this.#durable)) log.write(record);
    const isReleased = this.compacted.index > log.compacted.index;
    if (isReleased && this.compacted.index <= log.snapshot.index) log.compact(this.compacted);
    log.sync();
    return log;
  }
}
