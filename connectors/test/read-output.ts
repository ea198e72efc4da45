// Reads back what sinks stored, as another tool would.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import type { TestPayload } from '@etl-router/connectors/testing';
import { parse } from 'csv-parse/sync';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/** The rows of a query on a DuckDB file, as JSON-friendly values. */
export async function query(path: string, sql: string): Promise<readonly unknown[][]> {
  const instance = await DuckDBInstance.create(path, { threads: '1' });
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowsJson() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** All records in a table, in stored order. */
export async function readTable(path: string, table: string): Promise<readonly TestPayload[]> {
  const rows = await query(path, `SELECT lane, n, text FROM "${table}" ORDER BY rowid`);
  return rows.map(([lane, n, text]) => ({ lane, n: Number(n), text }) as TestPayload);
}

/** All records in the finished files `out*` of a directory, file by file. */
export async function readFiles(directory: string): Promise<readonly TestPayload[]> {
  const names = (await readdir(directory)).filter((name) => name.startsWith('out')).sort();
  const records: unknown[] = [];
  for (const name of names) {
    if (name.endsWith('.partial')) continue;
    const path = join(directory, name);
    if (name.endsWith('.parquet')) {
      const file = await asyncBufferFromFile(path);
      for (const row of await parquetReadObjects({ file, compressors })) records.push(row);
      continue;
    }
    const bytes = await readFile(path);
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
    const found = name.includes('.csv') ? parse(text, { columns: true }) : readLines(text);
    for (const record of found) records.push(record);
  }
  return records
    .map((record) => record as TestPayload)
    .map(({ lane, n, text }) => ({ lane, n: Number(n), text }));
}

/** Lines keep payloads as they are, so a hostile one may be no JSON between its brackets. */
function readLines(text: string): readonly unknown[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line): unknown => {
    try {
      return JSON.parse(line) ?? {};
    } catch {
      return {};
    }
  });
}
