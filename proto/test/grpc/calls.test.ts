// Calls of every kind between our client and our server, over a real connection on loopback.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import process from 'node:process';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type ErrorCode, EtlError } from '@etl-router/core';
import { defaultMaxMessageBytes, MessageQueue } from '@etl-router/proto/grpc';
import { ChannelCredentials, Client, type ServiceError, status } from '@grpc/grpc-js';
import { startServer } from './fixture.ts';

/** A promise and what settles it. */
function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>();
  return { promise, open: resolve };
}

function code(expected: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof EtlError, String(error));
    assert.equal(error.code, expected, error.message);
    return true;
  };
}

/** Requests that never come. */
const endless = (): MessageQueue<never> => new MessageQueue();

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

test('a unary call carries batches as the bytes they are', async (t) => {
  const { transform } = await startServer(t, {
    transform: {
      processBatch: ({ batch, stage }) => {
        assert.equal(stage?.stage, 'enrich');
        return { results: [{ status: 4, outputs: [batch, Buffer.of(1)] }] };
      },
    },
  });
  const batch = Buffer.from('not even a RecordBatch');
  const answer = await transform().processBatch({ stage: { stage: 'enrich' }, batch });
  assert.deepEqual(
    answer.results[0]?.outputs.map((bytes) => Buffer.from(bytes)),
    [batch, Buffer.of(1)],
  );
});

test('a stream answers each message in turn, and ends when the caller ends', async (t) => {
  const { transform } = await startServer(t, {
    transform: {
      async *processStream(requests) {
        for await (const { batchNumber } of requests) yield { batchNumber: batchNumber * 10n };
      },
    },
  });
  const requests = new MessageQueue<{ batchNumber: bigint }>();
  const seen: bigint[] = [];
  requests.push({ batchNumber: 1n });
  for await (const { batchNumber } of transform().processStream(requests)) {
    seen.push(batchNumber);
    if (batchNumber < 30n) requests.push({ batchNumber: batchNumber / 10n + 1n });
    else requests.end();
  }
  assert.deepEqual(seen, [10n, 20n, 30n]);
});

test('an EtlError crosses a call with its code, message, details and retryability', async (t) => {
  const raised = new EtlError('ETL_FENCED', 'die Lane gehört Epoche 7 — zu spät \ud800\n', {
    details: { epoch: 7, lane: 'a/b/c', final: true },
    retryable: true,
  });
  const fail = (): never => {
    throw raised;
  };
  const { source, transform } = await startServer(t, {
    source: {
      acknowledge: fail,
      async *pullRecords() {
        yield { event: { case: 'idle', value: {} } };
        fail();
      },
    },
    transform: {
      async *processStream() {
        yield fail();
      },
    },
  });
  const check = (error: unknown): boolean => {
    assert.ok(error instanceof EtlError);
    assert.equal(error.code, 'ETL_FENCED');
    assert.equal(error.message, 'die Lane gehört Epoche 7 — zu spät \ufffd\n');
    assert.deepEqual(error.details, raised.details);
    assert.equal(error.retryable, true);
    return true;
  };
  await assert.rejects(source().acknowledge({}), check);
  await assert.rejects(all(transform().processStream(endless())), check);
  const events: unknown[] = [];
  await assert.rejects(async () => {
    for await (const { event } of source().pullRecords(endless())) events.push(event.case);
  }, check);
  assert.deepEqual(events, ['idle']);
});

test('a defect of a handler is told to the server, and to the caller without its text', async (t) => {
  const defects: unknown[] = [];
  const { transform } = await startServer(t, {
    transform: {
      getCapabilities: () => {
        throw new Error('password=hunter2');
      },
    },
    service: { onDefect: (error, method) => defects.push([String(error), method]) },
  });
  await assert.rejects(transform().getCapabilities({}), (error: EtlError) => {
    assert.equal(error.code, 'ETL_INTERNAL');
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
  assert.deepEqual(defects, [
    ['Error: password=hunter2', '/etl.transform.v1.TransformService/GetCapabilities'],
  ]);
});

test('a deadline ends the call on both sides', async (t) => {
  const aborted = gate<unknown>();
  const { transform } = await startServer(t, {
    transform: {
      getCapabilities: () => ({}),
      processBatch: async (_request, { signal }) => {
        await once(signal, 'abort');
        aborted.open(signal.reason);
        throw signal.reason;
      },
    },
  });
  // Over a connection that stands, and in time enough to arrive on a busy machine too.
  const client = transform();
  await client.getCapabilities({});
  await assert.rejects(client.processBatch({}, { deadlineMs: 1000 }), code('ETL_TIMEOUT'));
  assert.ok((await aborted.promise) instanceof EtlError);
});

test('a cancelled call ends on both sides, unary or stream', async (t) => {
  const aborted: (() => void)[] = [];
  const both = Promise.all([0, 1].map(() => new Promise<void>((resolve) => aborted.push(resolve))));
  const begun = gate();
  const { source, transform } = await startServer(t, {
    transform: {
      processBatch: async (_request, { signal }) => {
        begun.open();
        await once(signal, 'abort');
        aborted[0]?.();
        return {};
      },
    },
    source: {
      async *pullRecords(requests, { signal }) {
        yield { event: { case: 'idle', value: {} } };
        await assert.rejects(all(requests), code('ETL_CANCELLED'));
        assert.ok(signal.aborted);
        aborted[1]?.();
      },
    },
  });
  const stop = new AbortController();
  const call = transform().processBatch({}, { signal: stop.signal });
  await begun.promise;
  stop.abort();
  await assert.rejects(call, code('ETL_CANCELLED'));
  for await (const _ of source().pullRecords(endless())) break;
  await both;
  await assert.rejects(transform().processBatch({}, { signal: stop.signal }), {
    name: 'AbortError',
  });
});

test('a client that goes away ends its calls at the server', async (t) => {
  const aborted = gate();
  const begun = gate();
  const { address } = await startServer(t, {
    transform: {
      processBatch: async (_request, { signal }) => {
        begun.open();
        await once(signal, 'abort');
        aborted.open();
        return {};
      },
    },
  });
  const client = new Client(address, ChannelCredentials.createInsecure());
  const call = client.makeUnaryRequest(
    '/etl.transform.v1.TransformService/ProcessBatch',
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    Buffer.alloc(0),
    () => undefined,
  );
  await begun.promise;
  call.cancel();
  client.close();
  await aborted.promise;
});

test('a message that is not protobuf is refused and harms nothing else', async (t) => {
  const { address, transform } = await startServer(t, {
    transform: { getCapabilities: () => ({ deterministic: true }) },
  });
  const client = new Client(address, ChannelCredentials.createInsecure());
  t.after(() => client.close());
  for (const bytes of ['0aff', '0a8080808080808080808001', '0b', '08', '0a0108']) {
    const { promise, resolve } = Promise.withResolvers<ServiceError | null>();
    client.makeUnaryRequest(
      '/etl.transform.v1.TransformService/GetCapabilities',
      (raw: Buffer) => raw,
      (raw: Buffer) => raw,
      Buffer.from(bytes, 'hex'),
      (error) => resolve(error),
    );
    const error = await promise;
    assert.equal(error?.code, status.INVALID_ARGUMENT);
    assert.match(error.details, /malformed protobuf: etl\.transform\.v1\.GetCapabilitiesRequest/);
    assert.doesNotMatch(error.details, /\n|\.ts|\.js/);
  }
  assert.equal((await transform().getCapabilities({})).deterministic, true);
});

test('a message is taken at the limit and refused one byte above it, both ways', async (t) => {
  const { transform } = await startServer(t, {
    transform: {
      processBatch: ({ batch }) => ({
        results: [{ status: 1, outputs: [Buffer.alloc(batch.length)] }],
      }),
    },
    server: { maxMessageBytes: 10_000 },
  });
  const client = transform();
  const overhead = 3;
  const atLimit = { batch: Buffer.alloc(10_000 - overhead) };
  const above = { batch: Buffer.alloc(10_000 - overhead + 1) };
  await assert.rejects(client.processBatch(above), (error: EtlError) => {
    assert.equal(error.code, 'ETL_LIMIT_EXCEEDED');
    assert.equal(error.retryable, false);
    return true;
  });
  const answerTooLarge = (error: EtlError): boolean => {
    assert.equal(error.code, 'ETL_LIMIT_EXCEEDED');
    return true;
  };
  await assert.rejects(client.processBatch(atLimit), answerTooLarge);
  const { results } = await client.processBatch({ batch: Buffer.alloc(9_000) });
  assert.equal(results[0]?.outputs[0]?.length, 9_000);
  const small = transform({ maxMessageBytes: 100 });
  await assert.rejects(
    small.processBatch({ batch: Buffer.alloc(101) }),
    code('ETL_LIMIT_EXCEEDED'),
  );
  await assert.rejects(small.processBatch({ batch: Buffer.alloc(95) }), code('ETL_LIMIT_EXCEEDED'));
  assert.equal(defaultMaxMessageBytes, 16 * 1024 * 1024);
});

test('a message that inflates beyond the limit is refused before it fills memory', async (t) => {
  const { address } = await startServer(t, {
    transform: { processBatch: () => ({}) },
    server: { maxMessageBytes: 1024 * 1024 },
  });
  const part = gzipSync(Buffer.alloc(8 * 1024 * 1024));
  const bomb = Buffer.concat(Array.from({ length: 64 }, () => part));
  const frame = Buffer.alloc(5);
  frame[0] = 1;
  frame.writeUInt32BE(bomb.length, 1);
  const session = connect(`http://${address}`);
  const before = process.memoryUsage().arrayBuffers;
  const call = session.request({
    ':method': 'POST',
    ':path': '/etl.transform.v1.TransformService/ProcessBatch',
    'content-type': 'application/grpc',
    'grpc-encoding': 'gzip',
    te: 'trailers',
  });
  call.resume();
  call.end(Buffer.concat([frame, bomb]));
  const answered = Promise.withResolvers<unknown>();
  for (const event of ['response', 'trailers']) {
    call.on(event, (headers: IncomingHttpHeaders) => {
      if (headers['grpc-status'] !== undefined) answered.resolve(headers['grpc-status']);
    });
  }
  assert.equal(await answered.promise, String(status.RESOURCE_EXHAUSTED));
  session.destroy();
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 64 * 1024 * 1024, `${grown} bytes more for a message of 512 MiB`);
});

test('a stream whose reader is slow holds its writer up', async (t) => {
  const messageBytes = 256 * 1024;
  const total = 2_000;
  let made = 0;
  const { source } = await startServer(t, {
    source: {
      async *pullRecords() {
        for (; made < total; made++) {
          yield { event: { case: 'batch', value: Buffer.alloc(messageBytes) } };
        }
      },
    },
  });
  const responses = source().pullRecords(endless())[Symbol.asyncIterator]();
  await responses.next();
  let before = -1;
  while (made !== before) {
    before = made;
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(made < 60, `${made} messages of 256 KiB were made for one that was read`);
  for (let read = 1; read < 200; read++) assert.equal((await responses.next()).done, false);
  assert.ok(made >= 200 && made < 260, `${made} messages were made for 200 that were read`);
  await responses.return?.();
});

test('a stream whose server is slow holds its caller up', async (t) => {
  const release = gate();
  const { transform } = await startServer(t, {
    transform: {
      async *processStream(requests) {
        await release.promise;
        let count = 0n;
        for await (const _ of requests) count++;
        yield { batchNumber: count };
      },
    },
  });
  let made = 0;
  async function* requests(): AsyncGenerator<{ request: { case: 'batch'; value: Buffer } }> {
    for (; made < 300; made++) {
      yield { request: { case: 'batch', value: Buffer.alloc(256 * 1024) } };
    }
  }
  const answer = all(transform().processStream(requests()));
  let before = -1;
  while (made !== before) {
    before = made;
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(made < 60, `${made} messages were made for none that was read`);
  release.open();
  assert.deepEqual(
    (await answer).map(({ batchNumber }) => batchNumber),
    [300n],
  );
});

test('what a request stream throws is what the call throws, and the server sees a cancellation', async (t) => {
  const seen = gate<unknown>();
  const { transform } = await startServer(t, {
    transform: {
      async *processStream(requests) {
        try {
          for await (const { batchNumber } of requests) yield { batchNumber };
        } catch (error) {
          seen.open(error);
        }
      },
    },
  });
  const requests = new MessageQueue<{ batchNumber: bigint }>();
  requests.push({ batchNumber: 1n });
  await assert.rejects(async () => {
    for await (const _ of transform().processStream(requests)) {
      requests.end(new EtlError('ETL_STORAGE_FAILED', 'the spill is gone'));
    }
  }, code('ETL_STORAGE_FAILED'));
  assert.ok(code('ETL_CANCELLED')(await seen.promise));
});

test('a server that is not there is unavailable at once, and waited for when asked', async (t) => {
  const { transform, server } = await startServer(t, { transform: {} });
  server.forceShutdown();
  await assert.rejects(
    transform().getCapabilities({}, { deadlineMs: 60_000 }),
    (error: EtlError) => {
      assert.equal(error.code, 'ETL_UNAVAILABLE');
      assert.equal(error.retryable, true);
      return true;
    },
  );
  await assert.rejects(
    transform().getCapabilities({}, { deadlineMs: 50, waitForReady: true }),
    code('ETL_TIMEOUT'),
  );
});

test('a queue that nobody empties refuses more than its bound', async () => {
  const queue = new MessageQueue<number>(2);
  queue.push(1);
  queue.push(2);
  assert.throws(() => queue.push(3), code('ETL_LIMIT_EXCEEDED'));
  queue.end();
  queue.push(4);
  assert.deepEqual(await all(queue), [1, 2]);
  const failed = new MessageQueue<number>();
  failed.push(1);
  failed.end(new EtlError('ETL_TIMEOUT', 'too late'));
  await assert.rejects(all(failed), code('ETL_TIMEOUT'));
});

test('an error right after a message does not overtake it, though requests are still awaited', async (t) => {
  const { transform } = await startServer(t, {
    transform: {
      async *processStream(requests) {
        const incoming = requests[Symbol.asyncIterator]();
        await incoming.next();
        incoming.next().catch(() => undefined);
        yield { batchNumber: 1n };
        throw new EtlError('ETL_UNAVAILABLE', 'enough');
      },
    },
  });
  const requests = new MessageQueue<{ batchNumber: bigint }>();
  requests.push({ batchNumber: 0n });
  const answers = transform().processStream(requests)[Symbol.asyncIterator]();
  assert.equal((await answers.next()).value?.batchNumber, 1n);
  await assert.rejects(answers.next(), code('ETL_UNAVAILABLE'));
});
