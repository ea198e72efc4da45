import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeMessage } from '@etl-router/proto/grpc';
import { ExchangeRequestSchema } from '@etl-router/proto/raft';
import fc from 'fast-check';
import { encodeFrame } from '../../src/raft/grpc/frame-bytes.ts';
import { encodeRaftMessage } from '../../src/raft/grpc/message-codec.ts';
import { message } from './arbitrary-message.ts';

test('a frame has the bytes of the generated encoder', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), (messages) => {
      const generated = { messages: messages.map(encodeRaftMessage) };
      assert.deepEqual(encodeFrame(messages), encodeMessage(ExchangeRequestSchema, generated));
    }),
    { numRuns: 500 },
  );
});

test('numbers of every length have the bytes of the generated encoder', () => {
  for (let bits = 0; bits <= 53; bits++) {
    for (const index of [2 ** bits - 1, Math.min(2 ** bits, Number.MAX_SAFE_INTEGER)]) {
      const entry = { index, term: index, type: 'normal' as const, data: new Uint8Array(bits * 7) };
      const whole = {
        ...{ type: 'appendEntries' as const, from: index, to: 0, term: 1 },
        ...{ previousIndex: index, previousTerm: 0, entries: [entry], commitIndex: index },
      };
      const generated = { messages: [encodeRaftMessage(whole)] };
      assert.deepEqual(encodeFrame([whole]), encodeMessage(ExchangeRequestSchema, generated));
    }
  }
});
