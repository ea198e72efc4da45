// Requests stay within what a service takes: measured by a server that refuses more.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordStatus } from '@etl-router/proto/transform';
import { batchOf, never, sinkOf, transformOf } from './fixture.ts';

const mebibyte = 1024 * 1024;

/** Bytes of records in a request; the messages of a test have little else. */
const sizeOf = (batch: { records: { payload: Uint8Array }[] } | undefined): number =>
  (batch?.records ?? []).reduce((bytes, { payload }) => bytes + payload.length, 0);

for (const [what, maxMessageBytes, limit] of [
  ['a service that says nothing gets requests of at most 4 MiB', 0, 4 * mebibyte],
  ['a service gets requests up to what it says it takes', 9 * mebibyte, 9 * mebibyte],
] as const) {
  test(what, async (t) => {
    const sizes: number[] = [];
    const transform = await transformOf(t, {
      getCapabilities: () => ({ maxMessageBytes }),
      processBatch: ({ batch }) => {
        sizes.push(sizeOf(batch));
        return { results: (batch?.records ?? []).map(() => ({ status: RecordStatus.OK })) };
      },
    });
    const sink = await sinkOf(t, {
      getCapabilities: () => ({ durable: true, maxMessageBytes }),
      writeBatch: ({ batch }) => {
        sizes.push(sizeOf(batch));
        return {};
      },
    });
    const batch = batchOf(12, () => Buffer.alloc(mebibyte));
    const { batch: output, failures } = await transform.process(batch, never);
    assert.deepEqual([output.count, failures.length], [12, 0]);
    assert.deepEqual(await sink.write(batch, never), { failures: [] });
    assert.equal(
      sizes.reduce((a, b) => a + b, 0),
      2 * 12 * mebibyte,
    );
    for (const size of sizes) assert.ok(size < limit, `${size} of ${limit}`);
    assert.ok(Math.max(...sizes) >= limit - 2 * mebibyte, 'requests are filled');
  });
}

test('a record that fits into no request fails with the reason; the others are taken', async (t) => {
  const big = (index: number): Buffer => Buffer.alloc(index === 1 ? 4 * mebibyte : 10);
  const transform = await transformOf(t, {
    processBatch: ({ batch }) => ({
      results: (batch?.records ?? []).map(() => ({ status: RecordStatus.OK })),
    }),
  });
  const written: number[] = [];
  const sink = await sinkOf(t, {
    writeBatch: ({ batch }) => {
      written.push(...(batch?.records ?? []).map(({ payload }) => payload.length));
      return {};
    },
  });
  const processed = await transform.process(batchOf(3, big), never);
  assert.equal(processed.batch.count, 2);
  const stored = await sink.write(batchOf(3, big), never);
  assert.deepEqual(written, [10, 10]);
  for (const [failure, ...others] of [processed.failures, stored.failures]) {
    assert.deepEqual(others, []);
    assert.equal(failure?.index, 1);
    assert.equal(failure.code, 'RECORD_TOO_LARGE');
    assert.equal(failure.retryable, false);
    assert.match(failure.message, /^stage mine takes requests of 4194304 bytes.*max_message_bytes/);
  }
});

test('a sink that stores positions stores nothing beside a record that is too large', async (t) => {
  let writes = 0;
  const sink = await sinkOf(t, {
    getCapabilities: () => ({ durable: true, transactionalPosition: true }),
    writeBatch: () => {
      writes++;
      return {};
    },
  });
  const big = (index: number): Buffer => Buffer.alloc(index === 9 ? 4 * mebibyte : mebibyte);
  const { failures } = await sink.write(batchOf(10, big), never);
  assert.deepEqual([failures.map(({ index }) => index), writes], [[9], 0]);
});

test('a sink that stores positions gets nothing behind a request with failures', async (t) => {
  let writes = 0;
  const sink = await sinkOf(t, {
    getCapabilities: () => ({ durable: true, transactionalPosition: true }),
    writeBatch: () => ({ failures: ++writes === 2 ? [{ index: 0 }] : [] }),
  });
  const { failures } = await sink.write(
    batchOf(9, () => Buffer.alloc(mebibyte)),
    never,
  );
  assert.deepEqual([failures.map(({ index }) => index), writes], [[3], 2]);
});

test('records of one position are never in two requests', async (t) => {
  const requests: number[][] = [];
  const sink = await sinkOf(t, {
    writeBatch: ({ batch }) => {
      requests.push((batch?.records ?? []).map(({ position }) => position.at(-1) as number));
      return {};
    },
  });
  const batch = batchOf(
    10,
    () => Buffer.alloc(mebibyte),
    (index) => Math.floor(index / 2),
  );
  await sink.write(batch, never);
  assert.deepEqual(requests, [
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 4],
  ]);
});
