import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DeadLetterFilter,
  type DeadLetterHolder,
  DeadLetters,
} from '../../src/server/dead-letters.ts';

/** A holder of two dead letters that cannot be shown and can be counted, sent and deleted. */
function createHolder(): DeadLetterHolder & { readonly done: string[] } {
  const done: string[] = [];
  const act = (what: string) => (pipelineId: string, filter: DeadLetterFilter) => {
    done.push(`${what} ${pipelineId} ${filter.stage ?? '*'}`);
    return Promise.resolve(2);
  };
  return {
    done,
    list: () => Promise.resolve({ items: [], total: 2, next: undefined }),
    get: () => Promise.resolve(undefined),
    count: () => Promise.resolve(2),
    redrive: act('redrive'),
    discard: act('discard'),
  };
}

test('a dry run counts and touches nothing', async () => {
  const holder = createHolder();
  const letters = new DeadLetters(() => holder);
  assert.equal(await letters.redrive('shop/orders', {}, true), 2);
  assert.equal(await letters.discard('shop/orders', {}, true), 2);
  assert.deepEqual(holder.done, []);
  await letters.redrive('shop/orders', { stage: 'out' });
  await letters.discard('shop/orders', {});
  assert.deepEqual(holder.done, ['redrive shop/orders out', 'discard shop/orders *']);
});

test('while the holder is away nothing is invented', async () => {
  const letters = new DeadLetters(() => undefined);
  const request = { pipelineId: 'shop/orders', first: 10 };
  await assert.rejects(letters.list(request), { code: 'ETL_UNAVAILABLE', retryable: true });
  await assert.rejects(letters.redrive('shop/orders', {}), { code: 'ETL_UNAVAILABLE' });
  assert.equal(await letters.count('shop/orders'), 0);
});

test('a page has a bound, and a dead letter that is not there is not found', async () => {
  const letters = new DeadLetters(createHolder);
  for (const first of [0, 1001, 1.5, Number.NaN]) {
    await assert.rejects(letters.list({ pipelineId: 'shop/orders', first }), {
      code: 'ETL_INVALID_ARGUMENT',
    });
  }
  assert.equal((await letters.list({ pipelineId: 'shop/orders', first: 1000 })).total, 2);
  await assert.rejects(letters.get('shop/orders', 'x'), { code: 'ETL_NOT_FOUND' });
});
