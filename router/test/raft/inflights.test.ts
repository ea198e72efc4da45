import { equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Inflights } from '../../src/raft/inflights.ts';

type Action =
  | { readonly act: 'add'; readonly by: number; readonly bytes: number }
  | { readonly act: 'free'; readonly back: number }
  | { readonly act: 'clear' };

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant('add' as const),
      by: fc.integer({ min: 0, max: 3 }),
      bytes: fc.integer({ min: 0, max: 40 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ act: fc.constant('free' as const), back: fc.nat(8) }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('clear' as const) }) },
);

test('messages in flight are those a plain list would hold', () => {
  const limits = fc.record({ maxMessages: fc.constantFrom(1, 3, 100), maxBytes: fc.nat(1500) });
  fc.assert(
    fc.property(limits, fc.array(action, { maxLength: 300 }), (bounds, actions) => {
      const inflights = new Inflights(bounds);
      let list: { readonly last: number; readonly bytes: number }[] = [];
      let last = 0;
      for (const each of actions) {
        if (each.act === 'add' && !inflights.isFull) {
          last += each.by;
          inflights.add(last, each.bytes);
          list.push({ last, bytes: each.bytes });
        } else if (each.act === 'free') {
          inflights.freeTo(last - each.back);
          list = list.filter((message) => message.last > last - each.back);
        } else if (each.act === 'clear') {
          inflights.clear();
          list = [];
        }
        const bytes = list.reduce((sum, message) => sum + message.bytes, 0);
        equal(inflights.count, list.length);
        equal(inflights.bytes, bytes);
        equal(inflights.isFull, list.length >= bounds.maxMessages || bytes >= bounds.maxBytes);
      }
    }),
    { numRuns: 400 },
  );
});

test('the bound of bytes is passed by one message at most', () => {
  const inflights = new Inflights({ maxMessages: 10, maxBytes: 100 });
  inflights.add(1, 99);
  equal(inflights.isFull, false);
  inflights.add(2, 1000);
  equal(inflights.isFull, true);
  throws(() => inflights.add(3, 1), /past the bound/);
});

test('a message that ends before the last one is a bug', () => {
  const inflights = new Inflights({ maxMessages: 10, maxBytes: 100 });
  inflights.add(5, 1);
  throws(() => inflights.add(4, 1), /ascend/);
});
