// Waiting has an end, also where what is asked never answers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { always, eventually, OutOfTimeError, within } from '../../harness/eventually.ts';

const never = (): Promise<never> => new Promise(() => {});

test('an act that hangs is out of time, and one that fails says why', async () => {
  await assert.rejects(within(10, 'it ends', never), OutOfTimeError);
  const failing = within(60_000, 'it ends', () => Promise.reject(new Error('broken')));
  await assert.rejects(failing, /^Error: broken$/);
  assert.equal(await within(60_000, 'it ends', () => Promise.resolve(7)), 7);
});

test('a look that hangs does not hold up its claim', async () => {
  const patience = { timeoutMs: 10, everyMs: 1, lookMs: 10 };
  await assert.rejects(eventually('it is so', never, patience), /not within 0\.01 s: it is so/);
  await assert.rejects(always('it is so', never, patience), OutOfTimeError);
});

test('what fails at first may hold later', async () => {
  let looks = 0;
  const look = (): Promise<boolean> => {
    looks++;
    return looks === 1 ? Promise.reject(new Error('not there')) : Promise.resolve(looks > 2);
  };
  assert.equal(await eventually('it is so', look, { everyMs: 1 }), true);
});
