import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { countOfPosition, EtlError, positionOfCount } from '@etl-router/core';
import { type SinkOptions, serveSink } from '@etl-router/sdk';
import { GrpcSink } from '@etl-router/sidecar';
import { batchOf, lane, never, quiet, stageContext, targetOf } from './fixture.ts';

async function sinkOf(t: TestContext, options: Omit<SinkOptions, 'name'>): Promise<GrpcSink> {
  const service = await serveSink({ name: 'mine', ...quiet, ...options });
  t.after(() => service.close());
  const sink = await GrpcSink.connect(targetOf(service.address));
  t.after(() => sink.close());
  await sink.open(stageContext);
  return sink;
}

test('a write gets its records, lane, epoch and last position', async (t) => {
  const writes: unknown[] = [];
  const sink = await sinkOf(t, {
    write: (records, { lane: written, epoch, position, pipeline }) => {
      const values = records.map((record) => record.json());
      writes.push([values, written, epoch, position.toNumber(), pipeline]);
    },
  });
  assert.deepEqual(await sink.openLane(lane, 1), { position: undefined });
  assert.deepEqual(await sink.write(batchOf(['a', 'b']), never), { failures: [] });
  assert.deepEqual(writes, [[['a', 'b'], lane, 1, 1, 'test/pipeline']]);
});

test('capabilities and the batches it likes reach the sidecar', async (t) => {
  const sink = await sinkOf(t, {
    write: () => undefined,
    openLane: () => undefined,
    capabilities: { durable: true, transactionalPosition: true },
    batch: { maxRecords: 7 },
  });
  assert.deepEqual(sink.capabilities, {
    durable: true,
    idempotentByKey: false,
    transactionalPosition: true,
  });
  assert.deepEqual(sink.batch, { maxRecords: 7, maxBytes: 1024 * 1024, maxWaitMs: 50 });
});

test('records that are not stored are named, the others are', async (t) => {
  const sink = await sinkOf(t, {
    write: (records) =>
      records.flatMap((record, index) =>
        record.json() === 'bad' ? [{ index, code: 'BAD', message: 'is bad' }] : [],
      ),
  });
  await sink.openLane(lane, 1);
  const { failures } = await sink.write(batchOf(['a', 'bad', 'c']), never);
  assert.deepEqual(failures, [{ index: 1, code: 'BAD', message: 'is bad', retryable: false }]);
});

test('a failure of a record that is not in the batch is refused', async (t) => {
  const sink = await sinkOf(t, { write: () => [{ index: 9, code: 'BAD', message: 'is bad' }] });
  await sink.openLane(lane, 1);
  await assert.rejects(sink.write(batchOf(['a']), never), {
    code: 'ETL_CONNECTOR_FAILED',
    retryable: false,
    message: /record 9 of 1/,
  });
});

test('what a write throws fails the batch: retryable unless it says otherwise', async (t) => {
  let thrown: Error = new Error('connection reset');
  const sink = await sinkOf(t, {
    write: () => {
      throw thrown;
    },
  });
  await sink.openLane(lane, 1);
  const expected = { code: 'ETL_CONNECTOR_FAILED', message: 'connection reset', retryable: true };
  await assert.rejects(sink.write(batchOf(['a']), never), expected);
  thrown = new EtlError('ETL_LIMIT_EXCEEDED', 'the table is full');
  await assert.rejects(sink.write(batchOf(['a']), never), {
    code: 'ETL_LIMIT_EXCEEDED',
    retryable: false,
  });
});

test('a stale epoch can neither open nor write', async (t) => {
  const sink = await sinkOf(t, { write: () => undefined });
  await sink.openLane(lane, 1);
  await sink.openLane(lane, 2);
  await assert.rejects(sink.write(batchOf(['a']), never), { code: 'ETL_FENCED' });
  await assert.rejects(sink.openLane(lane, 1), { code: 'ETL_FENCED' });
});

test('a lane that is not open here is to be opened first, and that is worth a retry', async (t) => {
  const sink = await sinkOf(t, { write: () => undefined });
  await assert.rejects(sink.write(batchOf(['a']), never), {
    code: 'ETL_UNAVAILABLE',
    retryable: true,
  });
  await sink.openLane(lane, 1);
  await sink.write(batchOf(['a']), never);
});

test('a lane is taken over only when the write before it is over', async (t) => {
  const order: string[] = [];
  const started = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const sink = await sinkOf(t, {
    openLane: ({ epoch }) => {
      order.push(`open ${epoch}`);
      return undefined;
    },
    write: async () => {
      order.push('write begins');
      started.resolve();
      await release.promise;
      order.push('write ends');
    },
  });
  await sink.openLane(lane, 1);
  const abandoned = new AbortController();
  const write = sink.write(batchOf(['a']), abandoned.signal);
  await started.promise;
  abandoned.abort();
  await assert.rejects(write, { code: 'ETL_CANCELLED' });
  const opened = sink.openLane(lane, 2);
  await new Promise((resolve) => setImmediate(resolve));
  release.resolve();
  await opened;
  assert.deepEqual(order, ['open 1', 'write begins', 'write ends', 'open 2']);
});

test('a transactional sink says what it holds', async (t) => {
  let stored: Uint8Array | undefined;
  const sink = await sinkOf(t, {
    capabilities: { transactionalPosition: true },
    openLane: () => stored,
    write: (_records, { position }) => {
      stored = position.bytes;
    },
  });
  await sink.openLane(lane, 1);
  await sink.write(batchOf(['a', 'b', 'c']), never);
  const { position } = await sink.openLane(lane, 2);
  assert.equal(countOfPosition(position ?? new Uint8Array()), 2);
  assert.deepEqual(Buffer.from(position ?? []), Buffer.from(positionOfCount(2)));
});

test('records of other types fail without being sent', async (t) => {
  const seen: unknown[] = [];
  const sink = await sinkOf(t, {
    recordTypes: ['mine'],
    write: (records) => {
      seen.push(...records.map((record) => record.json()));
      return [{ index: 1, code: 'BAD', message: 'is bad' }];
    },
  });
  await sink.openLane(lane, 1);
  const batch = batchOf([0, 1, 2, 3], (index) => ({ type: index === 1 ? 'other' : 'mine' }));
  const { failures } = await sink.write(batch, never);
  assert.deepEqual(seen, [0, 2, 3]);
  assert.deepEqual(
    failures.map(({ index, code }) => [index, code]),
    [
      [1, 'TYPE_NOT_TAKEN'],
      [2, 'BAD'],
    ],
  );
});

test('complete reaches user code', async (t) => {
  const done: string[] = [];
  const sink = await sinkOf(t, {
    write: () => undefined,
    complete: ({ stage }) => {
      done.push(stage);
    },
  });
  await sink.complete();
  await sink.complete();
  assert.deepEqual(done, ['mine', 'mine']);
});

test('a transactional sink without openLane is refused', async () => {
  await assert.rejects(
    serveSink({
      name: 'mine',
      write: () => undefined,
      capabilities: { transactionalPosition: true },
    }),
    { code: 'ETL_CONFIG_INVALID', message: /openLane is needed/ },
  );
});
