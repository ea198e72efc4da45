// Reads the settings that name columns, the same for every sink with a table.

import { isEtlError } from '@etl-router/core';
import type { Fields } from '@etl-router/pipeline';
import type { SettingHelp } from '../connector-type.ts';
import { parseValuePath } from './path.ts';
import {
  type Column,
  isColumnName,
  maxColumns,
  type NewFields,
  newFieldsPolicies,
} from './table.ts';
import { columnTypeNames, findColumnType } from './type.ts';

/** What the settings say of a table's columns. */
export interface ColumnSettings {
  /** In the order of the settings; undefined: inferred from the first records. */
  readonly columns: readonly Column[] | undefined;
  readonly newFields: NewFields;
}

/** Help of the two settings; `inferred` says what happens to new fields of an inferred table by default. */
export function columnSettingsHelp(inferred: NewFields): readonly SettingHelp[] {
  return [
    {
      name: 'columns',
      type: 'map of name to type, or to {type, from}',
      fallback: '',
      help: 'Columns in order. Without it they are inferred from the first records.',
    },
    {
      name: 'newFields',
      type: 'error, ignore or addColumns',
      fallback: `ignore with columns, else ${inferred}`,
      help: 'What happens to payload fields that no column takes: the record fails, the field is left out, or the table grows.',
    },
  ];
}

/** Reads `columns` and `newFields`. */
export function readColumnSettings(
  fields: Fields,
  inferred: NewFields,
  policies: readonly NewFields[] = newFieldsPolicies,
): ColumnSettings {
  const map = fields.fields('columns');
  const columns = map === undefined ? undefined : readColumns(map);
  const fallback = columns === undefined ? inferred : 'ignore';
  return { columns, newFields: fields.oneOf('newFields', policies, fallback) };
}

function readColumns(map: Fields): readonly Column[] {
  const columns: Column[] = [];
  const seen = new Set<string>();
  for (const name of map.names()) {
    if (!isColumnName(name)) {
      bad(map, name, 'needs a name of 1 to 255 bytes without control characters');
    } else if (seen.has(name.toLowerCase())) {
      bad(map, name, 'is there twice: column names differ by more than case');
    }
    seen.add(name.toLowerCase());
    columns.push(readColumn(map, name));
  }
  if (columns.length === 0 || columns.length > maxColumns) {
    bad(map, '', `needs 1 to ${maxColumns} columns, not ${columns.length}`);
  }
  return columns;
}

function readColumn(map: Fields, name: string): Column {
  if (typeof map.raw(name) === 'string') {
    return { name, type: readType(map, name), from: undefined };
  }
  const column = map.fields(name);
  if (column === undefined) return { name, type: { kind: 'json' }, from: undefined };
  const type = readType(column, 'type');
  const from = column.text('from');
  if (from !== undefined) checkPath(column, from);
  column.end();
  return { name, type, from };
}

function readType(fields: Fields, name: string): Column['type'] {
  const text = fields.requiredText(name);
  const type = text === undefined ? undefined : findColumnType(text);
  if (text !== undefined && type === undefined) {
    bad(fields, name, `is not a column type; there are ${columnTypeNames.join(', ')}`);
  }
  return type ?? { kind: 'json' };
}

function checkPath(fields: Fields, path: string): void {
  try {
    parseValuePath(path, 'from');
  } catch (error) {
    if (!isEtlError(error)) throw error;
    bad(fields, 'from', error.message.replace('from: ', ''));
  }
}

function bad(fields: Fields, name: string, message: string): void {
  fields.report(name, { code: 'BadValue', message });
}
