import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createSink } from '@etl-router/connectors';
import { testBatch, testContext, testLane } from '@etl-router/connectors/testing';
import {
  BatchBuilder,
  isEtlError,
  ManualClock,
  positionOfCount,
  type RecordBatch,
  type RecordFailure,
  type Sink,
} from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';
import { query } from '../read-output.ts';

const signal = new AbortController().signal;

interface Fixture {
  readonly sink: Sink;
  readonly path: string;
  readonly directory: string;
  readonly clock: ManualClock;
}

async function openSink(config: JsonObject, directory?: string): Promise<Fixture> {
  const base = directory ?? (await mkdtemp(join(tmpdir(), 'etl-duckdb-')));
  const sink = createSink(
    { type: 'duckdb', config: { path: 'x.duckdb', table: 't', ...config } },
    'test',
  );
  const clock = new ManualClock();
  await sink.open(testContext(base, clock));
  await sink.openLane(testLane('a'), 1);
  return { sink, path: join(base, 'x.duckdb'), directory: base, clock };
}

let position = 0;

/** A batch with those payloads, behind every batch before. */
function batchOf(payloads: readonly (string | object)[]): RecordBatch {
  const builder = new BatchBuilder();
  for (const payload of payloads) {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    builder.append({
      position: positionOfCount(++position),
      key: Buffer.from('k'),
      headers: new Map([['h', 'v']]),
      contentType: 'application/json',
      payload: Buffer.from(text),
    });
  }
  return builder.build({
    lane: testLane('a'),
    epoch: 1,
    firstSequence: position,
    watermark: undefined,
  });
}

async function write(
  sink: Sink,
  payloads: readonly (string | object)[],
): Promise<readonly RecordFailure[]> {
  return (await sink.write(batchOf(payloads), signal)).failures;
}

describe('duckdb: values', () => {
  test('what JSON says exactly is stored exactly', async () => {
    const { sink, path } = await openSink({
      columns: {
        i8: 'TINYINT',
        i64: 'BIGINT',
        u64: 'UBIGINT',
        i128: 'HUGEINT',
        d: 'DECIMAL(38,10)',
        m: 'DECIMAL(9,2)',
        f: 'DOUBLE',
        b: 'BOOLEAN',
        s: 'VARCHAR',
        x: 'BLOB',
        day: 'DATE',
        clock: 'TIME',
        local: 'TIMESTAMP',
        nano: 'TIMESTAMP_NS',
        zoned: 'TIMESTAMPTZ',
        id: 'UUID',
        j: 'JSON',
        deep: { type: 'BIGINT', from: 'data.a.b' },
        header: { type: 'VARCHAR', from: 'headers.h' },
        key: { type: 'VARCHAR', from: 'key' },
      },
    });
    const first =
      '{"i8":-128,"i64":9223372036854775807,"u64":18446744073709551615,"i128":-170141183460469231731687303715884105728,' +
      '"d":"1234567890123456789012345678.0123456789","m":-0.1,"f":0.1,"b":true,"s":"é\\u0000☃","x":"AP8=","day":"0001-01-01",' +
      '"clock":"23:59:59.999999","local":"9999-12-31T23:59:59.999999","nano":"2026-11-21T01:02:03.123456789",' +
      '"zoned":"2026-11-21T01:00:00+02:00","id":"FFFFFFFF-0000-4000-8000-000000000001","j":{"n":9007199254740993,"a":[null]},"a":{"b":1}}';
    deepEqual(await write(sink, [first, '{}', { i64: '42', f: 1e300, j: 'text' }]), []);
    await sink.close();
    const [row, empty, other] = await query(
      path,
      "SELECT columns(*)::VARCHAR FROM (SELECT * REPLACE (hex(x) AS x, zoned AT TIME ZONE 'UTC' AS zoned) FROM t)",
    );
    deepEqual(row, [
      '-128',
      '9223372036854775807',
      '18446744073709551615',
      '-170141183460469231731687303715884105728',
      '1234567890123456789012345678.0123456789',
      '-0.10',
      '0.1',
      'true',
      'é\u0000☃',
      '00FF',
      '0001-01-01',
      '23:59:59.999999',
      '9999-12-31 23:59:59.999999',
      '2026-11-21 01:02:03.123456789',
      '2026-11-20 23:00:00',
      'ffffffff-0000-4000-8000-000000000001',
      '{"n":9007199254740993,"a":[null]}',
      '1',
      'v',
      'k',
    ]);
    deepEqual(
      empty?.slice(0, 18),
      Array.from({ length: 18 }, () => null),
    );
    deepEqual([other?.[1], other?.[6], other?.[16]], ['42', '1e+300', '"text"']);
  });

  test('a value that does not fit fails its record alone, before anything is stored', async () => {
    const { sink, path } = await openSink({
      columns: { n: 'INTEGER', at: 'TIMESTAMP', d: 'DECIMAL(4,2)' },
    });
    const failures = await write(sink, [
      { n: 1 },
      { n: 2147483648 },
      { n: 1.5 },
      { at: '2026-02-29T00:00:00' },
      { at: '2026-01-01T00:00:00.0000001' },
      { d: 100 },
      { d: 0.001 },
      { n: '7', d: '99.99' },
    ]);
    deepEqual(
      failures.map(({ index }) => index),
      [1, 2, 3, 4, 5, 6],
    );
    equal(failures[0]?.message, 'column "n": an integer does not fit INTEGER exactly');
    deepEqual(await write(sink, [{ n: 1 }, { n: '7', d: '99.99' }]), []);
    await sink.close();
    deepEqual(await query(path, 'SELECT n, d FROM t'), [
      [1, null],
      [7, '99.99'],
    ]);
  });

  test('types are inferred from all records of the first batch', async () => {
    const { sink, path } = await openSink({});
    await write(sink, [
      {
        i: 1,
        f: 1,
        s: 'x',
        day: '2026-01-01',
        at: '2026-01-01T00:00:00Z',
        b: true,
        mixed: 1,
        none: null,
        o: { a: 1 },
      },
      {
        i: 2,
        f: 1.5,
        s: '2026-01-01',
        day: '2026-01-02',
        at: '2026-01-01T00:00:00.5+01:00',
        b: false,
        mixed: 'x',
        none: null,
        o: [],
      },
      '{"w":9223372036854775808}',
    ]);
    await sink.close();
    deepEqual(
      (await query(path, 'DESCRIBE t')).map(([name, type]) => `${String(name)} ${String(type)}`),
      [
        'i BIGINT',
        'f DOUBLE',
        's VARCHAR',
        'day DATE',
        'at TIMESTAMP WITH TIME ZONE',
        'b BOOLEAN',
        'mixed JSON',
        'none JSON',
        'o JSON',
        'w HUGEINT',
      ],
    );
  });
});

describe('duckdb: tables', () => {
  test('a new field adds a column, is left out, or fails its record, as newFields says', async () => {
    const added = await openSink({});
    await write(added.sink, [{ a: 1 }]);
    deepEqual(await write(added.sink, [{ a: 2, 'we"ird ☃': 'x' }, { b: null }]), []);
    await added.sink.close();
    deepEqual(
      await query(added.path, 'SELECT * FROM t'),
      [
        [1, null, null],
        [2, 'x', null],
        [null, null, null],
      ].map(([a, weird, b]) => [a === null ? null : String(a), weird, b]),
    );
    const ignored = await openSink({ newFields: 'ignore' });
    await write(ignored.sink, [{ a: 1 }]);
    deepEqual(await write(ignored.sink, [{ a: 2, b: 1 }]), []);
    await ignored.sink.close();
    deepEqual(await query(ignored.path, 'SELECT * FROM t'), [['1'], ['2']]);
    const refused = await openSink({ newFields: 'error' });
    await write(refused.sink, [{ a: 1 }]);
    deepEqual(
      (await write(refused.sink, [{ a: 2 }, { b: 1 }])).map(({ index, code }) => [index, code]),
      [[1, 'UNKNOWN_FIELD']],
    );
    await refused.sink.close();
  });

  test('names that differ only in case do not become one column', async () => {
    const { sink, path } = await openSink({});
    const failures = await write(sink, [{ id: 1 }, { ID: 2 }]);
    deepEqual(
      failures.map(({ index, code }) => [index, code]),
      [[1, 'UNKNOWN_FIELD']],
    );
    deepEqual(await write(sink, [{ id: 1 }]), []);
    await sink.close();
    deepEqual(await query(path, 'SELECT * FROM t'), [['1']]);
  });

  test('a table with more columns than are filled keeps its defaults', async () => {
    const { sink, path, directory } = await openSink({});
    await sink.close();
    await query(path, "CREATE TABLE t (made VARCHAR DEFAULT 'here', tags VARCHAR[], n BIGINT)");
    const partly = await openSink({ columns: { n: 'BIGINT' } }, directory);
    await write(partly.sink, [{ n: 1 }, { n: 2 }]);
    await partly.sink.close();
    deepEqual(await query(path, 'SELECT made, n FROM t'), [
      ['here', '1'],
      ['here', '2'],
    ]);
    const whole = await openSink({}, directory);
    await rejects(
      async () => write(whole.sink, [{ n: 1 }]),
      (error) =>
        isEtlError(error) &&
        error.code === 'ETL_CONFIG_INVALID' &&
        /column tags has the type VARCHAR\[\]/.test(error.message),
    );
    await whole.sink.close();
  });

  test('a column of another type than the settings say is refused by name', async () => {
    const { sink, path, directory } = await openSink({});
    await sink.close();
    await query(path, 'CREATE TABLE t (n VARCHAR)');
    const other = await openSink({ columns: { n: 'BIGINT' } }, directory);
    await rejects(
      async () => write(other.sink, [{ n: 1 }]),
      /columns\.n: is BIGINT, but VARCHAR in table t/,
    );
    await other.sink.close();
  });

  test('a record that breaks a constraint fails the write as a record, and nothing of it is stored', async () => {
    const { sink, path, directory } = await openSink({});
    await sink.close();
    await query(path, 'CREATE TABLE t (n BIGINT CHECK (n < 10))');
    const { sink: checked } = await openSink({}, directory);
    await rejects(
      async () => write(checked, [{ n: 1 }, { n: 10 }]),
      (error) => isEtlError(error) && error.code === 'ETL_RECORD_MALFORMED',
    );
    deepEqual((await checked.openLane(testLane('a'), 1)).position, undefined);
    deepEqual(await write(checked, [{ n: 2 }]), []);
    await checked.close();
    deepEqual(await query(path, 'SELECT * FROM t'), [['2']]);
  });
});

describe('duckdb: modes', () => {
  test('readers see the old table until a replacement is complete, and never a part', async () => {
    const { sink, path, directory } = await openSink({ mode: 'replace' });
    await write(sink, [{ n: 1 }, { n: 2 }]);
    await sink.complete();
    await write(sink, [{ n: 7, more: true }]);
    await sink.close();
    deepEqual(await query(path, 'SELECT * FROM t'), [['1'], ['2']]);
    const again = await openSink({ mode: 'replace' }, directory);
    await write(again.sink, [{ n: 8 }]);
    await again.sink.complete();
    await again.sink.complete();
    await again.sink.close();
    deepEqual(await query(path, 'SELECT * FROM t'), [
      ['7', true],
      ['8', null],
    ]);
    deepEqual(
      await query(path, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'"),
      [['t']],
    );
  });

  test('two stages do not replace one table at the same time', async () => {
    const { sink, directory } = await openSink({ mode: 'replace' });
    await write(sink, [{ n: 1 }]);
    const other = createSink(
      { type: 'duckdb', config: { path: 'x.duckdb', table: 't', mode: 'replace' } },
      'test',
    );
    await other.open({ ...testContext(directory), stage: 'other' });
    await other.openLane(testLane('a'), 1);
    await rejects(
      async () => other.write(batchOf([{ n: 2 }]), signal),
      /is being replaced by stage sink/,
    );
    await other.close();
    await sink.close();
  });

  test('upsert keeps the last row of each key, within a write and between writes', async () => {
    const { sink, path } = await openSink({ mode: 'upsert', key: ['k'] });
    await write(sink, [
      { k: 'a', v: 1 },
      { k: 'b', v: 2 },
      { k: 'a', v: 3 },
    ]);
    await write(sink, [
      { k: 'b', v: null },
      { k: 'c', v: 5, extra: 'x' },
    ]);
    deepEqual(
      (await write(sink, [{ v: 1 }, { k: 'd', v: 6 }])).map(({ index, code }) => [index, code]),
      [[0, 'KEY_MISSING']],
    );
    await sink.close();
    deepEqual(await query(path, 'SELECT * FROM t ORDER BY k'), [
      ['a', '3', null],
      ['b', null, null],
      ['c', '5', 'x'],
    ]);
  });
});

describe('duckdb: the file', () => {
  test('it is closed when idle and opened again by the next write', async () => {
    const { sink, path, clock } = await openSink({ idleCloseAfter: '2s' });
    await write(sink, [{ n: 1 }]);
    equal(clock.pending, 1);
    clock.advance(2000);
    for (
      let turn = 0;
      turn < 2000 && (await stat(`${path}.wal`).catch(() => undefined)) !== undefined;
      turn++
    ) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await runElsewhere(path, 'INSERT INTO t VALUES (2)');
    await write(sink, [{ n: 3 }]);
    await sink.close();
    deepEqual(await query(path, 'SELECT n FROM t'), [['1'], ['2'], ['3']]);
  });

  test('while another process holds it, a write fails with its name and may be tried again', async () => {
    const { sink, path, directory } = await openSink({});
    await sink.close();
    const holder = await holdElsewhere(path);
    const waiting = createSink(
      { type: 'duckdb', config: { path: 'x.duckdb', table: 't' } },
      'test',
    );
    await waiting.open(testContext(directory));
    await rejects(
      async () => waiting.openLane(testLane('a'), 1),
      (error) => {
        ok(isEtlError(error) && error.code === 'ETL_CONNECTOR_FAILED' && error.retryable);
        match(error.message, /x\.duckdb is open in another process \(PID \d+\)/);
        return true;
      },
    );
    await holder.release();
    deepEqual((await waiting.openLane(testLane('a'), 1)).position, undefined);
    await waiting.close();
  });

  test('several stages write to one file at the same time', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'etl-duckdb-'));
    const stages = ['one', 'two', 'three'].map((stage) => {
      const sink = createSink({ type: 'duckdb', config: { path: 'x.duckdb', table: 't' } }, 'test');
      return { stage, sink };
    });
    await Promise.all(
      stages.map(async ({ stage, sink }) => {
        await sink.open({ ...testContext(directory), stage });
        await sink.openLane(testLane('a'), 1);
        for (let n = 1; n <= 10; n++) {
          const payload = JSON.stringify({ stage, n, [`only ${stage}`]: n });
          await sink.write(
            testBatch({ lane: 'a', epoch: 1, from: n, to: n, payloads: new Map([[n, payload]]) }),
            signal,
          );
        }
        await sink.close();
      }),
    );
    const path = join(directory, 'x.duckdb');
    deepEqual(
      await query(path, 'SELECT stage, count(DISTINCT n) FROM t GROUP BY stage ORDER BY stage'),
      [
        ['one', '10'],
        ['three', '10'],
        ['two', '10'],
      ],
    );
  });

  test('a stage that opens the file while the last one closes it waits its turn', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'etl-duckdb-'));
    for (let round = 1; round <= 10; round++) {
      const first = await openSink({}, directory);
      await write(first.sink, [{ n: round }]);
      const closing = first.sink.close();
      const second = await openSink({}, directory);
      await Promise.all([closing, write(second.sink, [{ n: -round }])]);
      await second.sink.close();
    }
    const path = join(directory, 'x.duckdb');
    deepEqual(await query(path, 'SELECT count(*), sum(n) FROM t'), [['20', '0']]);
  });

  test('what is no database is refused, and not tried for ever', async () => {
    const sink = createSink(
      { type: 'duckdb', config: { path: 'sink.test.ts', table: 't' } },
      'test',
    );
    await sink.open(testContext(import.meta.dirname));
    await rejects(
      async () => sink.openLane(testLane('a'), 1),
      (error) => isEtlError(error) && !error.retryable,
    );
    await sink.close();
  });
});

const opener = `
  import { DuckDBInstance } from '@duckdb/node-api';
  const connection = await (await DuckDBInstance.create(process.argv[1])).connect();
  if (process.argv[2] !== undefined) await connection.run(process.argv[2]);
  else { process.stdout.write('held'); process.stdin.resume(); await new Promise((resolve) => process.stdin.once('end', resolve)); }
`;

async function runElsewhere(path: string, sql: string): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', opener, path, sql], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  equal(await new Promise((resolve) => child.once('close', resolve)), 0);
}

async function holdElsewhere(path: string): Promise<{ readonly release: () => Promise<void> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', opener, path], {
    cwd: import.meta.dirname,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return {
    release: async () => {
      child.stdin.end();
      await closed;
    },
  };
}
