// The streams of a service as a client of its own sees them: nothing but grpc-js and the messages of proto/.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { positionOfCount } from '@etl-router/core';
import {
  OpenLaneRequestSchema,
  OpenLaneResponseSchema,
  WriteStreamRequestSchema,
  WriteStreamResponseSchema,
} from '@etl-router/proto/sink';
import {
  AcknowledgeRequestSchema,
  AcknowledgeResponseSchema,
  PullRecordsRequestSchema,
  PullRecordsResponseSchema,
} from '@etl-router/proto/source';
import {
  ProcessBatchRequestSchema,
  ProcessBatchResponseSchema,
  ProcessStreamRequestSchema,
  ProcessStreamResponseSchema,
} from '@etl-router/proto/transform';
import { type RunningService, serveSink, serveSource, serveTransform } from '@etl-router/sdk';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { lane, quiet } from './fixture.ts';

const stage = { pipeline: lane.pipeline, stage: 'mine', configJson: Buffer.from('{}') };

/** A method by its path and messages. */
interface Method<Request extends DescMessage, Response extends DescMessage> {
  readonly path: string;
  readonly request: Request;
  readonly response: Response;
}

const method = <Request extends DescMessage, Response extends DescMessage>(
  path: string,
  request: Request,
  response: Response,
): Method<Request, Response> => ({ path, request, response });

const processStream = method(
  '/etl.transform.v1.TransformService/ProcessStream',
  ProcessStreamRequestSchema,
  ProcessStreamResponseSchema,
);
const processBatch = method(
  '/etl.transform.v1.TransformService/ProcessBatch',
  ProcessBatchRequestSchema,
  ProcessBatchResponseSchema,
);
const openLane = method(
  '/etl.sink.v1.SinkService/OpenLane',
  OpenLaneRequestSchema,
  OpenLaneResponseSchema,
);
const writeStream = method(
  '/etl.sink.v1.SinkService/WriteStream',
  WriteStreamRequestSchema,
  WriteStreamResponseSchema,
);
const pullRecords = method(
  '/etl.source.v1.SourceService/PullRecords',
  PullRecordsRequestSchema,
  PullRecordsResponseSchema,
);
const acknowledge = method(
  '/etl.source.v1.SourceService/Acknowledge',
  AcknowledgeRequestSchema,
  AcknowledgeResponseSchema,
);

/** A client of a service; both end with the test. */
function clientOf(t: TestContext, service: RunningService): Client {
  const client = new Client(service.address, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  t.after(async () => {
    client.close();
    await service.close();
  });
  return client;
}

const encoderOf =
  <Schema extends DescMessage>(schema: Schema) =>
  (init: MessageInitShape<Schema>): Buffer =>
    Buffer.from(toBinary(schema, create(schema, init)));
const decoderOf =
  <Schema extends DescMessage>(schema: Schema) =>
  (bytes: Buffer): MessageShape<Schema> =>
    fromBinary(schema, bytes);

function unary<Request extends DescMessage, Response extends DescMessage>(
  client: Client,
  { path, request, response }: Method<Request, Response>,
  message: MessageInitShape<Request>,
): Promise<MessageShape<Response>> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      encoderOf(request),
      decoderOf(response),
      message,
      (error, answer) => {
        if (error === null) resolve(answer as MessageShape<Response>);
        else reject(error);
      },
    );
  });
}

function stream<Request extends DescMessage, Response extends DescMessage>(
  client: Client,
  { path, request, response }: Method<Request, Response>,
): ClientDuplexStream<MessageInitShape<Request>, MessageShape<Response>> {
  const call = client.makeBidiStreamRequest(path, encoderOf(request), decoderOf(response));
  call.on('error', () => undefined);
  return call;
}

/** The next message of a stream. */
async function next<Response>(call: ClientDuplexStream<never, Response>): Promise<Response> {
  for (;;) {
    const message: unknown = call.read();
    if (message !== null) return message as Response;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        call.off('readable', onReadable).off('error', settle).off('end', onReadable);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onReadable = (): void => settle();
      call.once('readable', onReadable).once('error', settle).once('end', onReadable);
    });
  }
}

/** Cancels a stream; the status it ended with. */
function cancel(call: ClientDuplexStream<never, unknown>): Promise<number> {
  return new Promise((resolve) => {
    call.once('status', ({ code }: StatusObject) => resolve(code));
    call.resume();
    call.cancel();
  });
}

/** A batch of one record at `position`. */
const batchAt = (position: number, payload: Uint8Array = Buffer.from(String(position))) => ({
  lane,
  epoch: 1n,
  records: [{ position: positionOfCount(position), payload }],
});

const asked = (batchNumber: number, payload?: Uint8Array) =>
  ({
    batchNumber: BigInt(batchNumber),
    request: { case: 'batch', value: batchAt(batchNumber, payload) },
  }) as const;
const opening = { request: { case: 'open', value: stage } } as const;

test('ProcessStream answers batches in their order, however long each takes', async (t) => {
  const service = await serveTransform({
    name: 'mine',
    ...quiet,
    process: async (record) => {
      const turns = 10 - Number(record.text());
      for (let turn = 0; turn < turns; turn++)
        await new Promise((resolve) => setImmediate(resolve));
      return record;
    },
  });
  const call = stream(clientOf(t, service), processStream);
  call.write(opening);
  for (let number = 1; number <= 9; number++) call.write(asked(number));
  call.end();
  const numbers: number[] = [];
  for await (const { batchNumber, results } of call) {
    assert.equal(results.length, 1);
    numbers.push(Number(batchNumber));
  }
  assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('ProcessStream processes no more than its reader takes', async (t) => {
  let processed = 0;
  const answer = Buffer.alloc(256 * 1024);
  const service = await serveTransform({
    name: 'mine',
    ...quiet,
    process: (record) => {
      if (record.text() === 'ping') return record;
      processed++;
      return record.with({ payload: answer });
    },
  });
  const call = stream(clientOf(t, service), processStream);
  call.write(opening);
  const count = 200;
  for (let number = 1; number <= count; number++) call.write(asked(number));
  call.end();
  const other = clientOf(t, service);
  const ping = { stage, batch: batchAt(1, Buffer.from('ping')) };
  for (let round = 0; round < 100; round++) await unary(other, processBatch, ping);
  assert.ok(processed < count / 2, `${processed} of ${count} were processed unread`);
  let answered = 0;
  for await (const { batchNumber } of call) assert.equal(Number(batchNumber), ++answered);
  assert.equal(answered, count);
  assert.equal(processed, count);
});

test('a ProcessStream that is cancelled aborts what is under way and processes nothing more', async (t) => {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const seen: string[] = [];
  const service = await serveTransform({
    name: 'mine',
    ...quiet,
    process: async (record, { signal }) => {
      seen.push(record.text());
      if (record.text() === 'after') return record;
      started.resolve();
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      aborted.resolve();
      return record;
    },
  });
  const client = clientOf(t, service);
  const call = stream(client, processStream);
  call.write(opening);
  call.write(asked(1));
  call.write(asked(2));
  await started.promise;
  assert.equal(await cancel(call as never), status.CANCELLED);
  await aborted.promise;
  await unary(client, processBatch, { stage, batch: batchAt(1, Buffer.from('after')) });
  assert.deepEqual(seen, ['1', 'after']);
});

test('WriteStream stores batches one after the other and answers them in their order', async (t) => {
  const order: string[] = [];
  const service = await serveSink({
    name: 'mine',
    ...quiet,
    write: async ([record]) => {
      order.push(`begin ${record?.text()}`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`end ${record?.text()}`);
      return record?.text() === '2' ? [{ index: 0, code: 'BAD', message: 'is bad' }] : [];
    },
  });
  const client = clientOf(t, service);
  await unary(client, openLane, { stage, lane, epoch: 1n });
  const call = stream(client, writeStream);
  call.write(opening);
  for (const number of [1, 2, 3]) call.write(asked(number));
  call.end();
  const answers: unknown[] = [];
  for await (const message of call) {
    const { batchNumber, failures } = message as MessageShape<typeof WriteStreamResponseSchema>;
    answers.push([Number(batchNumber), failures.map(({ failure }) => failure?.code)]);
  }
  assert.deepEqual(answers, [
    [1, []],
    [2, ['BAD']],
    [3, []],
  ]);
  assert.deepEqual(order, ['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3']);
});

test('WriteStream stores no more than its reader takes', async (t) => {
  let stored = 0;
  const count = 200;
  const recordsEach = 200;
  const message = 'x'.repeat(1500);
  const service = await serveSink({
    name: 'mine',
    ...quiet,
    write: (records) => {
      stored++;
      return records.map((_, index) => ({ index, code: 'BAD', message }));
    },
  });
  const client = clientOf(t, service);
  await unary(client, openLane, { stage, lane, epoch: 1n });
  const call = stream(client, writeStream);
  call.write(opening);
  for (let number = 1; number <= count; number++) {
    const records = Array.from({ length: recordsEach }, (_, index) => ({
      position: positionOfCount(number * recordsEach + index),
    }));
    const value = { lane, epoch: 1n, records };
    call.write({ batchNumber: BigInt(number), request: { case: 'batch', value } });
  }
  call.end();
  const other = clientOf(t, service);
  const elsewhere = { ...lane, partition: 'other' };
  for (let round = 0; round < 100; round++) {
    await unary(other, openLane, { stage, lane: elsewhere, epoch: 1n });
  }
  assert.ok(stored < count / 2, `${stored} of ${count} were stored unread`);
  let answered = 0;
  for await (const { batchNumber } of call) assert.equal(Number(batchNumber), ++answered);
  assert.deepEqual([answered, stored], [count, count]);
});

test('a WriteStream that is cancelled stores nothing behind the write that is under way', async (t) => {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const seen: (string | undefined)[] = [];
  const service = await serveSink({
    name: 'mine',
    ...quiet,
    write: async ([record], { signal }) => {
      seen.push(record?.text());
      started.resolve();
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      aborted.resolve();
    },
  });
  const client = clientOf(t, service);
  await unary(client, openLane, { stage, lane, epoch: 1n });
  const call = stream(client, writeStream);
  call.write(opening);
  call.write(asked(1));
  call.write(asked(2));
  await started.promise;
  assert.equal(await cancel(call as never), status.CANCELLED);
  await aborted.promise;
  await unary(client, openLane, { stage, lane, epoch: 2n });
  assert.deepEqual(seen, ['1']);
});

/** What a message of PullRecords says: payloads, or the name of the event. */
function said({ event }: MessageShape<typeof PullRecordsResponseSchema>): unknown {
  if (event.case !== 'batch') return event.case;
  return event.value.records.map(({ payload }) => Buffer.from(payload).toString());
}

const openPartition = (epoch = 1n) =>
  ({ request: { case: 'open', value: { stage, lane, epoch } } }) as const;
const grant = (records: number, bytes: number) =>
  ({
    request: { case: 'credit', value: { records: BigInt(records), bytes: BigInt(bytes) } },
  }) as const;

test('PullRecords sends in order and within credit, and asks its generator for no more', async (t) => {
  let given = 0;
  const service = await serveSource({
    name: 'mine',
    ...quiet,
    capabilities: { bounded: true },
    read: async function* () {
      while (given < 7) yield { position: ++given, text: String(given) };
    },
  });
  const call = stream(clientOf(t, service), pullRecords);
  call.write(openPartition());
  call.write(grant(2, 10_000));
  assert.deepEqual(said(await next(call as never)), ['1', '2']);
  assert.equal(given, 2);
  call.write(grant(2, 10_000));
  call.write(grant(1, 1));
  call.write(grant(5, 10_000));
  assert.deepEqual(said(await next(call as never)), ['3', '4', '5']);
  assert.equal(given, 5);
  call.write(grant(100, 10_000));
  assert.deepEqual(said(await next(call as never)), ['6', '7']);
  assert.equal(said(await next(call as never)), 'end');
});

test('a PullRecords that is cancelled ends its generator', async (t) => {
  const ended = Promise.withResolvers<string>();
  const service = await serveSource({
    name: 'mine',
    ...quiet,
    read: async function* ({ signal }) {
      try {
        yield { position: 1, text: 'a' };
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      } finally {
        ended.resolve('ended');
      }
    },
  });
  const call = stream(clientOf(t, service), pullRecords);
  call.write(openPartition());
  call.write(grant(10, 10_000));
  assert.deepEqual(said(await next(call as never)), ['a']);
  call.cancel();
  assert.equal(await ended.promise, 'ended');
});

test('Acknowledge reaches user code while the stream is open; a stale epoch may not', async (t) => {
  const positions: number[] = [];
  const service = await serveSource({
    name: 'mine',
    ...quiet,
    read: async function* ({ signal }) {
      yield { position: 1, text: 'a' };
      yield { position: 2, text: 'b' };
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
    acknowledge: ({ position }) => {
      positions.push(position.toNumber());
    },
  });
  const client = clientOf(t, service);
  const call = stream(client, pullRecords);
  call.write(openPartition(2n));
  call.write(grant(2, 10_000));
  assert.deepEqual(said(await next(call as never)), ['a', 'b']);
  const message = { stage, lane, epoch: 2n };
  await unary(client, acknowledge, { ...message, position: positionOfCount(1) });
  await unary(client, acknowledge, { ...message, position: positionOfCount(2) });
  const stale = { ...message, epoch: 1n, position: positionOfCount(3) };
  await assert.rejects(unary(client, acknowledge, stale), { code: status.FAILED_PRECONDITION });
  await assert.rejects(unary(client, acknowledge, message), { code: status.INVALID_ARGUMENT });
  assert.deepEqual(positions, [1, 2]);
  call.cancel();
});
