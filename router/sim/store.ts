// The applied rows of a member, on a disk that takes its time: a batch is there at once or not at all, as LevelDB's is,
// but it is asked for first and there later, and snapshots are taken meanwhile.

import type { AppliedStore, AppliedView, Changes, Row } from '../src/applied/applied-store.ts';
import { MemoryStore } from '../src/applied/memory-store.ts';
import type { LogPosition } from '../src/storage/log-types.ts';

export class SlowStore implements AppliedStore {
  readonly #rows = new MemoryStore();
  readonly #wait: () => Promise<void>;

  constructor(wait: () => Promise<void>) {
    this.#wait = wait;
  }

  get applied(): LogPosition {
    return this.#rows.applied;
  }

  load(): Promise<readonly Row[]> {
    return this.#rows.load();
  }

  async apply(changes: Changes, applied: LogPosition): Promise<void> {
    await this.#wait();
    await this.#rows.apply(changes, applied);
  }

  async replace(rows: Iterable<Row>, applied: LogPosition): Promise<void> {
    await this.#wait();
    await this.#rows.replace(rows, applied);
  }

  async view(): Promise<AppliedView> {
    await this.#wait();
    return await this.#rows.view();
  }

  close(): Promise<void> {
    return this.#rows.close();
  }
}
