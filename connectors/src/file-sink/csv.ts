// Rows as CSV by RFC 4180: fields quoted where they must be, quotes doubled, lines ended by a line feed. Null is an
// empty field and an empty text is "", so that both can be told apart.

import type { Cell } from '../columns/convert.ts';
import { createFormatter } from '../columns/format.ts';
import type { Column, Rows } from '../columns/table.ts';

/** The line that names the columns. */
export function encodeHeader(columns: readonly Column[], delimiter: string): Buffer {
  const names = columns.map(({ name }) => quoted(name, delimiter));
  return Buffer.from(`${names.join(delimiter)}\n`);
}

/** A line for each row. */
export function encodeCsvRows(columns: readonly Column[], rows: Rows, delimiter: string): Buffer {
  const formatters = columns.map(({ type }) => createFormatter(type));
  const lines: string[] = [];
  for (let row = 0; row < rows.records.length; row++) {
    let line = '';
    for (let column = 0; column < formatters.length; column++) {
      const cell = rows.cells[column]?.[row] as Cell | null;
      if (column > 0) line += delimiter;
      if (cell !== null)
        line += quoted((formatters[column] as (cell: Cell) => string)(cell), delimiter);
    }
    lines.push(`${line}\n`);
  }
  return Buffer.from(lines.join(''));
}

function quoted(text: string, delimiter: string): string {
  if (text === '') return '""';
  return text.includes('"') ||
    text.includes(delimiter) ||
    text.includes('\n') ||
    text.includes('\r')
    ? `"${text.replaceAll('"', '""')}"`
    : text;
}
