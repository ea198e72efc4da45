// A state as a number: the sum over its rows, so that a change costs as much as the rows that changed.

import type { StoredRow } from '../src/state/machine.ts';
import type { Touched } from '../src/state/table.ts';
import type { AnyTable, Tables } from '../src/state/tables.ts';
import { hashOf } from './trace.ts';

export class StateHash {
  value = 0;
  readonly #rows = new Map<string, number>();

  /** Takes in what a command changed. */
  update(touched: readonly Touched[], tables: Tables): void {
    for (const { table, keys } of touched) {
      for (const key of keys) this.#updateRow(tableOf(tables, table), key);
    }
  }

  #updateRow(table: AnyTable, key: string): void {
    const bytes = table.valueBytes(key);
    const hash = bytes === undefined ? 0 : hashOfRow([table.keyBytes(key), bytes]);
    const row = `${table.name} ${key}`;
    this.value += hash - (this.#rows.get(row) ?? 0);
    if (hash === 0) this.#rows.delete(row);
    else this.#rows.set(row, hash);
  }

  /** Begins anew with all rows of the tables. */
  replace(tables: Tables): void {
    this.value = 0;
    this.#rows.clear();
    this.update(
      tables.all.map((table) => ({ table: table.name, keys: table.keys() })),
      tables,
    );
  }
}

/** The same number, from rows as they are stored. */
export function hashOfRows(rows: Iterable<StoredRow>): number {
  let hash = 0;
  for (const row of rows) hash += hashOfRow(row);
  return hash;
}

export function tableOf(tables: Tables, name: string): AnyTable {
  return tables[name as 'objects'];
}

/** Of a long row what is in its middle is left out: only padding is that long. */
function hashOfRow([key, value]: StoredRow): number {
  const start = hashOf(key) + value.length;
  if (value.length <= 1024) return hashOf(value, start);
  return hashOf(value.subarray(-512), hashOf(value.subarray(0, 512), start));
}
