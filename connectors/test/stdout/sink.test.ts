import { deepEqual, equal, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type TestPayload,
  testBatch,
  testLane,
  testPayload,
  testSink,
} from '@etl-router/connectors/testing';
import { BatchBuilder, isEtlError, positionOfCount } from '@etl-router/core';
import { type LineStream, StdoutSink } from '../../src/stdout/sink.ts';

const signal = new AbortController().signal;

/** A reader that takes one write at a time, and only when told. */
class SlowReader implements LineStream {
  text = '';
  isOpen = true;
  #waiting: (() => void) | undefined;
  isSlow = false;

  write(bytes: Uint8Array, written: (error?: Error | null) => void): boolean {
    const take = (): void => {
      if (!this.isOpen) {
        written(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
        return;
      }
      this.text += Buffer.from(bytes).toString('utf8');
      written();
    };
    if (this.isSlow) this.#waiting = take;
    else queueMicrotask(take);
    return false;
  }

  take(): void {
    const take = this.#waiting;
    this.#waiting = undefined;
    take?.();
  }

  on(): void {}
  off(): void {}
}

testSink({
  name: 'stdout',
  capabilities: { durable: false, idempotentByKey: false, transactionalPosition: false },
  fixture: async () => {
    const stream = new SlowReader();
    return {
      baseDirectory: import.meta.dirname,
      create: () => new StdoutSink('payload', stream),
      contents: async () =>
        stream.text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => (JSON.parse(line) ?? {}) as TestPayload),
    };
  },
});

test('a write waits for the reader, and the next one for it', async () => {
  const stream = new SlowReader();
  stream.isSlow = true;
  const sink = new StdoutSink('payload', stream);
  await sink.open();
  let done = 0;
  const count = (): number => ++done;
  const writes = [1, 2].map((n) =>
    sink.write(testBatch({ lane: 'a', epoch: 1, from: n, to: n }), signal).then(count),
  );
  await new Promise((resolve) => setImmediate(resolve));
  equal(done, 0);
  stream.take();
  await writes[0];
  equal(done, 1);
  await new Promise((resolve) => setImmediate(resolve));
  stream.take();
  await Promise.all(writes);
  await sink.close();
  equal(stream.text, [1, 2].map((n) => `${JSON.stringify(testPayload('a', n))}\n`).join(''));
});

test('a reader that went away fails this write and all later ones, for good', async () => {
  const stream = new SlowReader();
  stream.isOpen = false;
  const sink = new StdoutSink('payload', stream);
  await sink.open();
  for (const n of [1, 2]) {
    await rejects(
      async () => sink.write(testBatch({ lane: 'a', epoch: 1, from: n, to: n }), signal),
      (error) =>
        isEtlError(error) && !error.retryable && /closed by its reader/.test(error.message),
    );
  }
  await sink.close();
});

test('an envelope holds everything the record has', async () => {
  const stream = new SlowReader();
  const sink = new StdoutSink('envelope', stream);
  await sink.open();
  const builder = new BatchBuilder();
  builder.append({
    position: positionOfCount(1),
    type: 'order',
    key: Buffer.from('k'),
    headers: new Map([['h', 'v']]),
    eventTime: { seconds: 1, nanos: 500_000_000 },
    contentType: 'application/json',
    payload: Buffer.from('{"n":9007199254740993}'),
  });
  builder.append({
    position: positionOfCount(2),
    contentType: 'image/png',
    payload: Buffer.from([0x89, 0xff]),
  });
  const batch = builder.build({
    lane: testLane('a'),
    epoch: 1,
    firstSequence: 1,
    watermark: undefined,
  });
  deepEqual(await sink.write(batch, signal), { failures: [] });
  await sink.close();
  deepEqual(stream.text.split('\n'), [
    '{"id":"source/a/0000000000000001","source":"source","partition":"a","position":"0000000000000001","type":"order","key":"k",' +
      '"headers":{"h":"v"},"eventTime":"1970-01-01T00:00:01.500Z","contentType":"application/json","data":{"n":9007199254740993}}',
    '{"id":"source/a/0000000000000002","source":"source","partition":"a","position":"0000000000000002","contentType":"image/png","data_base64":"if8="}',
    '',
  ]);
});

test('a pipe whose reader leaves ends the sink with an error, not the process with a signal', async () => {
  const child = spawn(
    process.execPath,
    ['--conditions=etl-source', fileURLToPath(new URL('printer.ts', import.meta.url))],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => {
    errors += bytes.toString('utf8');
  });
  child.stdout.once('data', () => child.stdout.destroy());
  equal(await new Promise((resolve) => child.once('close', resolve)), 0);
  equal(errors, 'ETL_CONNECTOR_FAILED\n');
});
