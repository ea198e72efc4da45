import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeTurns } from '../lib/bench.ts';
import { allHold, formatTable } from '../lib/report.ts';
import { median, ratioOfRounds, rounded, summarize } from '../lib/statistics.ts';

test('the median is the middle value, or the mean of the two middle ones, in any order', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 1, 5, 7]), 6);
  assert.equal(median([-10, -9, 100]), -9);
  assert.deepEqual(summarize([3, 1, 2]), { median: 2, min: 1, max: 3, count: 3 });
});

test('no values and what is not a number have no median', () => {
  assert.throws(() => median([]), RangeError);
  assert.throws(() => median([1, Number.NaN]), RangeError);
});

test('the ratio of two contenders pairs their rounds', () => {
  assert.equal(ratioOfRounds([2, 30, 8], [1, 10, 2]), 3);
  assert.throws(() => ratioOfRounds([1], [1, 2]), RangeError);
});

test('numbers are kept to significant digits', () => {
  assert.equal(rounded(0.0123456), 0.0123);
  assert.equal(rounded(98765, 2), 99000);
});

test('contenders take turns, and the first turn does not count', async () => {
  const order: string[] = [];
  const contender = (name: string) => (): number => order.push(name);
  const rounds = await takeTurns(
    new Map([
      ['a', contender('a')],
      ['b', contender('b')],
    ]),
    2,
  );
  assert.deepEqual(order, ['a', 'b', 'a', 'b', 'a', 'b']);
  assert.deepEqual(
    [...rounds],
    [
      ['a', [3, 5]],
      ['b', [4, 6]],
    ],
  );
});

test('a ratio without a bound always holds', () => {
  assert.ok(allHold([{ name: 'a', value: 0 }]));
  assert.ok(allHold([{ name: 'a', value: 2, required: 2 }]));
  assert.ok(!allHold([{ name: 'a', value: 1.99, required: 2 }]));
});

test('a table aligns its first column left and the others right', () => {
  assert.equal(
    formatTable([
      ['a', 'bb'],
      ['ccc', 'd'],
    ]),
    'a    bb\nccc   d',
  );
});
