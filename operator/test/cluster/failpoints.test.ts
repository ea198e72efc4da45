// An operator that dies between any two of its steps: the next one goes on from what it sees, and nothing is done that
// the model forbids. Where it can die is read from the code: a step that no life here comes to fails its test.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import { certificateSteps } from '../../src/certificates/rotation.ts';
import { annotations, clusterUidLabel } from '../../src/cluster/names.ts';
import { actKinds } from '../../src/cluster/step.ts';
import { failpoints, parseFailpoint } from '../../src/failpoint.ts';
import { Bench, type RunningOperator } from './bench.ts';

const minuteMs = 60_000;
const configMaps = '/api/v1/configmaps';
const claims = '/api/v1/persistentvolumeclaims';

/** What happens to a cluster, one thing after the other, while its operator lives. */
type Life = (bench: Bench, first: RunningOperator) => AsyncGenerator<void>;

const inClaims = { collection: claims, namespace: 'shop', name: 'data-main-1' };
const retention = { whenDeleted: 'retain', whenScaled: 'delete' } as const;

/**
 * It grows, its volumes too, one of which comes from an earlier cluster; it is upgraded and shrinks; a member is
 * given up, and all of it deleted.
 */
async function* changes(bench: Bench, first: RunningOperator): AsyncGenerator<void> {
  const ready = (what: string): Promise<void> =>
    bench.until(() => first.dead || bench.isReady, what);
  await ready('founded');
  yield;
  for (const spec of [{ replicas: 3 }, { storage: { size: '20Gi', retention } }]) {
    bench.change(spec);
    await ready(JSON.stringify(spec));
    yield;
  }
  await bench.until(() => first.dead || sizesOf(bench).every((size) => size === '20Gi'), 'grown');
  yield;
  const path = `/metadata/labels/${clusterUidLabel.replace('/', '~1')}`;
  bench.server.store.patch(inClaims, [{ op: 'replace', path, value: 'an earlier one' }]);
  await bench.until(() => first.dead || isAdopted(bench), 'taken over');
  yield;
  for (const spec of [{ version: 'v2' }, { replicas: 1 }, { replicas: 3 }]) {
    bench.change(spec);
    await ready(JSON.stringify(spec));
    yield;
  }
  await giveUp(bench, first);
  yield;
  bench.delete();
  await bench.until(() => first.dead || bench.cluster === undefined, 'gone');
}

/** It is founded, and its authority ends soon enough for another one to take its place. */
async function* certificates(bench: Bench, first: RunningOperator): AsyncGenerator<void> {
  await bench.until(() => first.dead || bench.isReady, 'founded');
  yield;
  const tls = { certificateDuration: '24h', renewBefore: '8h', authorityDuration: '2160h' };
  bench.change({ tls });
  for (let atMs = 0; atMs < 8 * minuteMs && !first.dead; atMs += 1000) await bench.pass(1000, 30);
}

/** Somebody says of a pod that what it stores is damaged. */
async function giveUp(bench: Bench, first: RunningOperator): Promise<void> {
  const { world } = bench.standIn;
  const pod = world.pods.get(3);
  assert.ok(pod !== undefined);
  const key = { collection: '/api/v1/pods', namespace: 'shop', name: 'main-3' };
  const path = `/metadata/annotations/${annotations.unrecoverable.replace('/', '~1')}`;
  bench.server.store.patch(key, [{ op: 'add', path, value: 'true' }]);
  const isReplaced = (): boolean => bench.isReady && world.claims.get(3) !== pod.claim;
  await bench.until(() => first.dead || isReplaced(), 'replaced');
}

function sizesOf(bench: Bench): readonly string[] {
  return [...bench.standIn.world.claims.values()].map(({ size }) => size);
}

function isAdopted(bench: Bench): boolean {
  const { labels } = bench.server.store.get(inClaims).metadata as {
    labels?: { readonly [name: string]: string };
  };
  return labels?.[clusterUidLabel] === bench.cluster?.metadata.uid;
}

/** Lives a life until the operator dies at the place, and sees that another one brings the cluster to what it is to be. */
async function dieAt(t: TestContext, place: string, life: Life): Promise<Bench> {
  const bench = await Bench.start(t, 10 * minuteMs);
  const tls = { certificateDuration: '12h', renewBefore: '4h', authorityDuration: '24h' };
  bench.declare({ replicas: 1, tls, storage: { size: '10Gi', retention } });
  const first = await bench.operator({ failpoint: place });
  const steps = life(bench, first);
  while (!first.dead && (await steps.next()).done !== true);
  assert.ok(first.dead, `nothing in this life comes to ${place}`);
  await bench.operator({ failpoint: place });
  if (bench.cluster?.metadata.deletionTimestamp !== undefined)
    await bench.until(() => bench.cluster === undefined, 'gone');
  else await bench.until(() => bench.isReady, 'ready again');
  return bench;
}

const kindsOfActs = actKinds.filter((kind) => kind !== 'record');
const plain = failpoints.filter((each) => !/-(?:act|certificate)$/.test(each));

for (const place of [
  ...plain,
  ...kindsOfActs.flatMap((kind) => [`before-act:${kind}`, `after-act:${kind}`]),
]) {
  test(`an operator that dies at ${place} loses nothing`, async (t) => {
    await dieAt(t, place, changes);
  });
}

for (const place of certificateSteps.flatMap((kind) => [
  `before-certificate:${kind}`,
  `after-certificate:${kind}`,
])) {
  test(`an operator that dies at ${place} leaves certificates that the next one goes on with`, async (t) => {
    const bench = await dieAt(t, place, certificates);
    const key = { collection: configMaps, namespace: 'shop', name: 'main-ca' };
    const believed = (): number => {
      const { 'ca.crt': text = '' } = bench.server.store.get(key)['data'] as {
        readonly [name: string]: string;
      };
      return text.split('BEGIN').length - 1;
    };
    for (let atMs = 0; atMs < 8 * minuteMs && believed() !== 1; atMs += 1000)
      await bench.pass(1000, 30);
    assert.equal(believed(), 1, 'who signed before is believed no more');
    await bench.until(() => bench.condition('CertificatesReady').startsWith('True'), 'in order');
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
