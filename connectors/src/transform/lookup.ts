// Adds the fields of a row that is looked up by key in a table from a file. The table is read when the stage opens and held
// in memory, with a bound. A record whose key has no row goes on marked, is dropped, or fails: as it is set.

import { resolve } from 'node:path';
import {
  EtlError,
  type PartitionReader,
  type Source,
  type StageContext,
  toEtlError,
} from '@etl-router/core';
import type { Fields, JsonObject } from '@etl-router/pipeline';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { fileSource } from '../file-source/file-source.ts';
import { JsonTransform, recordError, type Step, withHeader } from './json-transform.ts';
import { getAt, isMap, type JsonMap, parsePath, setIn, toText } from './path.ts';
import { pathFault, readPathMap } from './read.ts';

interface LookupSettings {
  /** Settings of the file source that reads the table. */
  readonly file: JsonObject;
  /** Rows whose column has one of these values are left out. */
  readonly exclude: readonly (readonly [string, readonly string[]])[];
  readonly maxRows: number;
  /** Of the rows as JSON. */
  readonly maxBytes: number;
  /** Which of two rows with one key counts. */
  readonly onDuplicate: 'error' | 'first' | 'last';
  readonly keys: readonly { readonly field: string; readonly column: string }[];
  /** Target field to column; empty: all columns. */
  readonly fields: readonly (readonly [string, string])[];
  readonly merge: 'merge' | 'nest' | 'replace';
  readonly prefix: string;
  readonly onMiss: 'passThrough' | 'drop' | 'error';
  readonly markField: string | undefined;
}

/** Header of a record that went on without a row: the name of the stage that missed it. */
const missHeader = 'etl-lookup-miss';

/** The rows by key while they are read. */
interface Table {
  readonly rows: Map<string, JsonMap>;
  bytes: number;
}

/** `lookup`. */
export const lookupTransform: AnyConnector = defineConnector<LookupSettings>({
  kind: 'transform',
  type: 'lookup',
  settings: [
    {
      name: 'table.file',
      type: 'map',
      fallback: 'required',
      help: 'The file with the table: `path`, `format` and the other settings of the file source.',
    },
    {
      name: 'table.file.exclude',
      type: 'map of column to values',
      fallback: '',
      help: 'Rows with one of these values in the column are left out.',
    },
    {
      name: 'table.maxRows',
      type: 'number',
      fallback: '1000000',
      help: 'More rows are refused: the table is in memory. Rows without a key are left out.',
    },
    {
      name: 'table.maxBytes',
      type: 'size',
      fallback: '256Mi',
      help: 'A table with more bytes, counted as JSON, is refused. In memory it takes a few times as much.',
    },
    {
      name: 'table.onDuplicate',
      type: 'error, first or last',
      fallback: 'last',
      help: 'Which of several rows with one key counts. error: such a table is refused.',
    },
    {
      name: 'keys',
      type: 'list of maps',
      fallback: 'required',
      help: 'Each with `field`, a field of the record, and `column`, the column it equals (default: the same name).',
    },
    {
      name: 'fields',
      type: 'map of path to column',
      fallback: 'all columns',
      help: 'The fields that are added, and the columns they come from.',
    },
    {
      name: 'merge',
      type: 'merge, nest or replace',
      fallback: 'merge',
      help: 'merge: the fields stand in the payload. nest: in a map under `prefix`. replace: they are the payload.',
    },
    {
      name: 'prefix',
      type: 'text',
      fallback: '',
      help: 'merge: before each added name. nest: name of the map, default `lookup`.',
    },
    {
      name: 'onMiss',
      type: 'passThrough, drop or error',
      fallback: 'passThrough',
      help: 'What happens to a record without a row. passThrough: it goes on with the header `etl-lookup-miss`, which names the stage.',
    },
    {
      name: 'markField',
      type: 'path',
      fallback: '',
      help: 'A field that is set to true when a row was found, else to false.',
    },
  ],
  earlierNames: { output_prefix: 'prefix', merge_strategy: 'merge', on_miss: 'onMiss' },
  read: readLookup,
  capabilities: () => ({ deterministic: true }),
  create: (settings) => new JsonTransform((context) => openLookup(settings, context)),
});

function readLookup(fields: Fields): LookupSettings {
  const table = fields.fields('table');
  if (table === undefined) fields.report('table', { code: 'MissingField', message: 'is needed' });
  const given = table?.raw('file');
  if (table !== undefined && !isMap(given))
    table.report('file', {
      code: 'MissingField',
      message: 'is needed: a map with the path of the table',
    });
  const { exclude, ...file } = (isMap(given) ? given : { path: 'x.csv' }) as JsonObject;
  for (const finding of fileSource.open(file, 'table').findings) {
    table?.report('file', {
      code: finding.code,
      message: `${finding.path.replace('spec.file', 'file')}: ${finding.message}`,
      suggestion: finding.suggestion,
    });
  }
  const maxRows = table?.integer('maxRows', 1_000_000, { min: 1, max: 10_000_000 }) ?? 1;
  const maxBytes = table?.bytes('maxBytes', 268_435_456, { min: 1, max: 2 ** 40 }) ?? 1;
  const onDuplicate =
    table?.oneOf('onDuplicate', ['error', 'first', 'last'] as const, 'last') ?? 'last';
  table?.end();
  const markField = fields.text('markField');
  const fault = markField === undefined ? undefined : pathFault(markField);
  if (fault !== undefined) fields.report('markField', { code: 'BadValue', message: fault });
  return {
    file,
    exclude: readExclude(fields, exclude),
    maxRows,
    maxBytes,
    onDuplicate,
    keys: readKeys(fields),
    fields: readPathMap(fields, 'fields', () => undefined),
    merge: fields.oneOf('merge', ['merge', 'nest', 'replace'] as const, 'merge'),
    prefix: fields.text('prefix') ?? '',
    onMiss: readOnMiss(fields),
    markField,
  };
}

function readOnMiss(fields: Fields): LookupSettings['onMiss'] {
  if (fields.raw('onMiss') === 'pass_through') return 'passThrough';
  return fields.oneOf('onMiss', ['passThrough', 'drop', 'error'] as const, 'passThrough');
}

function readKeys(fields: Fields): LookupSettings['keys'] {
  const items = fields.list('keys');
  if (items.length === 0) fields.report('keys', { code: 'MissingField', message: 'is needed' });
  return items.flatMap(({ value, path }) => {
    const given = isMap(value) ? value : {};
    const { field = given['record_field'], column = given['lookup_key'] ?? field } = given;
    if (typeof field === 'string' && typeof column === 'string' && pathFault(field) === undefined)
      return [{ field, column }];
    fields.report('keys', {
      code: 'BadValue',
      message: `${path} needs field, a path, and may have column`,
    });
    return [];
  });
}

function readExclude(fields: Fields, exclude: unknown): LookupSettings['exclude'] {
  if (exclude === undefined) return [];
  const entries = isMap(exclude) ? Object.entries(exclude) : [];
  const isFine = entries.length > 0 && entries.every(([, values]) => Array.isArray(values));
  if (!isFine)
    fields.report('table', {
      code: 'BadValue',
      message: 'file.exclude needs a map of column to a list of values',
    });
  return isFine
    ? entries.map(([column, values]) => [column, (values as unknown[]).map(String)])
    : [];
}

async function openLookup(settings: LookupSettings, context: StageContext): Promise<Step> {
  const table = await readTable(settings, context);
  const keys = settings.keys.map(({ field }) => parsePath(field));
  const mark = settings.markField === undefined ? undefined : parsePath(settings.markField);
  const merge = mergerOf(settings);
  return (value) => {
    const key = keyOf(keys.map((path) => getAt(value, path)));
    const row = key === undefined ? undefined : table.get(key);
    if (row === undefined && settings.onMiss === 'drop') return undefined;
    if (row === undefined && settings.onMiss === 'error') {
      throw recordError(
        'LOOKUP_MISS',
        `no row of the table has the key ${settings.keys.map(({ field }) => field).join(', ')}`,
      );
    }
    const result = { ...(row === undefined || settings.merge !== 'replace' ? value : row) };
    if (row !== undefined) merge(result, row);
    if (mark !== undefined) setIn(result, mark, row !== undefined);
    return row === undefined ? withHeader(result, missHeader, context.stage) : result;
  };
}

/** How a row gets into a copy of the payload. */
function mergerOf({
  merge,
  prefix,
  fields,
}: LookupSettings): (into: JsonMap, row: JsonMap) => void {
  if (merge === 'replace') return () => {};
  if (merge === 'nest') {
    const path = [prefix === '' ? 'lookup' : prefix];
    return (into, row) => setIn(into, path, row);
  }
  const paths = new Map<string, readonly string[]>();
  const pathOf = (name: string): readonly string[] => {
    let path = paths.get(name);
    if (path === undefined) {
      path = fields.length > 0 ? parsePath(`${prefix}${name}`) : [`${prefix}${name}`];
      if (paths.size < 1000) paths.set(name, path);
    }
    return path;
  };
  return (into, row) => {
    for (const name of Object.keys(row)) setIn(into, pathOf(name), row[name]);
  };
}

/** Keys are compared as text, so that 1 finds the row of "1" in a CSV table. A key that lacks a member equals none. */
function keyOf(members: readonly unknown[]): string | undefined {
  if (members.some((member) => member === undefined || member === null)) return undefined;
  return members.length === 1 ? toText(members[0]) : JSON.stringify(members.map(toText));
}

async function readTable(
  settings: LookupSettings,
  context: StageContext,
): Promise<ReadonlyMap<string, JsonMap>> {
  const source = fileSource.open(settings.file, context.stage).create() as Source;
  const { signal } = new AbortController();
  const table: Table = { rows: new Map(), bytes: 0 };
  try {
    await source.open(context);
    for (const { name } of await source.partitions(signal)) {
      const lane = { pipeline: context.pipeline, source: context.stage, partition: name };
      const reader = await source.openPartition({ lane, epoch: 0, after: undefined, signal });
      try {
        await addRows(settings, table, reader);
      } finally {
        await reader.close();
      }
    }
  } catch (cause) {
    const error = toEtlError(cause, 'ETL_CONNECTOR_FAILED');
    throw new EtlError(
      error.code,
      `stage ${context.stage}: the table ${describeFile(settings, context)} can not be read: ${error.message}`,
      {
        cause,
        retryable: error.retryable,
      },
    );
  } finally {
    await source.close();
  }
  return table.rows;
}

async function addRows(
  settings: LookupSettings,
  table: Table,
  reader: PartitionReader,
): Promise<void> {
  const { signal } = new AbortController();
  for (;;) {
    const read = await reader.next({ maxRecords: 4096, maxBytes: 4 * 1024 * 1024, signal });
    if (read.kind !== 'batch') return;
    for (let index = 0; index < read.batch.count; index++) {
      if (addRow(settings, table.rows, read.batch.value(index)))
        table.bytes += read.batch.payload(index).length;
    }
    if (table.rows.size > settings.maxRows) throw tooLarge(`${settings.maxRows} rows`, 'maxRows');
    if (table.bytes > settings.maxBytes) throw tooLarge(`${settings.maxBytes} bytes`, 'maxBytes');
  }
}

function tooLarge(bound: string, setting: string): EtlError {
  const message = `it has more than ${bound}; raise table.${setting}, or make the table smaller`;
  return new EtlError('ETL_LIMIT_EXCEEDED', message);
}

function duplicate({ keys }: LookupSettings, key: string): EtlError {
  const columns = keys.map(({ column }) => column).join(', ');
  const shown = key.length > 100 ? `${key.slice(0, 100)}…` : key;
  const message = `more than one row has the key ${JSON.stringify(shown)} in ${columns}; remove all but one, or set table.onDuplicate to first or last`;
  return new EtlError('ETL_CONFIG_INVALID', message);
}

function describeFile({ file }: LookupSettings, context: StageContext): string {
  const { path } = file as { readonly path?: string };
  return resolve(context.baseDirectory, String(path));
}

/** Adds a row unless it is excluded or has no key; says which. */
function addRow(settings: LookupSettings, rows: Map<string, JsonMap>, row: unknown): boolean {
  if (!isMap(row))
    throw new EtlError('ETL_CONNECTOR_FAILED', 'a row is no JSON object', { retryable: false });
  for (const [column, values] of settings.exclude) {
    if (values.includes(toText(columnOf(row, column)))) return false;
  }
  const key = keyOf(settings.keys.map(({ column }) => columnOf(row, column)));
  if (key === undefined) return false;
  if (settings.onDuplicate !== 'last' && rows.has(key)) {
    if (settings.onDuplicate === 'first') return false;
    throw duplicate(settings, key);
  }
  rows.set(key, settings.fields.length === 0 ? row : pick(settings, row));
  return true;
}

function pick({ fields, merge }: LookupSettings, row: JsonMap): JsonMap {
  const picked: JsonMap = {};
  for (const [target, column] of fields) {
    const member = columnOf(row, column);
    const path = merge === 'merge' ? [target] : parsePath(target);
    if (member !== undefined) setIn(picked, path, member);
  }
  return picked;
}

/** A column by its name, which may have dots, or else by its path. */
function columnOf(row: JsonMap, column: string): unknown {
  return Object.hasOwn(row, column) ? row[column] : getAt(row, parsePath(column));
}
