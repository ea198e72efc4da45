import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import { MemoryTable, testPipeline } from '../../src/testing.ts';
import { numbers, World } from './world.ts';

const simple = testPipeline({ stages: { in: 'source', out: 'sink' }, edges: [['in', 'out']] });
const down = new EtlError('ETL_CONNECTOR_FAILED', 'the table is away');

test('a sink that is down for an hour is waited out, and dead-letters nothing', async () => {
  const table = new MemoryTable();
  const world = new World({ pipeline: simple, tables: { out: table } });
  table.onWrite = () => ({ kind: 'fail', error: down });
  world.emit(300);
  await world.start();
  for (let minute = 0; minute < 6; minute++) {
    world.clock.advance(600_000);
    await world.pass(10);
  }
  assert.equal(world.stage('out').fault?.standing, true);
  assert.match(world.snapshot.message, /out: the table is away/);
  table.onWrite = () => undefined;
  await world.completed();
  assert.deepEqual(table.payloads, numbers(300));
  assert.equal(world.stage('out').deadLettered, 0);
  assert.equal(world.stage('out').fault?.standing, false);
});

test('a bounded source whose partitions can not be listed yet is not complete', async () => {
  const table = new MemoryTable();
  const world = new World({ pipeline: simple, tables: { out: table } });
  world.emit(10);
  world.topic.listFailure = new EtlError('ETL_UNAVAILABLE', 'the source is away');
  await world.start();
  await world.pass(10);
  assert.equal(world.snapshot.phase, 'running');
  assert.match(world.snapshot.message, /in: the source is away/);
  world.topic.listFailure = undefined;
  await world.completed();
  assert.deepEqual(table.payloads, numbers(10));
  assert.equal(world.stage('in').fault?.standing, false);
});

test('one poison record among n is found in at most 2·log2(n) + 1 writes, and the rest keeps its order', async () => {
  for (const poison of [0, 1, 37, 63]) {
    const table = new MemoryTable();
    table.preference = { maxRecords: 64, maxBytes: 1_000_000, maxWaitMs: 0 };
    table.onRecord = (payload) => {
      if (payload === String(poison)) throw new EtlError('ETL_INVALID_ARGUMENT', 'does not fit');
      return undefined;
    };
    const world = new World({ pipeline: simple, tables: { out: table } });
    world.emit(64);
    await world.start();
    await world.completed();
    assert.ok(
      table.writes.length <= 2 * 6 + 1,
      `${table.writes.length} writes for record ${poison}`,
    );
    assert.deepEqual(
      table.payloads,
      numbers(64).filter((payload) => payload !== String(poison)),
    );
    const [letter] =
      (await world.deadLetters?.list({ pipelineId: simple.id, first: 10 }))?.items ?? [];
    assert.equal(letter?.batch.payload(0).toString(), String(poison));
    assert.equal(letter?.code, 'ETL_INVALID_ARGUMENT');
    assert.equal(letter?.stage, 'out');
  }
});

test('records a sink reports go to the dead letters, the others are stored once', async () => {
  const table = new MemoryTable();
  table.onRecord = (payload) =>
    payload.endsWith('7') ? { code: 'SEVEN', message: 'no sevens', retryable: false } : undefined;
  const world = new World({ pipeline: simple, tables: { out: table } });
  world.emit(100);
  await world.start();
  await world.completed();
  assert.deepEqual(
    table.payloads,
    numbers(100).filter((payload) => !payload.endsWith('7')),
  );
  assert.deepEqual(
    [...(world.deadLetters?.counts(simple.id).byFingerprint ?? [])],
    [['out/SEVEN', 10]],
  );
});

test('a record that fails for a while is tried again until it passes', async () => {
  const table = new MemoryTable();
  let failures = 2;
  table.onRecord = (payload) =>
    payload === '5' && failures-- > 0
      ? { code: 'BUSY', message: 'later', retryable: true }
      : undefined;
  const world = new World({ pipeline: simple, tables: { out: table } });
  world.emit(10);
  await world.start();
  await world.completed();
  assert.deepEqual(table.payloads.toSorted(), numbers(10));
  assert.equal(world.deadLetters?.counts(simple.id).total, 0);
});

test('a record that looks like an outage is given up when others pass', async () => {
  const table = new MemoryTable();
  table.preference = { maxRecords: 8, maxBytes: 1_000_000, maxWaitMs: 0 };
  table.onRecord = (payload) => {
    if (payload === '5') throw down;
    return undefined;
  };
  const world = new World({ pipeline: simple, tables: { out: table } });
  world.emit(20);
  await world.start();
  await world.completed();
  assert.deepEqual(
    table.payloads,
    numbers(20).filter((payload) => payload !== '5'),
  );
  assert.equal(world.deadLetters?.counts(simple.id).total, 1);
});

test('a write of unknown outcome is not repeated by a sink that says what it holds', async () => {
  for (const [kind, copies] of [
    ['transactional', 1],
    ['append', 2],
  ] as const) {
    const table = new MemoryTable(kind);
    let isFirst = true;
    table.onWrite = () => {
      if (!isFirst) return undefined;
      isFirst = false;
      return { kind: 'unknown', error: down };
    };
    const world = new World({ pipeline: simple, tables: { out: table } });
    world.emit(5);
    await world.start();
    await world.completed();
    assert.equal(table.rows.length, 5 * copies, kind);
  }
});

test('a transactional write that times out is fenced off before anything is written again', async () => {
  const table = new MemoryTable('transactional');
  let release = (): void => {};
  const late = new Promise<void>((resolve) => (release = resolve));
  let isFirst = true;
  table.onWrite = () => {
    if (!isFirst) return undefined;
    isFirst = false;
    return { kind: 'wait', until: late };
  };
  const world = new World({ pipeline: simple, tables: { out: table } });
  world.emit(50);
  await world.start();
  await world.until(() => table.rows.length >= 50, 300_000);
  release();
  await world.until(() => world.outcomes.length > 0);
  await world.pass(100);
  assert.deepEqual(table.payloads, numbers(50));
  assert.ok(Math.max(...Array.from(table.lanes.values(), ({ epoch }) => epoch)) > 1);
});

test('a full dead-letter store holds the lane with the poison record, and drops nothing', async () => {
  const table = new MemoryTable();
  table.onRecord = (payload) =>
    Number(payload) % 2 === 1 ? { code: 'ODD', message: 'odd', retryable: false } : undefined;
  const world = new World({ pipeline: simple, tables: { out: table }, deadLetterMaxBytes: 20_000 });
  world.emit(200);
  await world.start();
  await world.until(() => world.deadLetters?.usage.waiting === 1);
  await world.pass(5000);
  assert.equal(world.outcomes.length, 0);
  let letters = 0;
  await world.until(() => {
    const count = world.deadLetters?.counts(simple.id).total ?? 0;
    if (count > 0) void world.deadLetters?.discard(simple.id, {});
    letters = world.stage('out').deadLettered;
    return world.outcomes.length > 0;
  });
  assert.equal(letters, 100);
  assert.equal(table.rows.length, 100);
});

test('a transform that is away is waited for, and its failures keep the order of the rest', async () => {
  const table = new MemoryTable();
  let away = 3;
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', t: 'transform', out: 'sink' },
      edges: [
        ['in', 't'],
        ['t', 'out'],
      ],
    }),
    tables: { out: table },
    transforms: {
      t: (payload) =>
        payload.endsWith('3')
          ? { code: 'THREE', message: 'no threes', retryable: false }
          : payload.endsWith('4')
            ? []
            : [payload],
    },
    before: {
      t: () => {
        if (away-- > 0) throw new EtlError('ETL_UNAVAILABLE', 'not there');
      },
    },
  });
  world.emit(100);
  await world.start();
  await world.completed();
  assert.deepEqual(
    table.payloads,
    numbers(100).filter((payload) => !/[34]$/.test(payload)),
  );
  const { filtered, deadLettered, recordsOut } = world.stage('t');
  assert.deepEqual(
    { filtered, deadLettered, recordsOut },
    { filtered: 10, deadLettered: 10, recordsOut: 80 },
  );
});

test('after an outage, what one lane gets through costs the other none of its records', async () => {
  const table = new MemoryTable();
  const pipeline = testPipeline({
    stages: { in: 'source', t: 'transform', out: 'sink' },
    edges: [
      ['in', 't'],
      ['t', 'out'],
    ],
  });
  let isDown = true;
  const before = (): void => {
    if (isDown) throw new EtlError('ETL_UNAVAILABLE', 'nobody listens');
  };
  const transforms = { t: (payload: string) => [payload] };
  const world = new World({ pipeline, tables: { out: table }, transforms, before: { t: before } });
  world.emit(8, 'p0');
  world.emit(8, 'p1');
  await world.start();
  // Small steps, as the lanes wait for times of their own: one is through while the other still waits.
  const advance = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 5) {
      world.clock.advance(5);
      await world.pass(5);
    }
  };
  await advance(2000);
  isDown = false;
  await advance(1000);
  assert.equal(world.stage('t').deadLettered, 0);
  assert.equal(table.payloads.length, 16);
  assert.equal(world.snapshot.phase, 'completed');
});

test('a defect in a transform costs the record it trips over, not the pipeline', async () => {
  const table = new MemoryTable();
  const world = new World({
    pipeline: testPipeline({
      stages: { in: 'source', t: 'transform', out: 'sink' },
      edges: [
        ['in', 't'],
        ['t', 'out'],
      ],
    }),
    tables: { out: table },
    transforms: {
      t: (payload) => {
        if (payload === '42') throw new TypeError('undefined is not a function');
        return [payload];
      },
    },
  });
  world.emit(100);
  await world.start();
  await world.completed();
  assert.equal(table.rows.length, 99);
  assert.deepEqual(
    [...(world.deadLetters?.counts('test/pipeline').byFingerprint ?? [])],
    [['t/ETL_INTERNAL', 1]],
  );
});

test('at most once: what an unknown outcome costs is counted, and a crash repeats nothing', async () => {
  const pipeline = { ...simple, delivery: { ...simple.delivery, require: 'atMostOnce' as const } };
  for (const isKilled of [false, true]) {
    const table = new MemoryTable();
    let writes = 0;
    table.onWrite = () => (++writes % 3 === 0 ? { kind: 'fail', error: down } : undefined);
    const world = new World({ pipeline, tables: { out: table } });
    world.topic.maxBatch = 10;
    world.emit(100);
    await world.start();
    if (isKilled) {
      await world.until(() => table.rows.length >= 30);
      await world.kill();
      await world.start();
    }
    await world.completed();
    assert.equal(new Set(table.payloads).size, table.payloads.length, 'no duplicates');
    const { dropped } = world.stage('out');
    if (!isKilled) assert.equal(table.rows.length + dropped, 100);
    if (!isKilled) assert.ok(dropped > 0);
  }
});

test('a source that goes back in its positions is refused', async () => {
  const table = new MemoryTable();
  const world = new World({
    pipeline: simple,
    tables: { out: table },
    source: () => ({
      capabilities: { replayable: true, ordered: 'partition', bounded: true },
      open: async () => {},
      partitions: async () => [{ name: 'p0' }],
      openPartition: async ({ lane, epoch }) => ({
        next: async () => {
          const { BatchBuilder, positionOfCount } = await import('@etl-router/core');
          const builder = new BatchBuilder();
          builder.append({ position: positionOfCount(5) });
          const header = { lane, epoch, firstSequence: 0, watermark: undefined };
          return { kind: 'batch', batch: builder.build(header) };
        },
        acknowledge: async () => {},
        lag: () => ({}),
        close: async () => {},
      }),
      close: async () => {},
    }),
  });
  await world.start();
  await world.completed();
  const [outcome] = world.outcomes;
  assert.equal(outcome?.kind, 'failed');
  assert.match(world.snapshot.message, /positions that do not ascend/);
  assert.equal(table.rows.length, 1);
});
