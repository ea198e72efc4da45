import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { zstdCompressSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { createSource } from '@etl-router/connectors';
import { testContext, testLane, testSource } from '@etl-router/connectors/testing';
import { isEtlError } from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';
import type { SchemaElement } from 'hyparquet';
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer';

const { signal } = new AbortController();
const flights = fileURLToPath(
  new URL('../../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url),
);

/** A file that DuckDB made of a query. */
async function fromQuery(
  query: string,
  options = '',
): Promise<{ directory: string; path: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'etl-parquet-'));
  const path = join(directory, 'x.parquet');
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(`COPY (${query}) TO '${path}' (FORMAT parquet${options})`);
  connection.closeSync();
  instance.closeSync();
  return { directory, path: 'x.parquet' };
}

/** The first payloads of a file. */
async function firstPayloads(
  { directory, path }: { readonly directory: string; readonly path: string },
  count: number,
  config: JsonObject = {},
): Promise<string[]> {
  const source = createSource({ type: 'file', config: { path, ...config } }, 'test');
  await source.open(testContext(directory));
  const [partition] = await source.partitions(signal);
  const lane = testLane(partition?.name ?? '');
  const reader = await source.openPartition({ lane, epoch: 1, after: undefined, signal });
  const payloads: string[] = [];
  try {
    while (payloads.length < count) {
      const result = await reader.next({ maxRecords: count, maxBytes: 10_000_000, signal });
      if (result.kind !== 'batch') break;
      const { batch } = result;
      for (let index = 0; index < batch.count; index++)
        payloads.push(batch.payload(index).toString());
    }
  } finally {
    await reader.close();
  }
  return payloads.slice(0, count);
}

for (const codec of ['snappy', 'zstd', 'gzip', 'uncompressed']) {
  testSource({
    name: `file: Parquet, ${codec}, several row groups`,
    capabilities: { replayable: true, ordered: 'partition', bounded: true },
    fixture: async () => {
      const query =
        "SELECT n, CASE WHEN n % 3 = 0 THEN NULL ELSE 'text ' || n END AS t FROM range(2500) r(n)";
      const { directory } = await fromQuery(query, `, ROW_GROUP_SIZE 2048, CODEC '${codec}'`);
      return {
        baseDirectory: directory,
        create: () => createSource({ type: 'file', config: { path: 'x.parquet' } }, 'test'),
        payloads: {
          'x.parquet': Array.from(
            { length: 2500 },
            (_, n) => `{"n":${n},"t":${n % 3 === 0 ? 'null' : `"text ${n}"`}}`,
          ),
        },
      };
    },
  });
}

const values: readonly (readonly [string, string])[] = [
  ['9007199254740993::BIGINT', '9007199254740993'],
  ['(-9223372036854775808)::BIGINT', '-9223372036854775808'],
  ['18446744073709551615::UBIGINT', '18446744073709551615'],
  ['4294967295::UINTEGER', '4294967295'],
  ['200::UTINYINT', '200'],
  ['12.30::DECIMAL(9, 2)', '"12.30"'],
  ['(-0.05)::DECIMAL(18, 2)', '"-0.05"'],
  [
    '12345678901234567890123456.789012345678::DECIMAL(38, 12)',
    '"12345678901234567890123456.789012345678"',
  ],
  ["TIMESTAMP '2026-01-31 12:00:00.123456'", '"2026-01-31T12:00:00.123456"'],
  ["TIMESTAMP_MS '2026-01-31 12:00:00.120'", '"2026-01-31T12:00:00.120"'],
  ["TIMESTAMP_NS '2026-01-31 12:00:00.123456789'", '"2026-01-31T12:00:00.123456789"'],
  ["TIMESTAMPTZ '2026-01-31 12:00:00+02'", '"2026-01-31T10:00:00Z"'],
  ["TIMESTAMP '1969-12-31 23:59:59.999999'", '"1969-12-31T23:59:59.999999"'],
  ["DATE '1969-12-31'", '"1969-12-31"'],
  ["DATE '5877641-06-23'", '2146044939'],
  ["TIME '01:02:03.5'", '"01:02:03.500000"'],
  ['true', 'true'],
  ['1.5::DOUBLE', '1.5'],
  ["'NaN'::DOUBLE", '"NaN"'],
  ["'-Infinity'::FLOAT", '"-Infinity"'],
  ["['NaN'::DOUBLE, 0.5]", '["NaN",0.5]'],
  ['0.25::FLOAT', '0.25'],
  ["'a\"\\u00e9'", JSON.stringify('a"\\u00e9')],
  ["'\\xFF\\x00'::BLOB", '"/wA="'],
  ['\'{"a": 9007199254740993}\'::JSON', '{"a":9007199254740993}'],
  ["'b1c2d3e4-0000-4000-8000-000000000001'::UUID", '"b1c2d3e4-0000-4000-8000-000000000001"'],
  ['[1, NULL, 9007199254740993]', '[1,null,9007199254740993]'],
  [
    "{'at': TIMESTAMP '2026-01-31 12:00:00', 'price': 1.50::DECIMAL(9, 2)}",
    '{"at":"2026-01-31T12:00:00","price":"1.50"}',
  ],
  ["[{'d': DATE '2026-01-31'}]", '[{"d":"2026-01-31"}]'],
  ["MAP {'k': TIMESTAMPTZ '2026-01-31 12:00:00Z'}", '{"k":"2026-01-31T12:00:00Z"}'],
];

test('a value of any type has all its digits, and so has the null beside it', async () => {
  const columns = values.map(([sql], index) => `${sql} AS c${index}`).join(', ');
  const nulls = values.map((_, index) => `NULL AS c${index}`).join(', ');
  const file = await fromQuery(`SELECT ${columns} UNION ALL SELECT ${nulls}`);
  const expected = values.map(([, json], index) => `"c${index}":${json}`).join(',');
  const empty = values.map((_, index) => `"c${index}":null`).join(',');
  const payloads = await firstPayloads(file, 2);
  deepEqual(payloads.toSorted(), [`{${expected}}`, `{${empty}}`].toSorted());
});

test('columns with more different values than are kept apart lose nothing', async () => {
  const file = await fromQuery("SELECT n * 7 AS n, 't' || n AS t FROM range(150000) r(n)");
  const payloads = await firstPayloads(file, 150_000);
  equal(payloads.length, 150_000);
  payloads.forEach((payload, n) => {
    if (payload !== `{"n":${n * 7},"t":"t${n}"}`) throw new Error(`row ${n}: ${payload}`);
  });
});

test('files of another writer are read alike', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'etl-parquet-'));
  const schema: SchemaElement[] = [
    { name: 'root', num_children: 4 },
    { name: 'wide', type: 'INT64', repetition_type: 'REQUIRED' },
    {
      name: 'nanos',
      type: 'INT64',
      repetition_type: 'OPTIONAL',
      logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'NANOS' },
    },
    { name: 'old', type: 'INT64', repetition_type: 'OPTIONAL', converted_type: 'TIMESTAMP_MILLIS' },
    { name: 'text', type: 'BYTE_ARRAY', repetition_type: 'OPTIONAL', converted_type: 'UTF8' },
  ];
  const columnData: ColumnSource[] = [
    { name: 'wide', data: [2n ** 63n - 1n, -1n] },
    { name: 'nanos', data: [1n, null] },
    { name: 'old', data: [new Date(1), null] },
    { name: 'text', data: ['\u2028', null] },
  ];
  const compressors = { ZSTD: (bytes: Uint8Array) => new Uint8Array(zstdCompressSync(bytes)) };
  const bytes = parquetWriteBuffer({ schema, columnData, codec: 'ZSTD', compressors });
  await writeFile(join(directory, 'x.parquet'), Buffer.from(bytes));
  deepEqual(await firstPayloads({ directory, path: 'x.parquet' }, 10), [
    '{"wide":9223372036854775807,"nanos":"1970-01-01T00:00:00.000000001Z","old":"1970-01-01T00:00:00.001Z","text":"\u2028"}',
    '{"wide":-1,"nanos":null,"old":null,"text":null}',
  ]);
});

test('the first flights are those that DuckDB reads', async () => {
  const count = 2000;
  const payloads = await firstPayloads({ directory: dirname(flights), path: flights }, count);
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(
    `SELECT strftime(date, '%Y-%m-%dT%H:%M:%S') AS date, delay, distance, origin, destination
     FROM read_parquet('${flights}') LIMIT ${count}`,
  );
  const rows = reader
    .getRowObjects()
    .map((row) =>
      JSON.stringify(row, (_name, value: unknown) =>
        typeof value === 'bigint' ? Number(value) : value,
      ),
    );
  connection.closeSync();
  instance.closeSync();
  deepEqual(payloads, rows);
});

test('what the library would lose is refused', async () => {
  const refused = (pattern: RegExp) => (error: unknown) =>
    isEtlError(error) && pattern.test(error.message);
  const member = await fromQuery("SELECT {'__proto__': 1, 'a': 2} AS s");
  await rejects(firstPayloads(member, 1), refused(/column "s" has a member named __proto__/));
});

test('a file that is no Parquet, and a row that is too long, say where', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'etl-parquet-'));
  await writeFile(join(directory, 'x.parquet'), 'PAR1 this is none PAR1');
  const failsWith = (pattern: RegExp) => (error: unknown) => {
    ok(isEtlError(error));
    equal(error.code, 'ETL_CONNECTOR_FAILED');
    match(error.message, pattern);
    return true;
  };
  await rejects(firstPayloads({ directory, path: 'x.parquet' }, 1), failsWith(/x\.parquet/));
  const long = await fromQuery("SELECT repeat('x', n::INT) AS t FROM range(100) r(n)");
  await rejects(
    firstPayloads(long, 100, { maxRecordBytes: 64 }),
    failsWith(/row 57 .*maxRecordBytes/),
  );
});
