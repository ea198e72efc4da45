// What the crash harness runs: a pipeline for each promise and sink, and how to read back what the sink holds, in the
// sink's own order.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Observed, Truth } from './verify.ts';

export interface Scenario {
  readonly name: string;
  readonly require: 'atLeastOnce' | 'effectivelyOnce' | 'exactlyOnce';
  /** The spec of the EtlSink. `address` is that of the harness's own sink service. */
  readonly sink: (address: string) => object;
  /** What the sink holds, for a run in `folder`. */
  readonly read: (folder: string) => Promise<Observed[]>;
}

/** Records in flight at most; with the rate it bounds the duplicates of at least once. */
export const inFlightRecords = 2000;
/** Records a second of each lane: slow enough that a process lives to be killed in the middle. */
export const ratePerLane = 6000;

/** The manifests of one run. */
export function manifestsOf(scenario: Scenario, truth: Truth, address: string): string {
  const { seed, lanes, recordsPerLane } = truth;
  const meta = (name: string): object => ({ name, namespace: 'crash' });
  const object = (kind: string, name: string, spec: object): object => ({
    apiVersion: 'etl.router/v1',
    kind,
    metadata: meta(name),
    spec,
  });
  const objects = [
    object('EtlSource', 'numbers', {
      generator: { partitions: lanes, count: recordsPerLane, rate: ratePerLane, seed },
    }),
    object('EtlTransform', 'all', { filter: { condition: 'record.data.seq >= 0' } }),
    object('EtlSink', 'out', scenario.sink(address)),
    object('EtlPipeline', 'numbers', {
      delivery: { require: scenario.require },
      limits: { inFlightRecords },
      stages: [
        { name: 'numbers', sourceRef: { name: 'numbers' } },
        { name: 'all', transformRef: { name: 'all' } },
        { name: 'out', sinkRef: { name: 'out' } },
      ],
      edges: [
        { from: 'numbers', to: 'all' },
        { from: 'all', to: 'out' },
      ],
    }),
  ];
  return objects.map((each) => JSON.stringify(each)).join('\n---\n');
}

const columns = { lane: 'VARCHAR', seq: 'BIGINT', sum: 'VARCHAR' };

/** Every scenario, in the order of the table. */
export const scenarios: readonly Scenario[] = [
  {
    name: 'exactly once, DuckDB table without a key',
    require: 'exactlyOnce',
    sink: () => ({ duckdb: { path: 'out/out.duckdb', table: 'numbers', columns } }),
    read: (folder) =>
      query(join(folder, 'out/out.duckdb'), 'select lane, seq, sum from numbers order by rowid'),
  },
  {
    name: 'exactly once, JSON lines',
    require: 'exactlyOnce',
    sink: () => ({ file: { path: 'out/out.jsonl', format: 'jsonl' } }),
    read: async (folder) => readLines(join(folder, 'out/out.jsonl')),
  },
  {
    name: 'exactly once, CSV',
    require: 'exactlyOnce',
    sink: () => ({ file: { path: 'out/out.csv', format: 'csv', columns } }),
    read: (folder) =>
      query(
        ':memory:',
        `select lane, seq::bigint seq, sum from read_csv('${join(folder, 'out/out.csv')}', all_varchar = true, parallel = false)`,
      ),
  },
  {
    name: 'exactly once, Parquet files',
    require: 'exactlyOnce',
    sink: () => ({
      file: {
        path: 'out/parts/part-{sequence}.parquet',
        format: 'parquet',
        columns,
        rotate: { maxRecords: 20_000 },
      },
    }),
    read: (folder) =>
      query(
        ':memory:',
        `select lane, seq, sum from read_parquet('${join(folder, 'out/parts')}/*.parquet', filename = true, file_row_number = true) order by filename, file_row_number`,
      ),
  },
  {
    name: 'effectively once, DuckDB upsert by id',
    require: 'effectivelyOnce',
    sink: () => ({ duckdb: { path: 'out/out.duckdb', table: 'numbers', mode: 'upsert', columns } }),
    read: (folder) =>
      query(
        join(folder, 'out/out.duckdb'),
        'select lane, seq, sum from numbers order by lane, seq',
      ),
  },
  {
    name: 'at least once, a service that only appends',
    require: 'atLeastOnce',
    sink: (address) => ({ grpc: { endpoint: address } }),
    read: async (folder) => readLines(join(folder, 'out/service.jsonl')),
  },
];

async function query(path: string, sql: string): Promise<Observed[]> {
  if (path !== ':memory:' && !existsSync(path)) return [];
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  try {
    const rows = (await connection.runAndReadAll(sql)).getRows();
    return rows.map(([lane, seq, sum]) => ({
      lane: String(lane),
      seq: Number(seq),
      sum: String(sum),
    }));
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function readLines(path: string): Observed[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Observed);
}

/** Files of a folder and below, for a message about a run that failed. */
export function listFiles(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : [];
}
