import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';

const repository = resolve(import.meta.dirname, '../..');
const program = join(repository, 'standalone/src/main.ts');

/** What `npm start` runs Node with: its flags, and what it tells the allocator. */
async function startCommand(): Promise<{ flags: string[]; env: Record<string, string> }> {
  const { scripts } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as {
    scripts: { start: string };
  };
  const words = scripts.start.split(' ');
  const settings = words
    .filter((word) => word.startsWith('MALLOC_'))
    .map((word) => word.split('='));
  return {
    flags: words.filter((word) => word.startsWith('--')),
    env: Object.fromEntries(settings) as Record<string, string>,
  };
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs standalone once in a folder and resolves when it has ended. */
async function runOnce(
  folder: string,
  manifest: string,
  onOutput: (text: string) => void,
): Promise<Ended> {
  const flags = [
    '--once',
    '--apply',
    manifest,
    '--data-dir',
    'data',
    '--listen-addr',
    '127.0.0.1:0',
  ];
  const start = await startCommand();
  const child = spawn(
    process.execPath,
    [...start.flags, program, ...flags, '--http-addr', 'off', '--metrics-addr', 'off'],
    {
      cwd: folder,
      env: { ...process.env, ...start.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      onOutput(chunk.toString());
    });
  }
  const [code] = (await once(child, 'exit')) as [number | null];
  return { code, output };
}

const columns = [
  'date',
  'delay',
  'distance',
  'origin',
  'originName',
  'originCity',
  'originState',
  'originKnown',
  'destination',
  'destinationName',
  'destinationCity',
  'destinationState',
  'destinationKnown',
].join(', ');

const data = join(repository, 'node_modules/vega-datasets/data');

/** Runs SQL in a database of its own. */
async function inDuckDB<Result>(
  run: (connection: DuckDBConnection) => Promise<Result>,
): Promise<Result> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    return await run(connection);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** Rows that DuckDB computes from flights and the sinks do not have, and the other way round, by sink. */
function differences(
  folder: string,
  out: string,
  flights: string,
): Promise<{ [sink: string]: [number, number] }> {
  const at = (path: string): string => `'${join(folder, path)}'`;
  return inDuckDB(async (connection) => {
    await connection.run(`attach ${at(`${out}/flights.duckdb`)} as found (read_only)`);
    await connection.run(
      `create view airports as select * from read_csv('${join(data, 'airports.csv')}') where iata not in ('ORD', 'BOS', 'STL')`,
    );
    await connection.run(`create table expected as
      select f.date, f.delay, f.distance,
        f.origin, o.name as originName, o.city as originCity, o.state as originState, o.iata is not null as originKnown,
        f.destination, d.name as destinationName, d.city as destinationCity, d.state as destinationState,
        d.iata is not null as destinationKnown
      from '${flights}' f
        left join airports o on o.iata = f.origin left join airports d on d.iata = f.destination
      where f.delay > 15`);
    await connection.run('create view worst as select * from expected where delay > 180');
    const sinks: { [sink: string]: readonly [string, string] } = {
      table: ['expected', `(select ${columns} from found.delayed_flights)`],
      files: [
        'expected',
        `(select ${columns.replace('date', 'date::timestamp as date')} from read_parquet(${at(`${out}/delayed/*.parquet`)}))`,
      ],
      worst: [
        'worst',
        `(select ${columns.replace('date', 'date::timestamp as date')} from read_json(${at(`${out}/worst.jsonl`)}, format = 'newline_delimited'))`,
      ],
    };
    const found: { [sink: string]: [number, number] } = {};
    for (const [sink, [expected, actual]] of Object.entries(sinks)) {
      const count = async (a: string, b: string): Promise<number> => {
        const sql = `select count(*) from (select * from ${a} except all select * from ${b})`;
        return Number((await connection.runAndReadAll(sql)).getRows()[0]?.[0]);
      };
      found[sink] = [await count(expected, actual), await count(actual, expected)];
    }
    return found;
  });
}

const allFlights = join(data, 'flights-3m.parquet');

const same = { table: [0, 0], files: [0, 0], worst: [0, 0] };

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'etl-example-'));
  await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function startService(port: number): Promise<ChildProcess> {
  const service = spawn(
    process.execPath,
    ['--conditions=etl-source', join(repository, 'examples/services/airport-enrichment.ts')],
    {
      cwd: repository,
      env: { ...process.env, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  const started = once(service.stderr as NodeJS.ReadableStream, 'data');
  const died = once(service, 'exit').then(([code]) =>
    assert.fail(`the service ended with ${String(code)}`),
  );
  died.catch(() => undefined);
  await Promise.race([started, died]);
  return service;
}

suite('the flights example', () => {
  test('every sink holds what DuckDB computes from the input, within 400 MiB', async () => {
    const folder = await makeFolder();
    const { code, output } = await runOnce(
      folder,
      join(repository, 'examples/flights/flights.yaml'),
      () => {},
    );
    assert.equal(code, 0, output);
    assert.deepEqual(await differences(folder, 'data/example', allFlights), same);
    const peakMiB = Number(/peak memory (\d+) MiB/.exec(output)?.[1]);
    assert.ok(peakMiB <= 400, `${peakMiB} MiB`);
    await rm(folder, { recursive: true });
  });

  test('with a service of the user that is killed and started again, the contents are the same', async () => {
    const folder = await makeFolder();
    const port = await freePort();
    const flights = join(folder, 'flights.parquet');
    await inDuckDB((connection) =>
      connection.run(`copy (from '${allFlights}' limit 750000) to '${flights}'`),
    );
    const text = await readFile(
      join(repository, 'examples/flights/flights-with-service.yaml'),
      'utf8',
    );
    await writeFile(
      join(folder, 'pipeline.yaml'),
      text
        .replaceAll('127.0.0.1:7001', `127.0.0.1:${port}`)
        .replaceAll('node_modules/vega-datasets/data/flights-3m.parquet', 'flights.parquet'),
    );
    let service = await startService(port);
    let kills = 0;
    let restarting: Promise<void> | undefined;
    const restart = async (): Promise<void> => {
      service.kill('SIGKILL');
      await once(service, 'exit');
      service = await startService(port);
    };
    try {
      const { code, output } = await runOnce(folder, 'pipeline.yaml', (chunk) => {
        const read = Number(/: ([\d,]+) read/.exec(chunk)?.[1]?.replaceAll(',', '') ?? 0);
        if (read < (kills + 1) * 150_000 || kills >= 3) return;
        kills++;
        restarting = (restarting ?? Promise.resolve()).then(restart);
      });
      await restarting;
      assert.equal(code, 0, output);
      assert.ok(kills >= 1, 'the service was killed on the way');
      assert.deepEqual(await differences(folder, 'data/example-service', flights), same);
    } finally {
      service.kill('SIGKILL');
    }
    await rm(folder, { recursive: true });
  });
});
