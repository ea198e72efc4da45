import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOfPosition, EtlError, positionOfCount, timestampOfMs } from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import { type EdgeOptions, MemoryTable, testPipeline } from '../../src/testing.ts';
import { numbers, World } from './world.ts';

const stages = { in: 'source', a: 'sink', b: 'sink' } as const;
const down = new EtlError('ETL_CONNECTOR_FAILED', 'the table is away');
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
  test(`a dead sink behind an edge that says ${policy} does not stop the other`, async () => {
    const [a, b] = [new MemoryTable(), new MemoryTable()];
    const pipeline = forked({ overflow: { policy, ...full } });
    const world = new World({ pipeline, tables: { a, b } });
    b.onWrite = () => ({ kind: 'fail', error: down });
    world.emit(3000);
    await world.start();
    await world.until(() => a.rows.length === 3000);
    assert.deepEqual(a.payloads, numbers(3000));
    b.onWrite = () => undefined;
    await world.completed();
    const letters = world.deadLetters?.counts(pipeline.id).total ?? 0;
    const { dropped } = world.stage('b');
    assert.equal(b.rows.length + letters + dropped, 3000, 'nothing is unaccounted for');
    if (policy === 'spill') assert.deepEqual(b.payloads, numbers(3000));
    if (policy === 'deadLetter') assert.ok(letters > 2000);
    if (policy === 'drop') assert.ok(dropped > 2000);
  });
}

test('a dead sink behind a blocking edge stops the lane, and loses nothing', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  b.onWrite = () => ({ kind: 'fail', error: down });
  world.emit(3000);
  await world.start();
  await world.pass(20_000);
  assert.ok(a.rows.length <= 200, `${a.rows.length} went ahead`);
  assert.ok(world.snapshot.inFlightRecords <= 100);
  b.onWrite = () => undefined;
  await world.completed();
  assert.deepEqual(a.payloads, numbers(3000));
  assert.deepEqual(b.payloads, numbers(3000));
});

test('a branch that gets one record in a hundred can not hold the others back', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const when = { cel: "record.type == 'rare'" };
  const pipeline = forked({ when, overflow: { policy: 'spill', ...full } });
  const world = new World({ pipeline, tables: { a, b } });
  b.onWrite = () => ({ kind: 'fail', error: down });
  world.topic.append(
    'p0',
    numbers(3000).map((n) => ({
      type: Number(n) % 100 === 0 ? 'rare' : 'usual',
      payload: Buffer.from(n),
    })),
  );
  await world.start();
  await world.until(() => a.rows.length === 3000);
  b.onWrite = () => undefined;
  await world.completed();
  assert.equal(b.rows.length, 30);
});

test('what was spilled is delivered by the next process, in order, though the partition is gone', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({
    pipeline: forked({ overflow: { policy: 'spill', ...full } }),
    tables: { a, b },
  });
  b.onWrite = () => ({ kind: 'fail', error: down });
  world.emit(1000);
  await world.start();
  await world.until(() => a.rows.length === 1000);
  await world.pass(1000);
  assert.equal(countOfPosition(world.controlPlane.position('in', 'p0') ?? new Uint8Array()), 1000);
  await world.kill();
  world.topic.remove('p0');
  b.onWrite = () => undefined;
  await world.start();
  await world.completed();
  assert.deepEqual(b.payloads, numbers(1000));
});

test('a full spill blocks', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const overflow = { policy: 'spill' as const, afterMs: 0, spillMaxBytes: 20_000 };
  const world = new World({ pipeline: forked({ overflow }), tables: { a, b } });
  b.onWrite = () => ({ kind: 'fail', error: down });
  world.emit(20_000);
  await world.start();
  await world.pass(30_000);
  assert.ok(a.rows.length < 5000, `${a.rows.length} went ahead`);
  assert.ok(world.disk.size < 100_000, `${world.disk.size} bytes on disk`);
  b.onWrite = () => undefined;
  await world.completed();
  assert.deepEqual(b.payloads, numbers(20_000));
});

test('what an edge spilled becomes dead letters when the edge goes', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const pipeline = forked({ overflow: { policy: 'spill', ...full } });
  const world = new World({ pipeline, tables: { a, b } });
  b.onWrite = () => ({ kind: 'fail', error: down });
  world.emit(500);
  await world.start();
  await world.until(() => a.rows.length === 500);
  await world.pass(1000);
  await world.kill();
  const [edge] = pipeline.edges;
  world.controlPlane.assign({ ...pipeline, edges: edge === undefined ? [] : [edge] });
  await world.start();
  await world.completed();
  assert.deepEqual(
    [...(world.deadLetters?.counts(pipeline.id).byFingerprint ?? [])],
    [['b/EDGE_REMOVED', 500]],
  );
});

test('a required edge that is dead never lets the position pass, one that is not required does', async () => {
  for (const required of [true, false]) {
    const [a, b] = [new MemoryTable(), new MemoryTable()];
    const world = new World({ pipeline: forked({ required }), tables: { a, b } });
    b.onWrite = () => ({ kind: 'hang' });
    world.emit(30);
    await world.start();
    await world.until(() => a.rows.length === 30);
    await world.pass(2000);
    const position = world.controlPlane.position('in', 'p0');
    assert.equal(position === undefined ? 0 : countOfPosition(position), required ? 0 : 30);
    await world.kill();
  }
});

test('after a crash at least once repeats no more than what was in flight and not committed', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.topic.slowMs = 10;
  world.topic.maxBatch = 20;
  world.emit(2000);
  await world.start();
  await world.until(() => a.rows.length > 900);
  await world.kill();
  world.topic.slowMs = 0;
  await world.start();
  await world.completed();
  const rate = 2;
  const bound = 100 + 500 * rate + 200;
  for (const table of [a, b]) {
    assert.equal(new Set(table.payloads).size, 2000, 'nothing is missing');
    assert.ok(table.rows.length - 2000 <= bound, `${table.rows.length - 2000} came twice`);
  }
});

test('exactly once: a crash anywhere leaves each record once in a sink that keeps positions', async () => {
  const [a, b] = [new MemoryTable('transactional'), new MemoryTable('transactional')];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.topic.maxBatch = 17;
  world.topic.slowMs = 5;
  world.emit(3000);
  for (let life = 1; life < 8; life++) {
    await world.start();
    await world.until(() => a.rows.length > life * 300);
    await world.kill();
  }
  await world.start();
  await world.completed();
  assert.deepEqual(a.payloads, numbers(3000));
  assert.deepEqual(b.payloads, numbers(3000));
});

test('the router may be away: records flow, positions wait', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.topic.bounded = false;
  world.emit(10);
  await world.start();
  await world.until(() => a.rows.length === 10);
  world.controlPlane.isAway = true;
  world.emit(500);
  await world.until(() => a.rows.length === 510);
  await world.pass(2000);
  assert.ok((world.topic.acknowledged.get('p0') ?? 0) <= 10, 'nothing is acknowledged');
  world.controlPlane.isAway = false;
  await world.until(() => world.topic.acknowledged.get('p0') === 510);
});

test('a lane that was given to somebody else stops, and its stale epoch can not commit', async () => {
  const [a, b] = [new MemoryTable('transactional'), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.topic.bounded = false;
  world.emit(10);
  await world.start();
  await world.until(() => world.topic.acknowledged.get('p0') === 10);
  const before = world.snapshot.lanes[0]?.epoch ?? 0;
  world.controlPlane.reassign();
  for (const lane of a.lanes.values()) lane.epoch += 1;
  world.emit(10);
  await world.until(() => world.topic.acknowledged.get('p0') === 20);
  assert.ok((world.snapshot.lanes[0]?.epoch ?? 0) > before + 1, 'it was opened again');
  assert.deepEqual(a.payloads, numbers(20));
});

test('paused reads nothing and commits what was in flight; running again goes on where it stood', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const pipeline = forked({});
  const world = new World({ pipeline, tables: { a, b } });
  world.topic.bounded = false;
  world.emit(50);
  await world.start();
  await world.until(() => a.rows.length === 50);
  world.controlPlane.assign({ ...pipeline, state: 'paused' });
  await world.until(() => world.snapshot.phase === 'paused');
  await world.pass(1000);
  world.emit(50);
  await world.pass(5000);
  assert.equal(a.rows.length, 50);
  assert.equal(world.topic.acknowledged.get('p0'), 50);
  const { epoch } = world.snapshot.lanes[0] ?? {};
  world.controlPlane.assign({ ...pipeline, state: 'running' });
  await world.until(() => a.rows.length === 100);
  assert.equal(world.snapshot.lanes[0]?.epoch, epoch, 'the lane was kept open');
  assert.deepEqual(a.payloads, numbers(100));
});

test('a new version drains the old one and goes on from its positions, without a duplicate', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const pipeline = forked({});
  const world = new World({ pipeline, tables: { a, b } });
  world.topic.slowMs = 5;
  world.topic.maxBatch = 10;
  world.emit(1000);
  await world.start();
  await world.until(() => a.rows.length > 300);
  world.controlPlane.assign({ ...pipeline, limits: { ...pipeline.limits, inFlightRecords: 50 } });
  await world.completed();
  assert.equal(world.snapshot.version, 2);
  assert.deepEqual(a.payloads, numbers(1000));
  assert.deepEqual(b.payloads, numbers(1000));
});

test('closing in good order finishes what is in flight: the next process repeats nothing', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.topic.slowMs = 5;
  world.topic.maxBatch = 10;
  world.emit(1000);
  await world.start();
  await world.until(() => a.rows.length > 300);
  let isClosed = false;
  void world.sidecar?.close(10_000).then(() => (isClosed = true));
  await world.until(() => isClosed);
  await world.start();
  await world.completed();
  assert.deepEqual(a.payloads, numbers(1000));
});

test('closing does not wait for a dead sink longer than it was told', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  b.onWrite = () => ({ kind: 'hang' });
  world.emit(100);
  await world.start();
  await world.until(() => a.rows.length > 0);
  let isClosed = false;
  void world.sidecar?.close(3000).then(() => (isClosed = true));
  await world.pass(2500);
  assert.equal(isClosed, false);
  await world.until(() => isClosed, 1000);
});

test('a partition that appears later is found', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.topic.bounded = false;
  world.emit(5);
  await world.start();
  await world.until(() => a.rows.length === 5);
  world.emit(5, 'p1');
  await world.until(() => a.rows.length === 10);
});

test('bounded input that is done is published once, and the run says so', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.emit(10);
  world.topic.append('empty', []);
  await world.start();
  await world.completed();
  assert.deepEqual(world.outcomes, [{ kind: 'completed' }]);
  assert.deepEqual([a.completions, b.completions], [1, 1]);
  assert.equal(world.snapshot.phase, 'completed');
});

test('a graph whose branches meet without waiting for each other is refused, and the way out is named', async () => {
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', t: 'transform', a: 'sink' },
      edges: [
        ['in', 't', { overflow: { policy: 'spill', ...full } }],
        ['in', 'a'],
        ['t', 'a'],
      ],
    }),
    tables: { a: new MemoryTable() },
    transforms: { t: (payload) => [payload] },
  });
  await world.start();
  await world.completed();
  const [outcome] = world.outcomes;
  assert.equal(outcome?.kind === 'failed' && outcome.error.code, 'ETL_UNSUPPORTED');
  assert.match(world.snapshot.message, /put the overflow policies on the edges into the sinks/);
});

test('copies that meet again are two records with ids of their own, the same on every replay', async () => {
  const a = new MemoryTable('keyed');
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', t: 'transform', u: 'transform', a: 'sink' },
      edges: [
        ['in', 't'],
        ['in', 'u'],
        ['t', 'a'],
        ['u', 'a'],
      ],
    }),
    tables: { a },
    transforms: { t: (payload) => [`t${payload}`], u: (payload) => [`u${payload}`] },
  });
  world.emit(2);
  await world.start();
  await world.completed();
  assert.deepEqual(
    a.rows.map(({ id, payload }) => [id, payload]),
    [
      ['in/p0/0000000000000001', 't0'],
      ['in/p0/0000000000000001.u.0', 'u0'],
      ['in/p0/0000000000000002', 't1'],
      ['in/p0/0000000000000002.u.0', 'u1'],
    ],
  );
});

test('dead letters are sent again from their stage on, with the id they had, and leave the store', async () => {
  const [a, b] = [new MemoryTable('keyed'), new MemoryTable()];
  let isCured = false;
  a.onRecord = (payload) =>
    !isCured && payload.endsWith('1')
      ? { code: 'ONE', message: 'no', retryable: false }
      : undefined;
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.emit(50);
  await world.start();
  await world.completed();
  assert.equal(a.rows.length, 45);
  await assert.rejects(
    async () => world.sidecar?.redrive('test/other', {}),
    (error: unknown) => (error as EtlError).code === 'ETL_NOT_FOUND',
  );
  isCured = true;
  assert.equal(await world.sidecar?.redrive(world.pipelineId, { code: 'ONE' }), 5);
  await world.completed();
  assert.equal(world.deadLetters?.counts(world.pipelineId).total, 0);
  assert.equal(b.rows.length, 50, 'the other branch does not get them again');
  const redriven = a.rows.filter(({ lane }) => lane.partition === '~redrive/a');
  assert.deepEqual(
    redriven.map(({ id, payload }) => [id, payload]),
    [1, 11, 21, 31, 41].map((n) => [`in/p0/${(n + 1).toString(16).padStart(16, '0')}`, String(n)]),
  );
});

test('a redrive that fails again is a dead letter again', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  a.onRecord = (payload) =>
    payload === '3' ? { code: 'THREE', message: 'no', retryable: false } : undefined;
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.emit(5);
  await world.start();
  await world.completed();
  await world.sidecar?.redrive(world.pipelineId, {});
  await world.completed();
  const letter = await world.deadLetters?.get(world.pipelineId, 'in/p0/0000000000000004');
  assert.equal(letter?.attempts, 2);
  assert.equal(letter?.redrive, undefined);
  assert.deepEqual([letter?.source, letter?.partition], ['in', 'p0'], 'its first lane is kept');
});

test('a dead-letter sink gets what failed and why, and what it refuses is not dead-lettered again', async () => {
  const [a, dlq] = [new MemoryTable(), new MemoryTable()];
  a.onRecord = (payload) =>
    payload < '3' ? { code: 'SMALL', message: 'too small', retryable: false } : undefined;
  dlq.onRecord = (payload) =>
    payload === '1' ? { code: 'NO', message: 'no', retryable: false } : undefined;
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', a: 'sink', dlq: 'sink' },
      edges: [['in', 'a']],
      change: { deadLetterSink: 'dlq' },
    }),
    tables: { a, dlq },
  });
  world.emit(5);
  await world.start();
  await world.completed();
  assert.deepEqual(dlq.payloads, ['0', '2']);
  const headers = Object.fromEntries(dlq.rows[0]?.headers ?? []);
  assert.equal(headers['etl-id'], 'in/p0/0000000000000001');
  assert.equal(headers['etl-stage'], 'a');
  assert.equal(headers['etl-error-code'], 'SMALL');
  assert.equal(headers['etl-attempts'], '1');
  assert.equal(world.deadLetters?.counts(world.pipelineId).total, 3);
});

test('late records are kept and marked, dropped and counted, or dead-lettered', async () => {
  for (const late of ['keep', 'drop', 'deadLetter'] as const) {
    const a = new MemoryTable();
    const world = new World({
      pipeline: testPipeline({
        stages: { in: 'source', a: 'sink' },
        edges: [['in', 'a']],
        change: {
          watermark: { field: undefined, allowedLatenessMs: 5000, idleThresholdMs: 60_000, late },
        },
      }),
      tables: { a },
    });
    world.topic.bounded = false;
    const at = (
      seconds: number,
    ): { eventTime: { seconds: number; nanos: number }; payload: Buffer } => ({
      eventTime: timestampOfMs(seconds * 1000),
      payload: Buffer.from(`${seconds}`),
    });
    world.topic.append('p0', [at(100), at(200)]);
    await world.start();
    await world.until(() => world.sidecar?.snapshot(world.pipelineId)?.watermarkMs === 200_000);
    world.topic.append('p0', [at(190), at(196), at(210)]);
    await world.until(() => world.sidecar?.snapshot(world.pipelineId)?.watermarkMs === 210_000);
    const isMarked = a.rows.filter(({ headers }) => headers.has('etl-late'));
    const kept =
      late === 'keep' ? ['100', '200', '190', '196', '210'] : ['100', '200', '196', '210'];
    assert.deepEqual(a.payloads, kept, late);
    assert.deepEqual(
      isMarked.map(({ payload, headers }) => [payload, headers.get('etl-late')]),
      late === 'keep' ? [['190', '10']] : [],
    );
    assert.equal(world.stage('in').dropped, late === 'drop' ? 1 : 0);
    assert.equal(world.deadLetters?.counts(world.pipelineId).total, late === 'deadLetter' ? 1 : 0);
  }
});

test('a position that the router holds is where reading begins', async () => {
  const [a, b] = [new MemoryTable(), new MemoryTable()];
  const world = new World({ pipeline: forked({}), tables: { a, b } });
  world.emit(10);
  world.controlPlane.lanes.set(`test/pipeline ${JSON.stringify(['in', 'p0'])}`, {
    epoch: 4,
    position: positionOfCount(7),
    watermarkMs: undefined,
  });
  await world.start();
  await world.completed();
  assert.deepEqual(a.payloads, ['7', '8', '9']);
});
