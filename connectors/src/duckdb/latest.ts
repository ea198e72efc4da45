// What upsert keeps of one write: of rows with the same key only the last, since a merge takes each key once.

import type { RecordFailure } from '@etl-router/core';
import type { Cell } from '../columns/convert.ts';
import { type Column, printable, type Rows } from '../columns/table.ts';

/**
 * The rows by key, the last of each, in the order of the last ones; a row without its key is a failure. None may have
 * failed before.
 */
export function latestByKey(columns: readonly Column[], key: readonly string[], rows: Rows): Rows {
  const places = key.map((name) => columns.findIndex((column) => column.name === name));
  const absent = places.indexOf(-1);
  const failures: RecordFailure[] = [];
  const lastByKey = new Map<string, number>();
  for (let row = 0; row < rows.records.length; row++) {
    const cells = places.map((place) => (place < 0 ? null : (rows.cells[place]?.[row] ?? null)));
    const missing = absent >= 0 ? absent : cells.indexOf(null);
    if (missing >= 0) {
      failures.push(withoutKey(rows.records[row] as number, key[missing] as string));
      continue;
    }
    lastByKey.set(keyText(cells as readonly Cell[]), row);
  }
  if (lastByKey.size === rows.records.length) return rows;
  const kept = [...lastByKey.values()].sort((a, b) => a - b);
  return {
    cells: rows.cells.map((column) => kept.map((row) => column[row] as Cell | null)),
    records: kept.map((row) => rows.records[row] as number),
    failures,
  };
}

/** A text that is the same exactly for equal keys. */
function keyText(cells: readonly Cell[]): string {
  const [only] = cells;
  if (cells.length === 1 && typeof only === 'string') return only;
  return JSON.stringify(
    cells.map((cell) =>
      cell instanceof Uint8Array ? Buffer.from(cell).toString('hex') : String(cell),
    ),
  );
}

function withoutKey(index: number, column: string): RecordFailure {
  return {
    index,
    code: 'KEY_MISSING',
    message: `key column ${printable(column)} is null or absent`,
    retryable: false,
  };
}
