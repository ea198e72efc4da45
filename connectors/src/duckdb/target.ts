// The table a sink writes to: finds it or makes it, lets it grow, and puts rows into it. Works inside the transaction
// it is given and remembers nothing, so that a rollback needs no undoing here.

import type { DuckDBAppender, DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import { EtlError, type RecordBatch } from '@etl-router/core';
import { type Column, type Rows, Table } from '../columns/table.ts';
import { formatColumnType, isSameType } from '../columns/type.ts';
import {
  addColumns,
  createTable,
  quote,
  quoteTable,
  readColumns,
  type StoredColumn,
  type TableName,
  toColumn,
} from './catalog.ts';
import type { DuckdbSettings } from './settings.ts';
import type { ChunkWriter } from './vectors.ts';

/** A table that exists, as found in one generation of the file. */
export interface Target {
  readonly name: TableName;
  readonly table: Table;
  /** The table has exactly these columns in this order, so rows go straight into it. */
  readonly isWhole: boolean;
  readonly writer: ChunkWriter;
}

/** The target if it exists. Throws ETL_CONFIG_INVALID when its columns are not those of the settings. */
export async function findTarget(
  connection: DuckDBConnection,
  name: TableName,
  settings: DuckdbSettings,
): Promise<Target | undefined> {
  const stored = await readColumns(connection, name);
  if (stored === undefined) return undefined;
  const columns = settings.columns === undefined ? allColumns(stored, name) : settings.columns;
  const wanted = withIdColumn(columns, settings);
  const missing = wanted.filter((column) => !isStored(column, stored, name));
  if (missing.length > 0) {
    if (settings.newFields !== 'addColumns') throw missingColumn(missing[0] as Column, name);
    await addColumns(connection, name, missing);
  }
  const all = [...stored, ...missing];
  const isWhole =
    all.length === wanted.length &&
    wanted.every((column, index) => column.name === all[index]?.name);
  return targetOf(name, new Table(wanted, settings.newFields), isWhole);
}

/** Makes the target with the columns of the settings, else with those that the records show; with neither, none. */
export async function makeTarget(
  connection: DuckDBConnection,
  name: TableName,
  {
    settings,
    batch,
  }: { readonly settings: DuckdbSettings; readonly batch: RecordBatch | undefined },
): Promise<Target | undefined> {
  const start = new Table(withIdColumn(settings.columns ?? [], settings), settings.newFields);
  const isKnown = settings.columns !== undefined || batch === undefined;
  const table = isKnown ? start : start.grownBy(batch);
  if (table.columns.length === 0) return undefined;
  await createTable(connection, name, table.columns);
  return targetOf(name, table, true);
}

/** The target with the columns of `grown`, which has some more. */
export async function growTarget(
  connection: DuckDBConnection,
  target: Target,
  grown: Table,
): Promise<Target> {
  await addColumns(connection, target.name, grown.columns.slice(target.table.columns.length));
  return targetOf(target.name, grown, target.isWhole);
}

/** Puts rows into the target, in order. */
export async function insertRows(
  connection: DuckDBConnection,
  target: Target,
  cells: Rows['cells'],
): Promise<void> {
  if (target.isWhole) {
    await appendCells(connection, target.name, target.writer.chunks(cells));
    return;
  }
  const columns = await stage(connection, target, cells);
  await connection.run(
    `INSERT INTO ${quoteTable(target.name)} (${columns}) SELECT ${columns} FROM ${batchTable}`,
  );
  await connection.run(`DROP TABLE ${batchTable}`);
}

/** Puts rows into the target by key: a row that is there is replaced. No key may be there twice in `cells`. */
export async function mergeRows(
  connection: DuckDBConnection,
  target: Target,
  { cells, key }: { readonly cells: Rows['cells']; readonly key: readonly string[] },
): Promise<void> {
  const columns = await stage(connection, target, cells);
  const names = target.table.columns.map(({ name }) => quote(name));
  const keys = key.map(quote);
  const rest = names.filter((name) => !keys.includes(name));
  const update = rest.map((name) => `${name} = s.${name}`).join(', ');
  await connection.run(
    `MERGE INTO ${quoteTable(target.name)} AS t USING ${batchTable} AS s
     ON (${keys.map((name) => `t.${name} = s.${name}`).join(' AND ')})
     ${update === '' ? '' : `WHEN MATCHED THEN UPDATE SET ${update}`}
     WHEN NOT MATCHED THEN INSERT (${columns}) VALUES (${names.map((name) => `s.${name}`).join(', ')})`,
  );
  await connection.run(`DROP TABLE ${batchTable}`);
}

/** Rows of one write on their way into a table; temporary tables are not logged. */
const batchTable = 'temp.main.etl_batch';

async function stage(
  connection: DuckDBConnection,
  target: Target,
  cells: Rows['cells'],
): Promise<string> {
  const { columns } = target.table;
  const definitions = columns.map(({ name, type }) => `${quote(name)} ${formatColumnType(type)}`);
  await connection.run(`CREATE OR REPLACE TEMP TABLE etl_batch (${definitions.join(', ')})`);
  const into = { catalog: 'temp', schema: 'main', table: 'etl_batch' };
  await appendCells(connection, into, target.writer.chunks(cells));
  return columns.map(({ name }) => quote(name)).join(', ');
}

async function appendCells(
  connection: DuckDBConnection,
  into: TableName & { readonly catalog?: string },
  chunks: Iterable<DuckDBDataChunk>,
): Promise<void> {
  const appender = await connection.createAppender(into.table, into.schema, into.catalog ?? null);
  try {
    for (const chunk of chunks) appender.appendDataChunk(chunk);
    appender.flushSync();
  } catch (error) {
    discard(appender);
    throw error;
  }
  appender.closeSync();
}

/** Ends an appender that failed; its own complaint would hide the first one. */
function discard(appender: DuckDBAppender): void {
  try {
    appender.clear();
    appender.closeSync();
  } catch {
    // It reports again what was reported.
  }
}

async function targetOf(name: TableName, table: Table, isWhole: boolean): Promise<Target> {
  const { ChunkWriter } = await import('./vectors.ts');
  const writer = new ChunkWriter(table.columns.map(({ type }) => type));
  return { name, table, isWhole, writer };
}

function withIdColumn(columns: readonly Column[], settings: DuckdbSettings): readonly Column[] {
  if (settings.mode !== 'upsert' || settings.key.length > 0) return columns;
  const id: Column = { name: settings.idColumn, type: { kind: 'text' }, from: 'id' };
  const at = columns.findIndex(({ name }) => name === id.name);
  return at < 0 ? [id, ...columns] : columns.with(at, id);
}

function allColumns(stored: readonly StoredColumn[], name: TableName): readonly Column[] {
  return stored.map((column) => {
    const filled = toColumn(column);
    if (filled !== undefined) return filled;
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `table ${name.table}: column ${column.name} has the type ${column.type}, which is not filled; name the columns to fill in the setting columns`,
      { details: { field: 'columns', table: name.table, column: column.name } },
    );
  });
}

function isStored(column: Column, stored: readonly StoredColumn[], name: TableName): boolean {
  const lower = column.name.toLowerCase();
  const found = stored.find((candidate) => candidate.name.toLowerCase() === lower);
  if (found === undefined) return false;
  const type = toColumn(found)?.type;
  if (type !== undefined && isSameType(type, column.type)) return true;
  throw new EtlError(
    'ETL_CONFIG_INVALID',
    `columns.${column.name}: is ${formatColumnType(column.type)}, but ${found.type} in table ${name.table}; change one of them`,
    { details: { field: `columns.${column.name}`, table: name.table } },
  );
}

function missingColumn(column: Column, name: TableName): EtlError {
  return new EtlError(
    'ETL_CONFIG_INVALID',
    `columns.${column.name}: table ${name.table} has no such column; add it, or set newFields: addColumns`,
    { details: { field: `columns.${column.name}`, table: name.table } },
  );
}
