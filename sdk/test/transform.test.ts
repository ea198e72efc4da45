import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EtlError, type RecordBatch } from '@etl-router/core';
import {
  drop,
  type EtlRecord,
  fail,
  serveTransform,
  split,
  type TransformOptions,
} from '@etl-router/sdk';
import { GrpcTransform } from '@etl-router/sidecar';
import {
  batchOf,
  batchOfPayloads,
  never,
  quiet,
  stageContext,
  targetOf,
  valuesOf,
} from './fixture.ts';

async function stageOf(
  t: TestContext,
  options: Omit<TransformOptions, 'name'>,
  config = {},
): Promise<GrpcTransform> {
  const service = await serveTransform({ name: 'mine', ...quiet, ...options });
  t.after(() => service.close());
  const stage = await GrpcTransform.connect(targetOf(service.address, config));
  t.after(() => stage.close());
  await stage.open(stageContext);
  return stage;
}

test('records go on changed, unchanged, split, left out or failed, each by itself', async (t) => {
  const stage = await stageOf(t, {
    process: (record) => {
      const value = record.json<{ do: string; n: number }>();
      switch (value.do) {
        case 'change':
          return record.withJson({ ...value, n: value.n + 1 }).withHeader('seen', 'yes');
        case 'split':
          return split([record.withJson(1), record.withJson(2)]);
        case 'drop':
          return drop();
        case 'fail':
          return fail('TOO_ODD', 'n is odd', { retryable: true });
        case 'throw':
          throw new TypeError('no such thing');
        case 'nothing':
          return undefined as never;
        default:
          return record;
      }
    },
  });
  const actions = ['change', 'keep', 'split', 'drop', 'fail', 'throw', 'nothing'];
  const batch = batchOf(actions.map((action) => ({ do: action, n: 1 })));
  const result = await stage.process(batch, never);
  assert.deepEqual(valuesOf(result.batch), [{ do: 'change', n: 2 }, { do: 'keep', n: 1 }, 1, 2]);
  assert.equal(result.batch.headerValue(0, 'seen'), 'yes');
  assert.deepEqual(
    result.failures.map(({ index, code, retryable }) => [index, code, retryable]),
    [
      [4, 'TOO_ODD', true],
      [5, 'THROWN', false],
      [6, 'NO_OUTCOME', false],
    ],
  );
  assert.match(result.failures[1]?.message ?? '', /TypeError: no such thing/);
  assert.deepEqual(
    Array.from({ length: result.batch.count }, (_, index) => result.batch.sequence(index)),
    [100, 101, 102, 102],
  );
});

test('what a record is split into has ids derived from its own', async (t) => {
  const seen: string[] = [];
  const stage = await stageOf(t, {
    process: (record) => {
      seen.push(record.id);
      return split([record, record.withText('b')]);
    },
  });
  const batch = batchOf([1], () => ({ derivation: '.before.3' }));
  const { batch: output } = await stage.process(batch, never);
  assert.deepEqual(
    [output.derivation(0), output.derivation(1)],
    ['.before.3.mine.0', '.before.3.mine.1'],
  );
  assert.deepEqual(seen, [batch.id(0)]);
  assert.equal(output.id(1), `${batch.id(0)}.mine.1`);
});

test('integers beyond 2^53 pass through JSON exactly', async (t) => {
  const stage = await stageOf(t, {
    process: (record) => {
      const { id } = record.json<{ id: bigint }>();
      return record.withJson({ id, next: id + 1n });
    },
  });
  const batch = batchOfPayloads([Buffer.from('{"id":9007199254740993}')]);
  const { batch: output } = await stage.process(batch, never);
  assert.equal(output.payload(0).toString(), '{"id":9007199254740993,"next":9007199254740994}');
});

test('a poison record fails alone', async (t) => {
  const stage = await stageOf(t, { process: (record) => record.withJson({ got: record.json() }) });
  const payloads = ['1', '{"unclosed', '3'].map((text) => Buffer.from(text));
  const { batch, failures } = await stage.process(batchOfPayloads(payloads), never);
  assert.deepEqual(valuesOf(batch), [{ got: 1 }, { got: 3 }]);
  assert.deepEqual(
    failures.map(({ index, code, retryable }) => ({ index, code, retryable })),
    [{ index: 1, code: 'ETL_RECORD_MALFORMED', retryable: false }],
  );
});

test('an output that can not be written down fails its record alone', async (t) => {
  const stage = await stageOf(t, {
    process: (record) =>
      record.json() === 1 ? record.with({ headers: { wrong: {} as string } }) : record,
  });
  const { batch, failures } = await stage.process(batchOf([1, 2]), never);
  assert.deepEqual(valuesOf(batch), [2]);
  assert.equal(failures[0]?.index, 0);
});

test('a record has type, key, headers, time, text and settings of the stage at hand', async (t) => {
  const seen: unknown[] = [];
  const stage = await stageOf(
    t,
    {
      process: (record, { pipeline, stage: name, config }) => {
        seen.push(record.type, record.keyText(), record.headers.get('a'), record.eventTime);
        seen.push(record.text(), pipeline, name, config);
        return record.with({ type: 'b', key: 'k2', eventTime: new Date(2000) });
      },
    },
    { depth: 3 },
  );
  const batch = batchOf([7], () => ({
    type: 'a',
    key: Buffer.from('k'),
    headers: new Map([['a', 'x']]),
    eventTime: { seconds: 1, nanos: 500_000_000 },
  }));
  const { batch: output } = await stage.process(batch, never);
  assert.deepEqual(seen, [
    'a',
    'k',
    'x',
    new Date(1500),
    '7',
    'test/pipeline',
    'mine',
    { depth: 3 },
  ]);
  assert.deepEqual(
    [output.type(0), output.key(0).toString(), output.eventTime(0)],
    ['b', 'k2', { seconds: 2, nanos: 0 }],
  );
});

test('records of other types pass the service by', async (t) => {
  const seen: string[] = [];
  const stage = await stageOf(t, {
    recordTypes: ['mine'],
    process: (record) => {
      seen.push(record.type);
      return split([record.withJson('a'), record.withJson('b')]);
    },
  });
  const batch = batchOf([1, 2, 3], (index) => ({ type: index === 1 ? 'mine' : 'other' }));
  const { batch: output } = await stage.process(batch, never);
  assert.deepEqual(valuesOf(output), [1, 'a', 'b', 3]);
  assert.deepEqual(seen, ['mine']);
});

test('a batch larger than the service wants comes in several, in order', async (t) => {
  const sizes = new Map<AbortSignal, number>();
  const stage = await stageOf(t, {
    maxBatchRecords: 3,
    process: (record, { signal }) => {
      sizes.set(signal, (sizes.get(signal) ?? 0) + 1);
      return record.json() === 5 ? fail('FIVE', 'is five') : record;
    },
  });
  const { batch, failures } = await stage.process(batchOf([0, 1, 2, 3, 4, 5, 6]), never);
  assert.deepEqual([...sizes.values()], [3, 3, 1]);
  assert.deepEqual(valuesOf(batch), [0, 1, 2, 3, 4, 6]);
  assert.deepEqual(
    failures.map(({ index }) => index),
    [5],
  );
});

test('records are processed at once up to the bound, and results keep their order', async (t) => {
  const gates: (() => void)[] = [];
  let most = 0;
  const stage = await stageOf(t, {
    concurrency: 4,
    process: async (record) => {
      await new Promise<void>((resolve) => {
        gates.push(resolve);
        most = Math.max(most, gates.length);
        if (gates.length === 4) for (const open of gates.splice(0).toReversed()) open();
      });
      return record;
    },
  });
  const { batch } = await stage.process(batchOf([0, 1, 2, 3, 4, 5, 6, 7]), never);
  assert.deepEqual(valuesOf(batch), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(most, 4);
});

test('cancelling ends the call on both sides', async (t) => {
  const reached = Promise.withResolvers<void>();
  const heard = Promise.withResolvers<void>();
  const stage = await stageOf(t, {
    process: (record, { signal }) =>
      new Promise<EtlRecord>((resolve) => {
        reached.resolve();
        signal.addEventListener('abort', () => {
          heard.resolve();
          resolve(record);
        });
      }),
  });
  const controller = new AbortController();
  const call = stage.process(batchOf([1]), controller.signal);
  await reached.promise;
  controller.abort(new EtlError('ETL_CANCELLED', 'enough'));
  await assert.rejects(call, { code: 'ETL_CANCELLED' });
  await heard.promise;
});

test('outputs beyond 16 MiB are refused, not to be tried again', async (t) => {
  const stage = await stageOf(t, {
    process: (record) => record.with({ payload: Buffer.alloc(17 * 1024 * 1024) }),
  });
  await assert.rejects(stage.process(batchOf([1]), never), (error: EtlError) => {
    assert.equal(error.code, 'ETL_LIMIT_EXCEEDED');
    assert.equal(error.retryable, false);
    return true;
  });
});

test('a batch beyond 16 MiB is sent in parts', async (t) => {
  const stage = await stageOf(t, { process: (record) => record });
  const payload = Buffer.alloc(6 * 1024 * 1024, ' ');
  const { batch } = await stage.process(batchOfPayloads([payload, payload, payload]), never);
  assert.equal(batch.count, 3);
});

test('options that can not be are refused by name', async () => {
  const process = (record: EtlRecord): EtlRecord => record;
  const refused = (change: object, message: RegExp): Promise<void> =>
    assert.rejects(serveTransform({ name: 'mine', process, ...change }), {
      code: 'ETL_CONFIG_INVALID',
      message,
    });
  await refused({ concurrency: 0 }, /service mine: concurrency is 0/);
  await refused({ address: 'nowhere' }, /address is "nowhere"; it needs host:port/);
  await refused({ process: 3 }, /process needs a function/);
  await refused({ recordTypes: [''] }, /recordTypes/);
  await refused({ name: '' }, /name needs/);
});

test('a port that is taken is said by its address', async (t) => {
  const process = (record: EtlRecord): EtlRecord => record;
  const first = await serveTransform({ name: 'first', ...quiet, process });
  t.after(() => first.close());
  await assert.rejects(
    serveTransform({ name: 'next', ...quiet, process, address: first.address }),
    {
      code: 'ETL_PORT_IN_USE',
      message: new RegExp(`service next can not listen on ${first.address}`),
    },
  );
});

test('a closed service is away until one listens there again', async (t) => {
  const process = (record: EtlRecord): EtlRecord => record;
  const first = await serveTransform({ name: 'mine', ...quiet, process });
  const stage = await GrpcTransform.connect(targetOf(first.address));
  t.after(() => stage.close());
  const batch: RecordBatch = batchOf([1]);
  await stage.process(batch, never);
  await first.close();
  await assert.rejects(stage.process(batch, never), { code: 'ETL_UNAVAILABLE', retryable: true });
  await assert.rejects(GrpcTransform.connect(targetOf(first.address)), { code: 'ETL_UNAVAILABLE' });
});
