import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EtlError, positionOfCount, type ReadResult } from '@etl-router/core';
import { type SourceOptions, type SourceRecord, serveSource } from '@etl-router/sdk';
import { GrpcSource } from '@etl-router/sidecar';
import { lane, never, quiet, readValues, stageContext, targetOf, valuesOf } from './fixture.ts';

async function sourceOf(t: TestContext, options: Omit<SourceOptions, 'name'>): Promise<GrpcSource> {
  const service = await serveSource({ name: 'mine', ...quiet, ...options });
  t.after(() => service.close());
  const source = await GrpcSource.connect(targetOf(service.address));
  t.after(() => source.close());
  await source.open(stageContext);
  return source;
}

/** Counts from what follows `after` to below `end`. */
const counter = (end: number): SourceOptions['read'] =>
  async function* ({ after }) {
    for (let n = after === undefined ? 0 : after.toNumber() + 1; n < end; n++)
      yield { position: n, json: n };
  };

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);

const bounded = { bounded: true } as const;
const openRequest = { lane, epoch: 1, after: undefined, signal: never };

test('a bounded source gives every record in order and then its end', async (t) => {
  const source = await sourceOf(t, { capabilities: bounded, read: counter(2500) });
  assert.deepEqual(source.capabilities, { replayable: true, ordered: 'partition', bounded: true });
  assert.deepEqual(await source.partitions(never), [{ name: 'all' }]);
  const reader = await source.openPartition(openRequest);
  assert.deepEqual(await readValues(reader, Infinity), range(0, 2500));
  assert.deepEqual(await reader.next({ maxRecords: 1, maxBytes: 1, signal: never }), {
    kind: 'end',
  });
});

test('reading resumes after a position', async (t) => {
  const source = await sourceOf(t, { capabilities: bounded, read: counter(10) });
  const reader = await source.openPartition({ ...openRequest, after: positionOfCount(6) });
  assert.deepEqual(await readValues(reader, Infinity), [7, 8, 9]);
});

test('no more is read than there is credit for, however it is cut', async (t) => {
  let asked = 0;
  const source = await sourceOf(t, {
    capabilities: bounded,
    read: async function* () {
      for (let n = 0; n < 300; n++) {
        asked++;
        yield { position: n, text: 'x'.repeat(100) };
      }
    },
  });
  const reader = await source.openPartition(openRequest);
  let records = 0;
  for (const [maxRecords, maxBytes] of [
    [7, 100_000],
    [100, 500],
    [1, 1],
    [50, 2000],
  ] as const) {
    for (let round = 0; round < 3; round++) {
      const result = await reader.next({ maxRecords, maxBytes, signal: never });
      if (result.kind !== 'batch') continue;
      assert.ok(result.batch.count <= maxRecords, `${result.batch.count} of ${maxRecords}`);
      assert.ok(result.batch.byteLength <= maxBytes || result.batch.count === 1);
      records += result.batch.count;
      assert.ok(asked <= records + 101, `${asked} were read, ${records} were taken`);
    }
  }
  await reader.close();
});

test('a source that has nothing says so once, and goes on when there is something', async (t) => {
  let give: (record: SourceRecord) => void = () => undefined;
  const source = await sourceOf(t, {
    read: async function* () {
      for (;;) {
        yield await new Promise<SourceRecord>((resolve) => {
          give = resolve;
        });
      }
    },
  });
  const reader = await source.openPartition(openRequest);
  const next = (): Promise<ReadResult> =>
    reader.next({ maxRecords: 10, maxBytes: 1000, signal: never });
  assert.equal((await next()).kind, 'idle');
  give({ position: 1, json: 'a' });
  assert.equal((await next()).kind, 'batch');
  assert.equal((await next()).kind, 'idle');
  await reader.close();
});

test('a generator that returns is asked again for what follows', async (t) => {
  const afters: (number | undefined)[] = [];
  const source = await sourceOf(t, {
    pollIntervalMs: 10,
    read: async function* ({ after }) {
      afters.push(after?.toNumber());
      const from = after === undefined ? 0 : after.toNumber() + 1;
      for (let n = from; n < from + 2; n++) yield { position: n, json: n };
    },
  });
  const reader = await source.openPartition(openRequest);
  assert.deepEqual(await readValues(reader, 6), range(0, 6));
  assert.deepEqual(afters.slice(0, 3), [undefined, 1, 3]);
  await reader.close();
});

test('a stream that breaks goes on where it stopped: no record is lost or doubled', async (t) => {
  let failures = 0;
  const source = await sourceOf(t, {
    capabilities: bounded,
    read: async function* ({ after }) {
      for (let n = after === undefined ? 0 : after.toNumber() + 1; n < 100; n++) {
        if (n % 17 === 16 && failures < n / 17) {
          failures++;
          throw new Error('the connection broke');
        }
        yield { position: n, json: n };
      }
    },
  });
  const reader = await source.openPartition(openRequest);
  const values: unknown[] = [];
  for (let isOver = false; !isOver; ) {
    try {
      const result = await reader.next({ maxRecords: 5, maxBytes: 10_000, signal: never });
      if (result.kind === 'batch') values.push(...valuesOf(result.batch));
      isOver = result.kind === 'end';
    } catch (error) {
      assert.equal((error as EtlError).code, 'ETL_CONNECTOR_FAILED');
      assert.equal((error as EtlError).retryable, true);
    }
  }
  assert.equal(failures, 5);
  assert.deepEqual(values, range(0, 100));
});

test('records before a failure arrive before it', async (t) => {
  const source = await sourceOf(t, {
    read: async function* ({ after }) {
      if (after === undefined) yield { position: 1, json: 'a' };
      throw new Error('the connection broke');
    },
  });
  const reader = await source.openPartition(openRequest);
  assert.deepEqual(await readValues(reader, 1), ['a']);
  await assert.rejects(readValues(reader, 1), { code: 'ETL_CONNECTOR_FAILED', retryable: true });
});

test('positions that do not ascend, or are none, stop the source', async (t) => {
  for (const second of [5, 4, -1, 1.5, '', undefined]) {
    const source = await sourceOf(t, {
      read: async function* () {
        yield { position: 5, json: 1 };
        yield { position: second as never, json: 2 };
      },
    });
    const reader = await source.openPartition(openRequest);
    await assert.rejects(readValues(reader, 2), {
      code: 'ETL_CONNECTOR_FAILED',
      retryable: false,
      message: /partition all: read gave/,
    });
  }
});

test('a record beyond 16 MiB stops the source', async (t) => {
  const source = await sourceOf(t, {
    read: async function* () {
      yield { position: 1, payload: Buffer.alloc(16 * 1024 * 1024) };
    },
  });
  const reader = await source.openPartition(openRequest);
  await assert.rejects(readValues(reader, 1), { code: 'ETL_LIMIT_EXCEEDED', retryable: false });
});

test('records as large as a message are moved one by one', async (t) => {
  const source = await sourceOf(t, {
    capabilities: bounded,
    read: async function* () {
      for (let n = 0; n < 3; n++) yield { position: n, json: 'x'.repeat(12 * 1024 * 1024) };
    },
  });
  const reader = await source.openPartition(openRequest);
  const values = await readValues(reader, Infinity, { maxRecords: 10, maxBytes: 1000 });
  assert.deepEqual(
    values.map((value) => (value as string).length),
    Array(3).fill(12 * 1024 * 1024),
  );
});

test('whoever reads under a lower epoch is ended', async (t) => {
  const source = await sourceOf(t, {
    read: async function* ({ signal }) {
      yield { position: 1, json: 1 };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const first = await source.openPartition(openRequest);
  await readValues(first, 1);
  const second = await source.openPartition({ ...openRequest, epoch: 2 });
  await readValues(second, 1);
  await assert.rejects(readValues(first, 1), { code: 'ETL_FENCED' });
  await assert.rejects(readValues(first, 1), { code: 'ETL_FENCED' });
  await assert.rejects(first.acknowledge(positionOfCount(1)), { code: 'ETL_FENCED' });
  await second.close();
});

test('closing a reader ends its generator', async (t) => {
  const ended = Promise.withResolvers<void>();
  const source = await sourceOf(t, {
    read: async function* ({ signal }) {
      try {
        yield { position: 1, json: 1 };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      } finally {
        ended.resolve();
      }
    },
  });
  const reader = await source.openPartition(openRequest);
  await readValues(reader, 1);
  await reader.close();
  await ended.promise;
});

test('acknowledged positions reach user code', async (t) => {
  const seen: unknown[] = [];
  const source = await sourceOf(t, {
    partitions: () => ['a', 'b'],
    read: counter(3),
    acknowledge: ({ partition, position }) => {
      seen.push([partition, position.toNumber()]);
    },
  });
  assert.deepEqual(await source.partitions(never), [{ name: 'a' }, { name: 'b' }]);
  const reader = await source.openPartition({ ...openRequest, lane: { ...lane, partition: 'b' } });
  await readValues(reader, 3);
  await reader.acknowledge(positionOfCount(2));
  assert.deepEqual(seen, [['b', 2]]);
  await reader.close();
});

test('a position the source never gave out is refused in its own words', async (t) => {
  const source = await sourceOf(t, { capabilities: bounded, read: counter(3) });
  const after = Buffer.from('elsewhere');
  const reader = await source.openPartition({ ...openRequest, after });
  await assert.rejects(readValues(reader, 1), { code: 'ETL_INVALID_ARGUMENT', retryable: false });
});

test('partitions that can not be are refused', async (t) => {
  for (const partitions of [['a', 'a'], [''], ['x'.repeat(1025)]]) {
    const source = await sourceOf(t, { partitions: () => partitions, read: counter(1) });
    await assert.rejects(source.partitions(never), {
      code: 'ETL_CONNECTOR_FAILED',
      retryable: false,
    });
  }
});
