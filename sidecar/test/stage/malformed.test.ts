// Services that answer what no service may: each is a clear error that is not tried again.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type PartitionReader, positionOfCount } from '@etl-router/core';
import { addService, type Implementation } from '@etl-router/proto/grpc';
import { Ordering, SourceService } from '@etl-router/proto/source';
import { RecordStatus } from '@etl-router/proto/transform';
import { GrpcSource } from '@etl-router/sidecar';
import { batchOf, lane, listen, never, sinkOf, transformOf } from './fixture.ts';

type Source = Implementation<typeof SourceService>;

async function readerOf(
  t: TestContext,
  pullRecords: Source['pullRecords'],
): Promise<PartitionReader> {
  const target = await listen(t, (server) =>
    addService(server, SourceService, {
      getCapabilities: () => ({ ordering: Ordering.PARTITION }),
      listPartitions: () => ({ partitions: [{ name: 'a' }, { name: 'a' }] }),
      pullRecords,
      acknowledge: () => ({}),
    }),
  );
  const source = await GrpcSource.connect(target);
  t.after(() => source.close());
  await assert.rejects(source.partitions(never), {
    code: 'ETL_CONNECTOR_FAILED',
    retryable: false,
  });
  const reader = await source.openPartition({ lane, epoch: 1, after: undefined, signal: never });
  t.after(() => reader.close());
  return reader;
}

type PullResponse = Awaited<
  ReturnType<ReturnType<ReturnType<Source['pullRecords']>[typeof Symbol.asyncIterator]>['next']>
>['value'];

const request = { maxRecords: 3, maxBytes: 10_000, signal: never };

/** A batch of records at these positions. */
const event = (...positions: number[]) =>
  ({
    event: {
      case: 'batch',
      value: { records: positions.map((at) => ({ position: positionOfCount(at) })) },
    },
  }) as const;

test('a wrong number of results, or results that contradict themselves, fail the batch for good', async (t) => {
  const record = { position: new Uint8Array() };
  const wrong = [
    [],
    [{ status: RecordStatus.OK }, { status: RecordStatus.OK }],
    [{ status: RecordStatus.UNSPECIFIED }],
    [{ status: RecordStatus.SPLIT, outputs: [] }],
    [{ status: RecordStatus.OK, outputs: [record, record] }],
    [{ status: RecordStatus.FILTERED, outputs: [record] }],
    [{ status: 77 as RecordStatus }],
  ];
  for (const results of wrong) {
    const stage = await transformOf(t, { processBatch: () => ({ results }) });
    await assert.rejects(stage.process(batchOf(1), never), {
      code: 'ETL_CONNECTOR_FAILED',
      retryable: false,
      message: /^stage mine answered/,
    });
  }
});

test('what user code sets of a record it does not own is put back', async (t) => {
  const stage = await transformOf(t, {
    processBatch: () => ({
      results: [
        {
          status: RecordStatus.OK,
          outputs: [{ position: positionOfCount(99), derivation: '.x.1', originId: 'other' }],
        },
      ],
    }),
  });
  const input = batchOf(1);
  const { batch } = await stage.process(input, never);
  assert.equal(batch.id(0), input.id(0));
});

test('a service has no more batches at once than it wants', async (t) => {
  let now = 0;
  let most = 0;
  const stage = await transformOf(t, {
    processBatch: async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return { results: [{ status: RecordStatus.OK }] };
    },
  });
  await Promise.all(Array.from({ length: 9 }, () => stage.process(batchOf(1), never)));
  assert.equal(most, 2);
});

test('more records than there is credit for stop the source', async (t) => {
  const reader = await readerOf(t, async function* () {
    yield event(1, 2, 3, 4);
  });
  await assert.rejects(reader.next(request), {
    code: 'ETL_CONNECTOR_FAILED',
    retryable: false,
    message: /sent more than it had credit for/,
  });
});

test('positions that are empty, too long or not after the one before stop the source', async (t) => {
  const answers: PullResponse[] = [
    { event: { case: 'batch', value: { records: [{ position: new Uint8Array() }] } } },
    { event: { case: 'batch', value: { records: [{ position: Buffer.alloc(257) }] } } },
    event(2, 2),
    event(2, 1),
  ];
  for (const answer of answers) {
    const reader = await readerOf(t, async function* () {
      yield answer;
    });
    await assert.rejects(reader.next(request), {
      code: 'ETL_CONNECTOR_FAILED',
      retryable: false,
      message: /partition all: the service sent a record/,
    });
  }
});

test('a stream that ends without a word is opened again after the last record', async (t) => {
  const afters: string[] = [];
  const reader = await readerOf(t, async function* (requests) {
    for await (const { request: said } of requests) {
      if (said.case !== 'open') continue;
      afters.push(Buffer.from(said.value.after).toString('hex'));
      yield afters.length === 1 ? event(1, 2) : event(3);
      return;
    }
  });
  assert.equal((await reader.next(request)).kind, 'batch');
  await assert.rejects(reader.next(request), { code: 'ETL_UNAVAILABLE', retryable: true });
  assert.equal((await reader.next(request)).kind, 'batch');
  assert.deepEqual(afters, ['', '0000000000000002']);
});

test('what came under an earlier and larger credit is held until it is asked for', async (t) => {
  const reader = await readerOf(t, async function* () {
    yield event(1, 2, 3);
    yield { event: { case: 'end', value: {} } } as const;
  });
  const counts: (number | string)[] = [];
  const aborted = AbortSignal.abort();
  counts.push((await reader.next({ ...request, signal: aborted })).kind);
  for (let round = 0; round < 4; round++) {
    const result = await reader.next({ ...request, maxRecords: 1 });
    counts.push(result.kind === 'batch' ? result.batch.count : result.kind);
  }
  assert.deepEqual(counts, ['idle', 1, 1, 1, 'end']);
});

test('a failure of a record that was not written, or twice of one, says nothing certain', async (t) => {
  for (const indexes of [[1], [0, 0]]) {
    const sink = await sinkOf(t, {
      writeBatch: () => ({ failures: indexes.map((index) => ({ index })) }),
    });
    await assert.rejects(sink.write(batchOf(1), never), {
      code: 'ETL_CONNECTOR_FAILED',
      retryable: false,
    });
  }
});
