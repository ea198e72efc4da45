import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { EtlError } from '@etl-router/core';
import fc from 'fast-check';
import { Line } from '../../../src/raft/thread/line.ts';
import { pack, unpack, unpackViews } from '../../../src/raft/thread/packed.ts';
import { fromWireError, toWireError } from '../../../src/raft/thread/wire-error.ts';

type Calls = {
  readonly double: (input: number, signal: AbortSignal) => Promise<number>;
  readonly wait: (input: null, signal: AbortSignal) => Promise<never>;
  readonly fail: (input: EtlError | null) => Promise<never>;
};
type Words = { readonly hear: (word: string) => void };

/** A line whose other end serves and hears; everything that is heard is kept. */
function connect(
  t: TestContext,
  preface?: () => string | undefined,
): {
  readonly line: Line<Calls, Words>;
  readonly far: Line<Record<string, never>, Record<string, never>>;
  readonly heard: string[];
  readonly messages: () => number;
} {
  const { port1, port2 } = new MessageChannel();
  const heard: string[] = [];
  let messages = 0;
  port2.on('message', () => messages++);
  const serves: Calls = {
    double: (input) => Promise.resolve(input * 2),
    wait: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    fail: () =>
      Promise.reject(
        new EtlError('ETL_CONFLICT', 'taken', {
          retryable: true,
          details: { name: 'a', count: 2 },
        }),
      ),
  };
  const far = new Line<Record<string, never>, Record<string, never>>({
    port: port2,
    serves,
    hears: { hear: (word: string) => heard.push(word) },
  });
  const line = new Line<Calls, Words>({
    port: port1,
    serves: {},
    hears: {},
    ...(preface && {
      preface: () => {
        const value = preface();
        return value === undefined ? undefined : { name: 'hear', value };
      },
    }),
  });
  t.after(() => {
    port1.close();
    port2.close();
  });
  return { line, far, heard, messages: () => messages };
}

test('all that is said in a turn is one message, in order, behind its preface', async (t) => {
  const prefaces = ['first'];
  const { line, heard, messages } = connect(t, () => prefaces.shift());
  line.tell('hear', 'a');
  line.tellAlong('hear', 'b');
  const answers = [line.call('double', 1), line.call('double', 2)];
  line.tell('hear', 'c');
  assert.deepEqual(await Promise.all(answers), [2, 4]);
  assert.deepEqual(heard, ['first', 'a', 'b', 'c']);
  assert.equal(messages(), 1);
  line.tellAlong('hear', 'd');
  assert.equal(messages(), 1, 'it waits for something that is sent');
  assert.equal(await line.call('double', 3), 6);
  assert.deepEqual(heard.at(-1), 'd');
});

test('a call that is cancelled ends as the one who serves it says', async (t) => {
  const { line } = connect(t);
  const caller = new AbortController();
  const waits = line.call('wait', null, { signal: caller.signal });
  await line.call('double', 1);
  caller.abort(new Error('enough'));
  await assert.rejects(waits, /enough/);
});

test('a refusal is the error that it was', async (t) => {
  const { line } = connect(t);
  await assert.rejects(line.call('fail', null), (error) => {
    assert(error instanceof EtlError);
    const { code, message, retryable, details } = error;
    assert.deepEqual(
      [code, message, retryable, details],
      ['ETL_CONFLICT', 'taken', true, { name: 'a', count: 2 }],
    );
    return true;
  });
});

test('an end that is gone answers nothing: calls on their way and later ones end with why', async (t) => {
  const { line } = connect(t);
  const waits = line.call('wait', null);
  line.end(new EtlError('ETL_INTERNAL', 'gone'));
  await assert.rejects(waits, /gone/);
  await assert.rejects(line.call('double', 1), /gone/);
});

test('packed bytes are what they were, in buffers of their own', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (pieces) => {
      const packed = pack(pieces);
      assert.equal(packed.bytes.byteLength, packed.bytes.buffer.byteLength);
      const found = unpack(packed);
      assert.deepEqual(found, pieces);
      assert.deepEqual(unpackViews(packed), pieces);
      for (const piece of found) assert.equal(piece.byteLength, piece.buffer.byteLength);
    }),
  );
});

test('an error keeps its code, its place and the chain behind it; what is none becomes ETL_INTERNAL', () => {
  const disk = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const thrown = new EtlError('ETL_STORAGE_FAILED', 'the log can not be written', { cause: disk });
  const found = fromWireError(structuredClone(toWireError(thrown)));
  assert.deepEqual([found.code, found.stack], [thrown.code, thrown.stack]);
  assert(found.cause instanceof Error);
  assert.deepEqual(
    [found.cause.message, 'code' in found.cause && found.cause.code],
    ['no space', 'ENOSPC'],
  );
  const defect = fromWireError(structuredClone(toWireError(new TypeError('x is not a function'))));
  assert.deepEqual([defect.code, defect.message], ['ETL_INTERNAL', 'x is not a function']);
  assert.equal((defect.cause as Error).name, 'TypeError');
  const loop = new EtlError('ETL_INTERNAL', 'a');
  Object.assign(loop, { cause: loop });
  assert.equal(fromWireError(structuredClone(toWireError(loop))).message, 'a');
});
