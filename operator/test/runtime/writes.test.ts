// What the runtime writes to objects: apply, finalizers, status. Each against others who write at the same time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEtlError, ManualClock } from '@etl-router/core';
import { isNotFound } from '../../src/runtime/api-error.ts';
import { Applier, appliedHashAnnotation, immutableFields } from '../../src/runtime/apply.ts';
import { addFinalizer, removeFinalizer } from '../../src/runtime/finalizers.ts';
import type { KubeKind, UntypedObject } from '../../src/runtime/kube-object.ts';
import { controllerReference } from '../../src/runtime/ownership.ts';
import { type Condition, withConditions } from '../../src/runtime/status.ts';
import type { Stored } from '../faulty-api-server/json.ts';
import { configMaps, objectOf, pods, refTo, startBench, widgets } from './harness.ts';

const statefulSets: KubeKind = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  plural: 'statefulsets',
  namespaced: true,
};
const finalizer = 'etl.router/test';
const conflict = (error: unknown): boolean => isEtlError(error) && error.code === 'ETL_CONFLICT';

test('what would change nothing is not sent', async (t) => {
  const { server, client } = await startBench(t);
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const desired = objectOf(configMaps, 'main', { data: { a: '1', b: undefined } });
  const first = await applier.apply<UntypedObject>(configMaps, desired);
  assert.equal(first.outcome, 'applied');
  assert.match(first.object.metadata.annotations?.[appliedHashAnnotation] ?? '', /^[0-9a-f]{32}$/);
  const writes = server.writes.length;
  for (let time = 0; time < 5; time++) {
    assert.equal(
      (await applier.apply(configMaps, desired, { cached: first.object })).outcome,
      'unchanged',
    );
  }
  assert.equal(server.writes.length, writes);
});

test('who edits a field that is ours finds it as it was; a field of theirs stays', async (t) => {
  const { server, client } = await startBench(t);
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const desired = objectOf(configMaps, 'main', { data: { a: '1', args: ['x'] } });
  const { object } = await applier.apply<UntypedObject>(configMaps, desired);
  const key = { collection: '/api/v1/configmaps', namespace: 'shop', name: 'main' };
  const edited = {
    ...structuredClone(server.store.get(key)),
    data: { a: 'edited', args: ['x', 'y'], theirs: '2' },
  } as Stored;
  server.store.replace(key, edited);
  const cached = await client.get<UntypedObject>(refTo(configMaps, 'main'));
  const reverted = await applier.apply<UntypedObject>(configMaps, desired, { cached });
  assert.equal(reverted.outcome, 'applied');
  assert.deepEqual(reverted.object['data'], { a: '1', args: ['x'], theirs: '2' });
  assert.equal(reverted.object.metadata.uid, object.metadata.uid);
});

test('what is no longer wanted goes', async (t) => {
  const { client } = await startBench(t);
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const { object } = await applier.apply<UntypedObject>(
    configMaps,
    objectOf(configMaps, 'main', { data: { a: '1', b: '2' } }),
  );
  const after = await applier.apply<UntypedObject>(
    configMaps,
    objectOf(configMaps, 'main', { data: { a: '1' } }),
    { cached: object },
  );
  assert.deepEqual(after.object['data'], { a: '1' });
});

test('what the server puts in other words and adds defaults to is not sent again', async (t) => {
  const { server, client } = await startBench(t);
  server.store.validations.set('pods', (next) => {
    const spec = next['spec'] as { containers: { [field: string]: unknown }[] };
    for (const container of spec.containers) {
      container['cpu'] = '1';
      container['terminationMessagePath'] = '/dev/termination-log';
    }
    return undefined;
  });
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const desired = objectOf(pods, 'main', {
    spec: { containers: [{ name: 'router', cpu: '1000m' }] },
  });
  const { object } = await applier.apply<UntypedObject>(pods, desired);
  assert.equal((await applier.apply(pods, desired, { cached: object })).outcome, 'unchanged');
  const drifted = structuredClone(object) as UntypedObject & {
    spec: { containers: { cpu: string }[] };
  };
  (drifted.spec.containers[0] as { cpu: string }).cpu = '7';
  assert.equal((await applier.apply(pods, desired, { cached: drifted })).outcome, 'applied');
});

test('a cache that has not seen the own write makes no second object', async (t) => {
  const { server, client } = await startBench(t);
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const desired = objectOf(configMaps, 'main', { data: { a: '1' } });
  const first = await applier.apply(configMaps, desired);
  const second = await applier.apply(configMaps, desired, { cached: undefined });
  assert.equal(second.outcome, 'unchanged');
  assert.equal(second.object.metadata.uid, first.object.metadata.uid);
  assert.equal(server.store.list('/api/v1/configmaps').length, 1);
});

test('an object of that name that somebody else made is left alone', async (t) => {
  const { server, client } = await startBench(t);
  const owner = await client.create(widgets, objectOf(widgets, 'main'));
  await client.create(configMaps, objectOf(configMaps, 'main', { data: { a: 'theirs' } }));
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const metadata = { ownerReferences: [controllerReference(owner)] };
  const writes = server.writes.length;
  const desired = objectOf(configMaps, 'main', { metadata, data: { a: 'ours' } });
  assert.equal((await applier.apply(configMaps, desired)).outcome, 'foreign');
  assert.equal(server.writes.length, writes);
});

test('the objects of an owner that was deleted and made anew are not those of the new one', async (t) => {
  const { server, client } = await startBench(t);
  const old = await client.create(widgets, objectOf(widgets, 'main'));
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const child = (owner: UntypedObject): UntypedObject =>
    objectOf(configMaps, 'main', { metadata: { ownerReferences: [controllerReference(owner)] } });
  const { object } = await applier.apply(configMaps, child(old));
  await client.delete(refTo(widgets, 'main'), { uid: old.metadata.uid });
  assert.equal(server.store.list('/api/v1/configmaps').length, 0, 'collected with its owner');
  const anew = await client.create(widgets, objectOf(widgets, 'main'));
  assert.equal(
    (await applier.apply(configMaps, child(anew), { cached: object })).outcome,
    'foreign',
    'the cache still shows the old one',
  );
  const made = await applier.apply(configMaps, child(anew));
  assert.equal(made.outcome, 'applied');
  assert.notEqual(made.object.metadata.uid, object.metadata.uid);
});

test('a field that never changes is told, and replacing the object leaves what it owns', async (t) => {
  const { server, client } = await startBench(t);
  server.store.validations.set('statefulsets', (next, before) => {
    const templatesOf = (object: Stored | undefined): string =>
      JSON.stringify(
        (object?.['spec'] as { volumeClaimTemplates?: unknown } | undefined)?.volumeClaimTemplates,
      );
    return before !== undefined && templatesOf(before) !== templatesOf(next)
      ? "spec: updates to statefulset spec for fields other than 'replicas' are forbidden"
      : undefined;
  });
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const sized = (size: string): UntypedObject =>
    objectOf(statefulSets, 'main', { spec: { volumeClaimTemplates: [{ size }] } });
  const { object } = await applier.apply(statefulSets, sized('1Gi'));
  const pod = objectOf(pods, 'main-0', {
    metadata: { ownerReferences: [controllerReference(object)] },
  });
  await client.create(pods, pod);
  const refused = await applier.apply(statefulSets, sized('2Gi'), { cached: object });
  assert.ok(refused.outcome === 'immutable');
  assert.deepEqual(refused.fields, ['spec']);
  await applier.orphan(statefulSets, refused.object);
  await client.get(refTo(pods, 'main-0'));
  assert.equal((await applier.apply(statefulSets, sized('2Gi'))).outcome, 'applied');
});

test('any other refusal is an error, not an immutable field', async (t) => {
  const { server, client } = await startBench(t);
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const { object } = await applier.apply(configMaps, objectOf(configMaps, 'main'));
  server.store.validations.set('configmaps', () => 'data.a: Required value');
  const changed = objectOf(configMaps, 'main', { data: { b: '1' } });
  await assert.rejects(
    applier.apply(configMaps, changed, { cached: object }),
    (error) =>
      immutableFields(error).length === 0 &&
      isEtlError(error) &&
      error.code === 'ETL_INVALID_ARGUMENT',
  );
});

test('finalizers of others stay, whoever writes in between', async (t) => {
  const { server, client } = await startBench(t);
  const key = { collection: '/apis/example.test/v1/widgets', namespace: 'shop', name: 'main' };
  const options = { client, kind: widgets, finalizer };
  const read = await client.create(
    widgets,
    objectOf(widgets, 'main', { metadata: { finalizers: ['other/one'] } }),
  );
  const touched = structuredClone(server.store.get(key));
  touched.metadata['finalizers'] = ['other/two', 'other/one'];
  server.store.replace(key, touched);
  const bearing = await addFinalizer(options, read);
  assert.deepEqual(bearing.metadata.finalizers, ['other/two', 'other/one', finalizer]);
  const writes = server.writes.length;
  await addFinalizer(options, bearing);
  assert.equal(server.writes.length, writes, 'it is there already');
  const less = structuredClone(server.store.get(key));
  less.metadata['finalizers'] = ['other/one', finalizer];
  server.store.replace(key, less);
  await removeFinalizer(options, bearing);
  assert.deepEqual(server.store.get(key).metadata['finalizers'], ['other/one']);
});

test('a finalizer that came meanwhile is not overwritten by the first one of ours', async (t) => {
  const { client } = await startBench(t);
  const read = await client.create(widgets, objectOf(widgets, 'main'));
  await addFinalizer({ client, kind: widgets, finalizer: 'other/one' }, read);
  const bearing = await addFinalizer({ client, kind: widgets, finalizer }, read);
  assert.deepEqual(bearing.metadata.finalizers, ['other/one', finalizer]);
});

test('nothing is begun for an object that is being deleted, or is another one by now', async (t) => {
  const { client } = await startBench(t);
  const options = { client, kind: widgets, finalizer };
  const first = await client.create(
    widgets,
    objectOf(widgets, 'main', { metadata: { finalizers: ['other/one'] } }),
  );
  await client.delete(refTo(widgets, 'main'));
  await assert.rejects(addFinalizer(options, first), conflict);
  await removeFinalizer({ ...options, finalizer: 'other/one' }, first);
  await assert.rejects(client.get(refTo(widgets, 'main')), isNotFound);
  await assert.rejects(addFinalizer(options, first), conflict);
  await client.create(widgets, objectOf(widgets, 'main'));
  await assert.rejects(addFinalizer(options, first), conflict);
  await removeFinalizer(options, first);
  assert.equal((await client.get(refTo(widgets, 'main'))).metadata.finalizers, undefined);
});

test('a patch that took effect though its answer was lost is found to have taken effect', async (t) => {
  const { server, client } = await startBench(t);
  const options = { client, kind: widgets, finalizer };
  const read = await client.create(widgets, objectOf(widgets, 'main'));
  server.faults.add({ verb: 'patch' }, { do: 'reset-after' }, 1);
  await assert.rejects(
    addFinalizer(options, read),
    (error) => isEtlError(error) && error.retryable,
  );
  const bearing = await addFinalizer(options, read);
  assert.deepEqual(bearing.metadata.finalizers, [finalizer]);
});

test('the time of a condition changes with its status and with nothing else', () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const unknown = { status: 'Unknown', reason: 'Pending', message: 'not looked at yet' } as const;
  const claims = ['Ready', 'Available'].map((type) => ({ type, ...unknown }));
  const first = withConditions(undefined, claims, { generation: 1, clock });
  assert.deepEqual(first[0], {
    type: 'Ready',
    status: 'Unknown',
    reason: 'Pending',
    message: 'not looked at yet',
    observedGeneration: 1,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  });
  clock.advance(60_000);
  const second = withConditions(first, [{ type: 'Ready', status: 'True', reason: 'Fine' }], {
    generation: 2,
    clock,
  });
  clock.advance(60_000);
  const third = withConditions(
    second,
    [{ type: 'Ready', status: 'True', reason: 'StillFine', message: 'so it is' }],
    { generation: 3, clock },
  );
  const ready = third[0] as Condition;
  assert.deepEqual(
    [ready.lastTransitionTime, ready.reason, ready.observedGeneration],
    ['2026-01-01T00:01:00Z', 'StillFine', 3],
  );
  assert.deepEqual(third[1], first[1], 'what is not claimed stays');
  assert.equal(
    withConditions(
      third,
      [{ type: 'Ready', status: 'False', reason: 'Long', message: 'x'.repeat(40_000) }],
      { clock },
    )[0]?.message.length,
    32_768,
  );
});
