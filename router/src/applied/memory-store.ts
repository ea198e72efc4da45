// The applied state in memory: what the simulator uses, where every stop is an unclean one.

import { type LogPosition, logStart } from '../storage/log-types.ts';
import type { AppliedStore, AppliedView, Changes, Row, RowChange } from './applied-store.ts';

/** Rows that last as long as the object. */
export class MemoryStore implements AppliedStore {
  readonly #rows = new Map<string, Row>();
  #applied: LogPosition = logStart;

  get applied(): LogPosition {
    return this.#applied;
  }

  load(): Promise<readonly Row[]> {
    return Promise.resolve(this.#sorted());
  }

  apply(changes: Changes, applied: LogPosition): Promise<void> {
    for (const change of changes) {
      for (const each of 'many' in change ? change.many : [change]) this.#write(each);
    }
    this.#applied = applied;
    return Promise.resolve();
  }

  replace(rows: Iterable<Row>, applied: LogPosition): Promise<void> {
    this.#rows.clear();
    return this.apply(
      Array.from(rows, ([key, value]) => ({ key, value })),
      applied,
    );
  }

  view(): Promise<AppliedView> {
    const rows = this.#sorted();
    return Promise.resolve({
      applied: this.#applied,
      async *rows() {
        await Promise.resolve();
        yield rows;
      },
      close: () => Promise.resolve(),
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #write({ key, value }: RowChange): void {
    const name = Buffer.from(key).toString('latin1');
    if (value === undefined) this.#rows.delete(name);
    else this.#rows.set(name, [key.slice(), value.slice()]);
  }

  #sorted(): readonly Row[] {
    return [...this.#rows.values()].sort(([a], [b]) => Buffer.compare(a, b));
  }
}
