import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { checkConnector } from '@etl-router/connectors';
import type { JsonObject } from '@etl-router/pipeline';

function faults(type: string, config: JsonObject): readonly string[] {
  return checkConnector('sink', { type, config }, 'sink x').map(({ path }) => path);
}

const duckdb = { path: 'x.duckdb', table: 't' };

test('settings that fit are taken', () => {
  for (const [type, config] of [
    ['duckdb', duckdb],
    [
      'duckdb',
      {
        ...duckdb,
        mode: 'upsert',
        key: ['a'],
        columns: { a: 'INT', b: { type: 'JSON', from: 'data.x.y' } },
      },
    ],
    [
      'duckdb',
      {
        ...duckdb,
        memoryLimit: '1Gi',
        threads: 4,
        idleCloseAfter: 'never',
        newFields: 'error',
        schema: 's',
      },
    ],
    ['file', { path: 'x.ndjson.gz' }],
    [
      'file',
      {
        path: 'x-{sequence}.csv',
        columns: { a: 'decimal(3,1)' },
        delimiter: '\t',
        header: false,
        rotate: { maxAge: '1m' },
      },
    ],
    ['file', { path: 'x', format: 'jsonl', compress: 'gzip' }],
    ['stdout', { format: 'envelope' }],
  ] as const satisfies readonly (readonly [string, JsonObject])[]) {
    deepEqual(faults(type, config), [], JSON.stringify(config));
  }
});

test('each wrong setting is named', () => {
  for (const [type, config, path] of [
    ['duckdb', { path: 'x' }, 'table'],
    ['duckdb', { table: 't' }, 'path'],
    ['duckdb', { ...duckdb, path: ':memory:' }, 'path'],
    ['duckdb', { ...duckdb, mode: 'merge' }, 'mode'],
    ['duckdb', { ...duckdb, key: ['a'] }, 'key'],
    ['duckdb', { ...duckdb, mode: 'upsert', key: [] }, 'key'],
    ['duckdb', { ...duckdb, mode: 'upsert', key: ['b'], columns: { a: 'INT' } }, 'key'],
    ['duckdb', { ...duckdb, schema: 'ETL' }, 'schema'],
    ['duckdb', { ...duckdb, columns: { a: 'INTERVAL' } }, 'columns.a'],
    ['duckdb', { ...duckdb, columns: { a: { type: 'INT', from: 'payload.a' } } }, 'columns.a.from'],
    ['duckdb', { ...duckdb, columns: { a: { type: 'INT', form: 'data.a' } } }, 'columns.a.form'],
    ['duckdb', { ...duckdb, columns: { a: 'INT', A: 'INT' } }, 'columns.A'],
    ['duckdb', { ...duckdb, columns: {} }, 'columns'],
    ['duckdb', { ...duckdb, memoryLimit: '1Mi' }, 'memoryLimit'],
    ['duckdb', { ...duckdb, tabel: 't' }, 'tabel'],
    ['file', { path: 'x' }, 'format'],
    ['file', { path: 'x.parquet' }, 'path'],
    ['file', { path: '{sequence}/x.jsonl' }, 'path'],
    ['file', { path: 'x.jsonl', rotate: { maxBytes: '1Mi' } }, 'rotate'],
    ['file', { path: 'x-{sequence}.jsonl', rotate: { maxAge: '1ms' } }, 'rotate.maxAge'],
    ['file', { path: 'x.jsonl', columns: { a: 'INT' } }, 'columns'],
    ['file', { path: 'x.csv', delimiter: ',,' }, 'delimiter'],
    ['file', { path: 'x.csv', newFields: 'addColumns' }, 'newFields'],
    ['file', { path: 'x-{sequence}.parquet', compress: 'gzip' }, 'compress'],
    ['stdout', { format: 'xml' }, 'format'],
  ] as const satisfies readonly (readonly [string, JsonObject, string])[]) {
    deepEqual(faults(type, config), [`spec.${type}.${path}`], JSON.stringify(config));
  }
});
