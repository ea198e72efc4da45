// What a deletion takes and what it leaves, and how it goes on where it is refused.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { JsonObject } from '../faulty-api-server/json.ts';
import { Bench } from './bench.ts';

const bindingsPath = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';

test('a cluster that is deleted takes its binding along and leaves its volumes', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  assert.equal(bench.server.store.list(bindingsPath).length, 1);
  bench.delete();
  await bench.until(() => bench.cluster === undefined, 'gone');
  assert.equal(bench.server.store.list(bindingsPath).length, 0);
  assert.equal(bench.server.store.list('/apis/apps/v1/statefulsets').length, 0);
  assert.equal(bench.server.store.list('/api/v1/persistentvolumeclaims').length, 3);
});

const claimsPath = '/api/v1/persistentvolumeclaims';

/** A cluster of three that is ready and takes its volumes along. */
async function startMortal(t: TestContext): Promise<Bench> {
  const bench = await Bench.start(t);
  const retention = { whenDeleted: 'delete', whenScaled: 'delete' } as const;
  bench.declare({ replicas: 3, storage: { size: '10Gi', retention } });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  return bench;
}

/** Claims that nobody deleted. */
function keptClaims({ server }: Bench): number {
  return server.store
    .list(claimsPath)
    .filter(({ metadata }) => metadata['deletionTimestamp'] === undefined).length;
}

test('volumes go with a cluster that says so, and not with its StatefulSet', async (t) => {
  const bench = await startMortal(t);
  const { store } = bench.server;
  const [set] = store.list('/apis/apps/v1/statefulsets');
  assert.deepEqual(
    (set?.['spec'] as JsonObject | undefined)?.['persistentVolumeClaimRetentionPolicy'],
    { whenDeleted: 'Retain', whenScaled: 'Retain' },
  );
  assert.equal(keptClaims(bench), 3);
  const key = { collection: claimsPath, namespace: 'shop', name: 'data-main-2' };
  const path = '/metadata/labels/etl.router~1cluster-uid';
  const labels = store.get(key).metadata['labels'] as JsonObject;
  assert.equal(labels['etl.router/cluster-uid'], bench.cluster?.metadata.uid);
  store.patch(key, [{ op: 'replace', path, value: 'an earlier one' }]);
  bench.delete();
  await bench.until(() => bench.cluster === undefined, 'gone');
  assert.equal(keptClaims(bench), 1);
  // A StatefulSet that is still there makes claims anew.
  const deletions = bench.writes.filter((write) => write.startsWith('delete'));
  const first = (part: string): number => deletions.findIndex((write) => write.includes(part));
  const order = [first('/statefulsets/'), first('/persistentvolumeclaims/')];
  assert.ok(order[0] !== -1 && (order[0] ?? 0) < (order[1] ?? 0), deletions.join('\n'));
});

test('a deletion that leaves orphans leaves them volumes and rights', async (t) => {
  const bench = await startMortal(t);
  bench.delete(['orphan']);
  await bench.until(() => !bench.isHeld, 'let go of');
  assert.equal(keptClaims(bench), 3);
  assert.equal(bench.server.store.list(bindingsPath).length, 1);
});

/** As the garbage collector does it: first the owner is taken off what was made, then the mark off the cluster. */
function orphan(bench: Bench): void {
  const { store } = bench.server;
  const sets = '/apis/apps/v1/statefulsets';
  for (const set of store.list(sets))
    store.patch({ collection: sets, namespace: 'shop', name: set.metadata.name }, [
      { op: 'remove', path: '/metadata/ownerReferences' },
    ]);
  bench.dropFinalizer('orphan');
}

for (const isAway of [false, true])
  test(`a deletion that leaves orphans leaves them volumes and rights, when the operator ${isAway ? 'was away' : 'looks late'}`, async (t) => {
    const bench = await startMortal(t);
    if (isAway) await bench.stopOperators();
    bench.delete(['orphan']);
    orphan(bench);
    if (isAway) await bench.operator();
    await bench.until(() => !bench.isHeld, 'let go of');
    assert.equal(keptClaims(bench), 3);
    assert.equal(bench.server.store.list(bindingsPath).length, 1);
    assert.equal(bench.server.store.list('/apis/apps/v1/statefulsets').length, 1);
  });

test('a volume that is made while its cluster is being deleted goes, too', async (t) => {
  const bench = await startMortal(t);
  const { store } = bench.server;
  const key = { collection: claimsPath, namespace: 'shop', name: 'data-main-2' };
  const { metadata, ...claim } = structuredClone(store.get(key));
  bench.delete();
  const isSetGone = (): boolean => store.list('/apis/apps/v1/statefulsets').length === 0;
  await bench.until(isSetGone, 'the StatefulSet is gone');
  const { labels } = metadata;
  store.create({ ...key, name: 'data-main-4' }, {
    ...claim,
    metadata: { name: 'data-main-4', namespace: 'shop', labels },
  } as never);
  await bench.until(() => bench.cluster === undefined, 'gone');
  assert.equal(keptClaims(bench), 0);
});

test('a deletion that fails for a while is told, and goes on within a minute', async (t) => {
  const bench = await startMortal(t);
  const { faults } = bench.server;
  const fault = { do: 'status', status: 500, reason: 'InternalError' } as const;
  faults.add({ verb: 'delete', plural: 'persistentvolumeclaims' }, fault);
  bench.delete();
  await bench.pass(300_000);
  const message = bench.status.conditions?.find(({ type }) => type === 'Ready')?.message;
  assert.match(message ?? '', /^The cluster is being deleted, which fails: delete .*500/);
  faults.clear();
  const fromMs = bench.clock.monotonicMs();
  await bench.until(() => bench.cluster === undefined, 'gone');
  assert.ok(bench.clock.monotonicMs() - fromMs < 70_000);
});

test('volumes of members that a smaller cluster of the name does not take over are kept, all of them', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 5 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'five');
  bench.delete();
  await bench.until(() => bench.cluster === undefined, 'gone');
  await bench.pass(20_000);
  bench.declare({ replicas: 3 });
  await bench.until(() => bench.isReady, 'three');
  await bench.pass(20_000);
  assert.equal(keptClaims(bench), 5);
});

test('a volume that may not be deleted holds its cluster, which says so and how to get on', async (t) => {
  const bench = await startMortal(t);
  const { faults } = bench.server;
  const refusal = { do: 'status', status: 403, reason: 'Forbidden' } as const;
  faults.add({ verb: 'delete', plural: 'persistentvolumeclaims' }, refusal);
  bench.delete();
  const says = (): boolean =>
    bench.status.conditions?.some(({ message }) => message.includes('whenDeleted to retain')) ===
    true;
  await bench.until(says, 'says so');
  assert.equal(bench.condition('Ready'), 'False Deleting');
  assert.equal(bench.isHeld, true);
  faults.clear();
  await bench.until(() => bench.cluster === undefined, 'gone');
  assert.equal(keptClaims(bench), 0);
});
