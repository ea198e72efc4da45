// An operator that dies between any two of its steps: the next one goes on from what it sees, and nothing is done that
// the model forbids.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import { failpoints, parseFailpoint } from '../../src/failpoint.ts';
import { Bench } from './bench.ts';

/** Each act, at its own place in the life of a cluster that grows, is upgraded and shrinks. */
const acts = [
  'setReplicas',
  'addLearner',
  'promote',
  'transferLeadership',
  'deletePod',
  'removeMember',
  'deleteClaim',
];
const places = [
  ...failpoints.filter((point) => !point.endsWith('-act')),
  ...acts.flatMap((act) => [`before-act:${act}`, `after-act:${act}`]),
];

for (const place of places) {
  test(`an operator that dies at ${place} loses nothing`, async (t) => {
    const bench = await Bench.start(t);
    bench.declare({ replicas: 1 });
    const first = await bench.operator({ failpoint: place });
    const live = async (): Promise<void> => {
      for (const spec of [{ replicas: 1 }, { replicas: 3 }, { version: 'v2' }, { replicas: 1 }]) {
        bench.change(spec);
        await bench.until(() => bench.isReady || first.dead, JSON.stringify(spec));
        if (first.dead) return;
      }
      bench.delete();
      await bench.until(() => first.dead, `${place} was passed`);
    };
    await live();
    await bench.operator({ failpoint: place });
    if (bench.cluster?.metadata.deletionTimestamp !== undefined) {
      await bench.until(() => bench.cluster === undefined, 'gone');
      return;
    }
    await bench.until(() => bench.isReady, 'ready again');
  });
}

test('a failpoint that there is not is refused with those that there are', () => {
  assert.deepEqual(parseFailpoint('after-act:promote#2'), {
    point: 'after-act',
    detail: 'promote',
  });
  assert.throws(
    () => parseFailpoint('after-lunch'),
    (error: unknown) => isEtlError(error) && error.message.includes('after-record'),
  );
});
