// The settings of the DuckDB sink.

import type { Fields } from '@etl-router/pipeline';
import {
  type ColumnSettings,
  columnSettingsHelp,
  readColumnSettings,
} from '../columns/settings.ts';
import { isColumnName } from '../columns/table.ts';
import type { SettingHelp } from '../connector-type.ts';
import { ownSchema } from './positions.ts';

/** What a write does to the table. */
export type DuckdbMode = 'append' | 'replace' | 'upsert';
const modes: readonly DuckdbMode[] = ['append', 'replace', 'upsert'];

export interface DuckdbSettings extends ColumnSettings {
  readonly path: string;
  readonly schema: string;
  readonly table: string;
  readonly mode: DuckdbMode;
  /** Key columns of upsert; empty: the record's id, in {@link idColumn}. */
  readonly key: readonly string[];
  readonly idColumn: string;
  readonly memoryLimitBytes: number;
  readonly threads: number;
  /** Undefined: the file stays open. */
  readonly idleCloseAfterMs: number | undefined;
}

const mebibyte = 1024 * 1024;

/** Help of every setting. */
export const duckdbSettingsHelp: readonly SettingHelp[] = [
  {
    name: 'path',
    type: 'path',
    fallback: 'required',
    help: 'The database file; it and its directory are made when missing.',
  },
  { name: 'table', type: 'text', fallback: 'required', help: 'The table; made when missing.' },
  {
    name: 'schema',
    type: 'text',
    fallback: 'main',
    help: 'The schema of the table; made when missing.',
  },
  {
    name: 'mode',
    type: 'append, replace or upsert',
    fallback: 'append',
    help: 'What a load does to the table, see below.',
  },
  {
    name: 'key',
    type: 'list of columns',
    fallback: "the record's id",
    help: 'For `upsert`: the columns by which rows are the same.',
  },
  {
    name: 'idColumn',
    type: 'text',
    fallback: 'etl_id',
    help: "For `upsert` without `key`: the column that holds the record's id.",
  },
  ...columnSettingsHelp('addColumns'),
  {
    name: 'memoryLimit',
    type: 'size',
    fallback: '128Mi',
    help: "DuckDB's own memory limit for this file; at least 64Mi.",
  },
  {
    name: 'threads',
    type: 'number',
    fallback: '1',
    help: "DuckDB's threads for this file, 1 to 64.",
  },
  {
    name: 'idleCloseAfter',
    type: 'duration or never',
    fallback: '2s',
    help: 'The file is closed when nothing was written for this long, so that other processes can open it.',
  },
];

/** Reads the settings. */
export function readDuckdbSettings(fields: Fields): DuckdbSettings {
  const mode = fields.oneOf('mode', modes, 'append');
  const key = readKey(fields);
  const idColumn = readName(fields, 'idColumn', 'etl_id');
  if (mode !== 'upsert' && (fields.has('key') || fields.has('idColumn'))) {
    const name = fields.has('key') ? 'key' : 'idColumn';
    fields.report(name, { code: 'BadValue', message: `is for mode upsert, not ${mode}` });
  }
  const columns = readColumnSettings(fields, 'addColumns');
  for (const name of key) {
    const isThere = columns.columns?.some((column) => column.name === name) ?? true;
    if (!isThere) {
      fields.report('key', {
        code: 'BadValue',
        message: `${JSON.stringify(name)} is none of columns`,
      });
    }
  }
  const schema = readName(fields, 'schema', 'main');
  if (schema.toLowerCase() === ownSchema) {
    fields.report('schema', {
      code: 'BadValue',
      message: `${ownSchema} holds the positions; choose another`,
    });
  }
  return {
    path: readPath(fields),
    schema,
    table: readName(fields, 'table', undefined),
    mode,
    key,
    idColumn,
    ...columns,
    memoryLimitBytes: fields.bytes('memoryLimit', 128 * mebibyte, {
      min: 64 * mebibyte,
      max: 2 ** 40,
    }),
    threads: fields.integer('threads', 1, { min: 1, max: 64 }),
    idleCloseAfterMs:
      fields.raw('idleCloseAfter') === 'never'
        ? undefined
        : fields.durationMs('idleCloseAfter', 2000, { min: 0, max: 86_400_000 }),
  };
}

function readPath(fields: Fields): string {
  const path = fields.requiredText('path') ?? '';
  if (fields.has('path') && (path === '' || path.startsWith(':') || path.includes('\0'))) {
    fields.report('path', {
      code: 'BadValue',
      message: 'needs the path of a file; a database in memory keeps nothing',
    });
  }
  return path;
}

/** Names of the length that the suffix of a staging table leaves room for. */
function readName(fields: Fields, name: string, fallback: string | undefined): string {
  const text = (fallback === undefined ? fields.requiredText(name) : fields.text(name)) ?? fallback;
  if (text !== undefined && (!isColumnName(text) || text.length > 200)) {
    fields.report(name, {
      code: 'BadValue',
      message: 'needs 1 to 200 characters, none of them a control character',
    });
  }
  return text ?? '';
}

function readKey(fields: Fields): readonly string[] {
  const key: string[] = [];
  for (const { value, path } of fields.list('key')) {
    if (typeof value === 'string' && isColumnName(value) && !key.includes(value)) key.push(value);
    else
      fields.report('key', {
        code: 'BadValue',
        message: `${path} needs the name of a column, once`,
      });
  }
  if (fields.has('key') && key.length === 0) {
    fields.report('key', { code: 'BadValue', message: 'needs at least one column' });
  }
  return key;
}
