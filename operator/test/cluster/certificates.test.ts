// What happens to the certificates of a cluster by other hands than the operator's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './bench.ts';

const secrets = '/api/v1/secrets';
const minuteMs = 60_000;

for (const name of ['main-ca', 'main-tls', 'main-operator-client']) {
  test(`Secret ${name} is made anew when somebody deletes it`, async (t) => {
    const bench = await Bench.start(t);
    const { store } = bench.server;
    const key = { collection: secrets, namespace: 'shop', name };
    bench.declare({ replicas: 1 });
    await bench.operator();
    await bench.until(() => bench.isReady, 'ready');
    const { uid } = store.get(key).metadata;
    store.delete(key);
    await bench.until(() => store.find(key) !== undefined, `a new ${name}`);
    assert.notEqual(store.get(key).metadata.uid, uid);
  });
}

test('who may not renew certificates goes on with those that there are, and says so', async (t) => {
  const bench = await Bench.start(t);
  const { store, faults } = bench.server;
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  faults.add({ verb: 'create', plural: 'secrets' }, { do: 'status', status: 403 });
  store.delete({ collection: secrets, namespace: 'shop', name: 'main-ca' });
  await bench.until(() => bench.condition('CertificatesReady') === 'False Pending', 'the word');
  bench.change({ version: 'v2' });
  await bench.until(
    () => bench.status.currentVersion === 'v2' && bench.condition('Available').startsWith('True'),
    'upgraded all the same',
  );
});

test('members whose certificates ended because nobody may renew them are not told as lost', async (t) => {
  const bench = await Bench.start(t, 10 * minuteMs);
  const { pods } = bench.standIn.world;
  const tls = { certificateDuration: '12m', renewBefore: '5m', authorityDuration: '24m' };
  bench.declare({ replicas: 3, tls });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const writes = ['create', 'update', 'patch'] as const;
  bench.server.faults.add({ verb: writes, plural: 'secrets' }, { do: 'status', status: 403 });
  await bench.pass(8 * minuteMs, 30);
  await bench.until(() => bench.condition('CertificatesReady') === 'False Pending', 'the word');
  for (const pod of [...pods.values()].slice(1)) bench.standIn.world.loseNode(pod);
  await bench.until(
    () => bench.condition('Available') === 'False QuorumLost',
    'a majority is lost',
  );
  await bench.pass(6 * minuteMs, 30);
  assert.equal(bench.condition('Available'), 'False NoLeader');
});
