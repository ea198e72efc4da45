import { deepEqual, rejects } from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSink } from '@etl-router/connectors';
import { testBatch, testContext, testLane } from '@etl-router/connectors/testing';
import { isEtlError } from '@etl-router/core';
import { query } from '../read-output.ts';

const signal = new AbortController().signal;

test('a write to a file that was removed does not count, and the next one begins a new file', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'etl-duckdb-'));
  const config = { path: 'x.duckdb', table: 't', columns: { seq: 'BIGINT' } };
  const sink = createSink({ type: 'duckdb', config }, 'test');
  await sink.open(testContext(directory));
  await sink.openLane(testLane('a'), 1);
  const write = (n: number): Promise<unknown> =>
    sink.write(testBatch({ lane: 'a', epoch: 1, from: n, to: n }), signal);
  deepEqual(await write(1), { failures: [] });
  await rm(directory, { recursive: true });
  await rejects(
    write(2),
    (error) => isEtlError(error) && error.retryable && /was removed/.test(error.message),
  );
  await sink.openLane(testLane('a'), 1);
  deepEqual(await write(2), { failures: [] });
  await sink.close();
  const rows = await query(join(directory, 'x.duckdb'), 'SELECT count(*) FROM t');
  deepEqual(rows, [['1']]);
  await rm(directory, { recursive: true });
});
