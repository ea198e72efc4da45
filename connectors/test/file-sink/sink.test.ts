import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createSink } from '@etl-router/connectors';
import { judge, testBatch, testContext, testLane } from '@etl-router/connectors/testing';
import { isEtlError, ManualClock, type Sink } from '@etl-router/core';
import { Findings, type JsonObject, openFields } from '@etl-router/pipeline';
import { readFileSinkSettings } from '../../src/file-sink/settings.ts';
import { FileSink } from '../../src/file-sink/sink.ts';
import { query, readFiles } from '../read-output.ts';
import { FaultyFiles } from './faulty-files.ts';

const signal = new AbortController().signal;
const perfect = { missing: 0, duplicates: 0, reordered: 0, foreign: 0 };

async function newDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'etl-file-'));
}

async function openSink(
  config: JsonObject,
  directory: string,
  epoch = 1,
  clock = new ManualClock(),
): Promise<Sink> {
  const sink = createSink({ type: 'file', config }, 'test');
  await sink.open(testContext(directory, clock));
  await sink.openLane(testLane('a'), epoch);
  return sink;
}

function withFiles(files: FaultyFiles, config: JsonObject): Sink {
  const fields = openFields(new Findings('test'), { value: config, path: '' });
  ok(fields !== undefined);
  return new FileSink(readFileSinkSettings(fields), files);
}

async function write(
  sink: Sink,
  from: number,
  to: number,
  payloads: ReadonlyMap<number, string> = new Map(),
): Promise<void> {
  deepEqual(await sink.write(testBatch({ lane: 'a', epoch: 1, from, to, payloads }), signal), {
    failures: [],
  });
}

/** Writes on from where the sink says it stands. */
async function goOn(sink: Sink, to: number): Promise<void> {
  const { position } = await sink.openLane(testLane('a'), 1);
  const from = position === undefined ? 1 : Number(Buffer.from(position).readBigUInt64BE()) + 1;
  if (from <= to) await write(sink, from, to);
}

describe('file: faults of the disk', () => {
  const outputs: { readonly [name: string]: JsonObject } = {
    lines: { path: 'out.jsonl' },
    csv: { path: 'out-{sequence}.csv', rotate: { maxRecords: 25 } },
    parquet: { path: 'out-{sequence}.parquet', rotate: { maxRecords: 25 } },
  };
  for (const [name, config] of Object.entries(outputs)) {
    test(`${name}: a disk that fills up at any byte loses and doubles nothing`, async () => {
      for (let spaceBytes = 1; spaceBytes < 4200; spaceBytes += 131) {
        const directory = await newDirectory();
        const files = new FaultyFiles();
        const sink = withFiles(files, config);
        await sink.open(testContext(directory));
        files.spaceBytes = spaceBytes;
        let failed = 0;
        for (let to = 10; to <= 60; to += 10) {
          await goOn(sink, to).catch((error: unknown) => {
            ok(isEtlError(error) && error.code === 'ETL_CONNECTOR_FAILED' && error.retryable);
            match(error.message, /disk is full/);
            failed++;
          });
        }
        if (spaceBytes < 500) ok(failed > 0);
        files.spaceBytes = Infinity;
        await goOn(sink, 60);
        await sink.complete();
        await sink.close();
        deepEqual(
          judge(await readFiles(directory), new Map([['a', 60]])),
          perfect,
          `${spaceBytes}`,
        );
        await rm(directory, { recursive: true });
      }
    });
  }

  const faults = [
    { call: 'datasync', ending: 'out-000001.csv.partial' },
    { call: 'datasync', ending: '.state' },
    { call: 'sync', ending: '.state' },
    { call: 'sync', ending: 'out-000002.csv.partial' },
    { call: 'rename', ending: '.partial' },
    { call: 'open', ending: 'out-000002.csv.partial' },
  ] as const;
  for (const fault of faults) {
    test(`a failed ${fault.call} of ${fault.ending} leaves an outcome that opening settles`, async () => {
      const directory = await newDirectory();
      const files = new FaultyFiles();
      const sink = withFiles(files, { path: 'out-{sequence}.csv', rotate: { maxRecords: 20 } });
      await sink.open(testContext(directory));
      files.fault = fault;
      for (let to = 10; to <= 60; to += 10) await goOn(sink, to).catch(() => goOn(sink, to));
      equal(files.fault, undefined);
      await sink.complete();
      await sink.close();
      deepEqual(judge(await readFiles(directory), new Map([['a', 60]])), perfect);
    });
  }
});

describe('file: recovery', () => {
  test('what is behind the recorded length is cut off, and a torn state record is forgotten', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out.jsonl' }, directory);
    await write(sink, 1, 10);
    await sink.close();
    await appendFile(join(directory, 'out.jsonl'), '{"lane":"a","n":11,"te');
    await appendFile(
      join(directory, '.etl/out.jsonl.state'),
      Buffer.from([200, 0, 0, 0, 1, 2, 3, 4, 123]),
    );
    const again = await openSink({ path: 'out.jsonl' }, directory);
    await write(again, 11, 12);
    await again.close();
    deepEqual(judge(await readFiles(directory), new Map([['a', 12]])), perfect);
  });

  test('a state record that was changed in the middle is refused as corrupt', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out.jsonl' }, directory);
    await write(sink, 1, 10);
    await write(sink, 11, 20);
    await sink.close();
    const path = join(directory, '.etl/out.jsonl.state');
    const bytes = await readFile(path);
    bytes[12] = (bytes[12] as number) ^ 1;
    await writeFile(path, bytes);
    await rejects(
      async () => openSink({ path: 'out.jsonl' }, directory),
      (error) => isEtlError(error) && error.code === 'ETL_STORAGE_CORRUPT',
    );
  });

  test('data that is shorter than recorded, or gone, is refused with the way out', async () => {
    for (const damage of [(path: string) => truncate(path, 5), (path: string) => rm(path)]) {
      const directory = await newDirectory();
      const sink = await openSink({ path: 'out.jsonl' }, directory);
      await write(sink, 1, 10);
      await sink.close();
      await damage(join(directory, 'out.jsonl'));
      await rejects(
        async () => openSink({ path: 'out.jsonl' }, directory),
        (error) =>
          isEtlError(error) &&
          error.code === 'ETL_STORAGE_CORRUPT' &&
          /\.etl\/out\.jsonl\.state to start over/.test(error.message),
      );
    }
  });

  test('a file that this sink did not write is left alone', async () => {
    const directory = await newDirectory();
    await writeFile(join(directory, 'out.jsonl'), 'mine\n');
    await rejects(
      async () => openSink({ path: 'out.jsonl' }, directory),
      /was not written by this sink/,
    );
    equal(await readFile(join(directory, 'out.jsonl'), 'utf8'), 'mine\n');
  });

  test('a second sink on the same output is refused while the first is open', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out.jsonl' }, directory);
    await rejects(
      async () => openSink({ path: 'out.jsonl' }, directory),
      (error) =>
        isEtlError(error) && error.retryable && /being written by another/.test(error.message),
    );
    const neighbour = await openSink({ path: 'out2.jsonl' }, directory);
    await neighbour.close();
    await sink.close();
    await (await openSink({ path: 'out.jsonl' }, directory)).close();
  });

  test('the state stays small however many writes there are', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out.jsonl' }, directory);
    for (let lane = 0; lane < 200; lane++)
      await sink.openLane(testLane(`lane ${lane} ${'x'.repeat(500)}`), 1);
    for (let epoch = 2; epoch < 2200; epoch++)
      await sink.openLane(testLane(`lane 1 ${'x'.repeat(500)}`), epoch);
    await write(sink, 1, 5);
    await sink.close();
    const { length } = await readFile(join(directory, '.etl/out.jsonl.state'));
    ok(length < 1_500_000, `${length} bytes`);
    const again = await openSink({ path: 'out.jsonl' }, directory);
    deepEqual(
      Buffer.from((await again.openLane(testLane('a'), 1)).position ?? []).readBigUInt64BE(),
      5n,
    );
    await again.close();
  });
});

describe('file: series', () => {
  test('files are finished by records, bytes and age, and only then have their names', async () => {
    const directory = await newDirectory();
    const clock = new ManualClock();
    const config = { path: 'out-{sequence}.jsonl', rotate: { maxRecords: 20, maxAge: '10s' } };
    const sink = await openSink(config, directory, 1, clock);
    await write(sink, 1, 20);
    await write(sink, 21, 25);
    deepEqual(await dataFiles(directory), ['out-000001.jsonl', 'out-000002.jsonl.partial']);
    clock.advance(10_000);
    await sink.openLane(testLane('b'), 1);
    deepEqual(await dataFiles(directory), ['out-000001.jsonl', 'out-000002.jsonl']);
    equal(clock.pending, 0);
    await write(sink, 26, 26);
    await sink.close();
    deepEqual(await dataFiles(directory), [
      'out-000001.jsonl',
      'out-000002.jsonl',
      'out-000003.jsonl',
    ]);
    deepEqual(judge(await readFiles(directory), new Map([['a', 26]])), perfect);
  });

  test('a name that is taken is passed over', async () => {
    const directory = await newDirectory();
    await writeFile(join(directory, 'out-000001.jsonl'), 'mine\n');
    const sink = await openSink({ path: 'out-{sequence}.jsonl' }, directory);
    await write(sink, 1, 2);
    await sink.close();
    equal(await readFile(join(directory, 'out-000001.jsonl'), 'utf8'), 'mine\n');
    deepEqual(await dataFiles(directory), ['out-000001.jsonl', 'out-000002.jsonl']);
  });
});

async function dataFiles(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => name !== '.etl').sort();
}

describe('file: formats', () => {
  const exact =
    '{"i":9223372036854775807,"u":"18446744073709551615","d":"12345678901234567890.123456789","m":-0.01,"f":0.1,"b":true,' +
    '"s":"a,\\"b\\"\\r\\n☃","x":"AP8=","day":"1969-12-31","at":"1969-12-31T23:59:59.999999Z","ns":"2026-01-01T00:00:00.000000001",' +
    '"id":"00000000-0000-4000-8000-000000000001","j":{"n":9007199254740993},"t":"23:59:59.000001","w":"-1","e":""}';
  const columns = {
    i: 'BIGINT',
    u: 'UBIGINT',
    d: 'DECIMAL(38,9)',
    m: 'DECIMAL(9,2)',
    f: 'DOUBLE',
    b: 'BOOLEAN',
    s: 'VARCHAR',
    x: 'BLOB',
    day: 'DATE',
    at: 'TIMESTAMPTZ',
    ns: 'TIMESTAMP_NS',
    id: 'UUID',
    j: 'JSON',
    t: 'TIME',
    w: 'HUGEINT',
    e: 'VARCHAR',
  };

  test('Parquet holds every type exactly, as DuckDB reads it', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out-{sequence}.parquet', columns }, directory);
    await write(
      sink,
      1,
      2,
      new Map([
        [1, exact],
        [2, '{}'],
      ]),
    );
    await sink.close();
    const from = `'${join(directory, 'out-*.parquet')}'`;
    const [row, empty] = await query(
      ':memory:',
      `SELECT columns(*)::VARCHAR FROM (SELECT * REPLACE (hex(x) AS x, "at" AT TIME ZONE 'UTC' AS "at") FROM ${from})`,
    );
    deepEqual(row, [
      '9223372036854775807',
      '18446744073709551615',
      '12345678901234567890.123456789',
      '-0.01',
      '0.1',
      'true',
      'a,"b"\r\n☃',
      '00FF',
      '1969-12-31',
      '1969-12-31 23:59:59.999999',
      '2026-01-01 00:00:00.000000001',
      '00000000-0000-4000-8000-000000000001',
      '{"n":9007199254740993}',
      '23:59:59.000001',
      '-1',
      '',
    ]);
    deepEqual(
      empty,
      Object.keys(columns).map(() => null),
    );
    const types = await query(':memory:', `DESCRIBE FROM ${from}`);
    deepEqual(
      types.map(([, type]) => type),
      [
        'BIGINT',
        'UBIGINT',
        'DECIMAL(38,9)',
        'DECIMAL(9,2)',
        'DOUBLE',
        'BOOLEAN',
        'VARCHAR',
        'BLOB',
        'DATE',
        'TIMESTAMP WITH TIME ZONE',
        'TIMESTAMP_NS',
        'UUID',
        'JSON',
        'TIME',
        'VARCHAR',
        'VARCHAR',
      ],
    );
  });

  test('CSV tells null from an empty text and reads back as it was', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out.csv', columns, delimiter: ';' }, directory);
    await write(
      sink,
      1,
      2,
      new Map([
        [1, exact],
        [2, '{}'],
      ]),
    );
    await sink.close();
    equal(
      await readFile(join(directory, 'out.csv'), 'utf8'),
      'i;u;d;m;f;b;s;x;day;at;ns;id;j;t;w;e\n' +
        '9223372036854775807;18446744073709551615;12345678901234567890.123456789;-0.01;0.1;true;"a,""b""\r\n☃";AP8=;1969-12-31;' +
        '1969-12-31T23:59:59.999999Z;2026-01-01T00:00:00.000000001;00000000-0000-4000-8000-000000000001;"{""n"":9007199254740993}";23:59:59.000001;-1;""\n' +
        ';;;;;;;;;;;;;;;\n',
    );
  });

  test('a new field of Parquet begins a new file with one more column', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out-{sequence}.parquet' }, directory);
    await write(sink, 1, 1, new Map([[1, '{"a":1}']]));
    await write(sink, 2, 2, new Map([[2, '{"a":2,"b":"x"}']]));
    await sink.close();
    const again = await openSink({ path: 'out-{sequence}.parquet' }, directory);
    await write(again, 3, 3, new Map([[3, '{"b":"y"}']]));
    await again.close();
    const from = `read_parquet('${join(directory, '*.parquet')}', union_by_name = true)`;
    deepEqual(await query(':memory:', `SELECT a, b FROM ${from}`), [
      ['1', null],
      ['2', 'x'],
      [null, 'y'],
    ]);
    equal((await dataFiles(directory)).length, 3);
  });

  test('lines keep the bytes of their payloads', async () => {
    const directory = await newDirectory();
    const sink = await openSink({ path: 'out.jsonl' }, directory);
    const odd = '{ "b":1.0,  "a":10000000000000000000001, "a":2 }';
    await write(
      sink,
      1,
      2,
      new Map([
        [1, odd],
        [2, '17'],
      ]),
    );
    const { failures } = await sink.write(
      testBatch({ lane: 'a', epoch: 1, from: 3, to: 3, payloads: new Map([[3, '{\n}']]) }),
      signal,
    );
    deepEqual(
      failures.map(({ code }) => code),
      ['NOT_ONE_LINE'],
    );
    await sink.close();
    equal(await readFile(join(directory, 'out.jsonl'), 'utf8'), `${odd}\n17\n`);
  });
});
