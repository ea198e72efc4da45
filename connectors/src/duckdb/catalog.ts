// What the sink asks and changes of the catalogue: tables, their columns, loads under way. Every name that comes from
// outside passes through quote() or a parameter.

import type { DuckDBConnection } from '@duckdb/node-api';
import { EtlError } from '@etl-router/core';
import type { Column } from '../columns/table.ts';
import { findColumnType, formatColumnType } from '../columns/type.ts';
import { ownSchema } from './positions.ts';

/** A table's place in the database. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** A column as the database has it. */
export interface StoredColumn {
  readonly name: string;
  /** As DuckDB prints it. */
  readonly type: string;
}

/** A name as SQL takes it. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A table's name as SQL takes it. */
export function quoteTable({ schema, table }: TableName): string {
  return `${quote(schema)}.${quote(table)}`;
}

/** The columns of a table, in order; undefined when there is no such table. Throws when it is a view. */
export async function readColumns(
  connection: DuckDBConnection,
  name: TableName,
): Promise<readonly StoredColumn[] | undefined> {
  const result = await connection.runAndReadAll(
    `SELECT c.column_name, c.data_type, t.table_name IS NULL FROM duckdb_columns() c
     LEFT JOIN duckdb_tables() t ON t.table_oid = c.table_oid AND t.database_oid = c.database_oid
     WHERE c.database_name = current_database() AND lower(c.schema_name) = lower($1) AND lower(c.table_name) = lower($2)
     ORDER BY c.column_index`,
    [name.schema, name.table],
  );
  const rows = result.getRowsJS();
  if (rows.length === 0) return undefined;
  if (rows[0]?.[2] === true) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `table: ${name.table} is a view; give the name of a table, or of one that does not exist yet`,
      { details: { field: 'table' } },
    );
  }
  return rows.map(([column, type]) => ({ name: column as string, type: type as string }));
}

/** Makes a table. */
export async function createTable(
  connection: DuckDBConnection,
  name: TableName,
  columns: readonly Column[],
): Promise<void> {
  await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quote(name.schema)}`);
  const definitions = columns.map(({ name, type }) => `${quote(name)} ${formatColumnType(type)}`);
  await connection.run(`CREATE TABLE ${quoteTable(name)} (${definitions.join(', ')})`);
}

/** Adds columns at the end of a table. */
export async function addColumns(
  connection: DuckDBConnection,
  name: TableName,
  columns: readonly Column[],
): Promise<void> {
  for (const column of columns) {
    await connection.run(
      `ALTER TABLE ${quoteTable(name)} ADD COLUMN ${quote(column.name)} ${formatColumnType(column.type)}`,
    );
  }
}

/** A column of the database as a column to fill; undefined when its type is none that is filled. */
export function toColumn({ name, type }: StoredColumn): Column | undefined {
  const known = findColumnType(type);
  return known === undefined ? undefined : { name, type: known, from: undefined };
}

/** Who fills the staging table of a replacement. */
export interface LoadOwner {
  readonly pipeline: string;
  readonly stage: string;
}

/** Makes the table of loads under way where it is missing. */
export async function createLoads(connection: DuckDBConnection): Promise<void> {
  await connection.run(
    `CREATE TABLE IF NOT EXISTS ${ownSchema}.etl_loads (
      "schema" VARCHAR NOT NULL, "table" VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, stage VARCHAR NOT NULL,
      started_at TIMESTAMPTZ NOT NULL)`,
  );
}

const ofTable = 'WHERE "schema" = $1 AND "table" = $2';

/** Who is replacing the table now; undefined: nobody. */
export async function readLoad(
  connection: DuckDBConnection,
  name: TableName,
): Promise<LoadOwner | undefined> {
  const result = await connection.runAndReadAll(
    `SELECT pipeline, stage FROM ${ownSchema}.etl_loads ${ofTable}`,
    [name.schema, name.table],
  );
  const row = result.getRowsJS()[0];
  return row === undefined ? undefined : { pipeline: row[0] as string, stage: row[1] as string };
}

export async function insertLoad(
  connection: DuckDBConnection,
  name: TableName,
  owner: LoadOwner,
): Promise<void> {
  await connection.run(`INSERT INTO ${ownSchema}.etl_loads VALUES ($1, $2, $3, $4, now())`, [
    name.schema,
    name.table,
    owner.pipeline,
    owner.stage,
  ]);
}

export async function deleteLoad(connection: DuckDBConnection, name: TableName): Promise<void> {
  await connection.run(`DELETE FROM ${ownSchema}.etl_loads ${ofTable}`, [name.schema, name.table]);
}
