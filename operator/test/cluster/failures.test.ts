import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import { ActFailures, isApplication, namedAct, namedObjects } from '../../src/cluster/failures.ts';

test('the same failure waits twice as long each time, up to a minute; another one begins anew', () => {
  const clock = new ManualClock();
  const failures = new ActFailures(clock);
  const pauses = Array.from({ length: 8 }, () => failures.note('x', 'one', 'no'));
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  assert.deepEqual(failures.of('x'), { count: 8, message: 'no' });
  clock.advance(50_000);
  assert.equal(failures.pauseMs('x', 'one'), 10_000);
  assert.equal(failures.pauseMs('x', 'two'), 0);
  assert.equal(failures.note('x', 'two', 'no'), 1000);
  failures.forget('x');
  assert.equal(failures.of('x'), undefined);
});

test('a pod in another version is the same pod; what was applied settles what was not', () => {
  const act = { kind: 'deletePod', name: 'main-1', uid: 'a', force: false } as const;
  const name = namedAct({ ...act, resourceVersion: '1' });
  assert.equal(namedAct({ ...act, resourceVersion: '2' }), name);
  const failures = new ActFailures(new ManualClock());
  failures.note('x', name, 'no');
  failures.settle('x', isApplication);
  assert.equal(failures.of('x')?.count, 1);
  failures.note('x', namedObjects([]), 'no');
  failures.settle('x', isApplication);
  assert.equal(failures.of('x'), undefined);
});
