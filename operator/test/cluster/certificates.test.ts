// What happens to the certificates of a cluster by other hands than the operator's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './bench.ts';

const secrets = '/api/v1/secrets';

for (const name of ['main-ca', 'main-tls', 'main-operator-tls']) {
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
