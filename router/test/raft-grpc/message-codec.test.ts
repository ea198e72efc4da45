import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMessage, encodeMessage } from '@etl-router/proto/grpc';
import { RaftMessageSchema } from '@etl-router/proto/raft';
import fc from 'fast-check';
import { decodeRaftMessage, encodeRaftMessage } from '../../src/raft/grpc/message-codec.ts';
import { Outbox } from '../../src/raft/grpc/outbox.ts';
import type { Message } from '../../src/raft/messages.ts';
import { message } from './arbitrary-message.ts';
import { append, heartbeat } from './members.ts';

/** Bytes that come from the wire are Buffers: the same to everyone but deepEqual. */
function plain(decoded: Message | undefined): unknown {
  if (decoded?.type !== 'appendEntries') return decoded;
  const entries = decoded.entries.map((one) => ({ ...one, data: Uint8Array.from(one.data) }));
  return { ...decoded, entries };
}

test('every message comes back from the wire as it was', () => {
  fc.assert(
    fc.property(message, (whole) => {
      const wire = encodeMessage(RaftMessageSchema, encodeRaftMessage(whole));
      const read = decodeRaftMessage(decodeMessage(RaftMessageSchema, wire));
      assert.deepEqual(plain(read), plain(whole));
    }),
    { numRuns: 500 },
  );
});

test('the word on a snapshot is left to its stream', () => {
  const wire = encodeRaftMessage(heartbeat(1, 2));
  const body = { case: 'snapshotStatus', value: { index: 1n, failed: true } } as never;
  assert.equal(decodeRaftMessage({ ...wire, body }), undefined);
});

test('a frame holds at most 1,024 messages and 1 MiB, but always one message', () => {
  const outbox = new Outbox({ maxMessages: 5000, maxBytes: 64 * 1024 * 1024 });
  for (let count = 0; count < 2000; count++) assert.ok(outbox.push(heartbeat(1, 2)));
  assert.equal(outbox.take().messages.length, 1024);
  assert.equal(outbox.take().messages.length, 976);
  for (let index = 1; index <= 3; index++) outbox.push(append(1, 2, index, 400_000));
  outbox.push(append(1, 2, 4, 1024 * 1024));
  const counts = [outbox.take(), outbox.take(), outbox.take()].map((one) => one.messages.length);
  assert.deepEqual(counts, [2, 1, 1]);
  assert.deepEqual([outbox.length, outbox.bytes], [0, 0]);
});

test('a full outbox takes nothing, and an empty one anything', () => {
  const outbox = new Outbox({ maxMessages: 2, maxBytes: 1000 });
  assert.ok(outbox.push(append(1, 2, 1, 5000)));
  assert.equal(outbox.push(heartbeat(1, 2)), false);
  outbox.take();
  assert.ok(outbox.push(heartbeat(1, 2)));
  assert.ok(outbox.push(heartbeat(1, 2)));
  assert.equal(outbox.push(heartbeat(1, 2)), false);
  assert.equal(outbox.clear(), 2);
  assert.deepEqual([outbox.length, outbox.bytes], [0, 0]);
});
