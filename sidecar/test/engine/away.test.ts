import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import { type EdgeOptions, MemoryTable, testPipeline } from '../../src/testing.ts';
import { World } from './world.ts';

const stages = { in: 'source', a: 'sink', b: 'sink' } as const;
const full = { afterMs: 0, spillMaxBytes: 1_000_000 };

/** A healthy sink and one behind an edge with these options. */
function forked(options: EdgeOptions, change: Partial<Pipeline> = {}): Pipeline {
  return testPipeline({
    stages,
    edges: [
      ['in', 'a'],
      ['in', 'b', options],
    ],
    change: { limits: { inFlightRecords: 100, inFlightBytes: 1_000_000 }, ...change },
  });
}

for (const policy of ['spill', 'deadLetter', 'drop'] as const) {
  test(`a sink that is away from the beginning behind an edge that says ${policy} does not stop the other`, async () => {
    const [a, b] = [new MemoryTable(), new MemoryTable()];
    const pipeline = forked({ overflow: { policy, ...full } });
    const world = new World({ pipeline, tables: { a, b } });
    b.away = new EtlError('ETL_UNAVAILABLE', 'nobody listens');
    world.emit(3000);
    await world.start();
    await world.until(() => a.rows.length === 3000);
    assert.equal(world.snapshot.phase, 'running');
    assert.match(world.snapshot.message, /b: nobody listens/);
    b.away = undefined;
    await world.completed();
    assert.deepEqual(world.outcomes, [{ kind: 'completed' }]);
    const letters = world.deadLetters?.counts(pipeline.id).total ?? 0;
    assert.equal(b.rows.length + letters + world.stage('b').dropped, 3000);
  });
}

test('a sink that turns out to be configured wrong after it was away fails the run', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  b.away = new EtlError('ETL_UNAVAILABLE', 'nobody listens');
  world.emit(10);
  await world.start();
  await world.until(() => a.rows.length === 10);
  b.away = new EtlError('ETL_CONFIG_INVALID', 'no such table');
  await world.completed();
  assert.equal(world.outcomes[0]?.kind, 'failed');
  assert.match(world.snapshot.message, /no such table/);
});

test('a run that still waits for its source ends at once when it is drained', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const away = (): never => {
    throw new EtlError('ETL_UNAVAILABLE', 'nobody listens');
  };
  const world = new World({ pipeline: forked({}), tables: { a, b }, source: away });
  await world.start();
  await world.until(
    () => world.sidecar?.snapshot(world.pipelineId)?.message.includes('nobody listens') === true,
  );
  const closing = world.sidecar?.close(30_000);
  let isClosed = false;
  void closing?.then(() => {
    isClosed = true;
  });
  await world.until(() => isClosed, 1000);
});
