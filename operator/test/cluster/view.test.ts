import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toClaimView, toPodView, toStatefulSetView } from '../../src/cluster/view.ts';
import type { KubeObject, UntypedObject } from '../../src/runtime/kube-object.ts';

const nowMs = Date.parse('2026-01-01T01:00:00Z');

function podObject(fields: object, metadata: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...{ name: 'main-2', uid: 'u', resourceVersion: '9' },
      ...{ creationTimestamp: '2026-01-01T00:50:00Z' },
      ...metadata,
    },
    ...fields,
  };
}

const scheduled = { type: 'PodScheduled', status: 'True' };

test('a pod that is ready, with what it was started with', () => {
  const ready = { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:51:00Z' };
  const object = podObject(
    {
      spec: {
        containers: [
          { name: 'a-proxy', image: 'proxy:9' },
          { name: 'router', image: 'example.io:5000/etl/router:0.2.0@sha256:abc' },
        ],
      },
      status: {
        conditions: [scheduled, ready],
        containerStatuses: [
          { name: 'a-proxy', state: { waiting: { reason: 'PodInitializing' } } },
          { name: 'router', state: { running: {} } },
        ],
      },
    },
    { annotations: { 'etl.router/revision': 'r1' } },
  );
  assert.deepEqual(toPodView('main', object, nowMs), {
    ...{ name: 'main-2', ordinal: 2, uid: 'u', resourceVersion: '9' },
    unreadySinceMs: Date.parse('2026-01-01T00:51:00Z'),
    ...{ ready: true, running: true, waitsFor: undefined },
    ...{ terminating: false, isStuck: false, isForced: false },
    ...{ revision: 'r1', version: '0.2.0', unrecoverable: false },
  });
});

test('a pod that waits says for what', () => {
  const waiting = (reason: string) => ({ name: 'router', state: { waiting: { reason } } });
  const reasonOf = (status: object) => toPodView('main', podObject({ status }), nowMs)?.waitsFor;
  assert.equal(
    reasonOf({ conditions: [scheduled], containerStatuses: [waiting('ImagePullBackOff')] }),
    'ImagePullBackOff',
  );
  assert.equal(reasonOf({ conditions: [], reason: 'Evicted' }), 'Evicted');
  assert.equal(reasonOf({}), 'Unschedulable');
  const fresh = toPodView('main', podObject({}), nowMs);
  assert.deepEqual(
    [fresh?.ready, fresh?.running, fresh?.unreadySinceMs],
    [false, false, Date.parse('2026-01-01T00:50:00Z')],
  );
});

test('a pod that should have ended a minute ago is stuck', () => {
  const ending = (deletionTimestamp: string) =>
    toPodView('main', podObject({}, { deletionTimestamp }), nowMs);
  assert.deepEqual(
    ['2026-01-01T00:58:59Z', '2026-01-01T00:59:30Z', '2026-01-01T01:01:00Z'].map((time) => [
      ending(time)?.terminating,
      ending(time)?.isStuck,
    ]),
    [
      [true, true],
      [true, false],
      [true, false],
    ],
  );
});

test('a pod that was given no time to end was deleted by force', () => {
  const deletionTimestamp = '2026-01-01T00:58:59Z';
  for (const [seconds, isForced] of [
    [0, true],
    [90, false],
    [undefined, false],
  ] as const) {
    const marks = { deletionTimestamp, deletionGracePeriodSeconds: seconds };
    assert.equal(toPodView('main', podObject({}, marks), nowMs)?.isForced, isForced);
  }
  assert.equal(toPodView('main', podObject({}), nowMs)?.isForced, false);
});

test('what bears another name is not the cluster’s', () => {
  const pods = ['main-0', 'main-x', 'main', 'maine-1', 'other-main-1', 'main-1-1'];
  for (const name of pods)
    assert.equal(toPodView('main', podObject({}, { name }), nowMs), undefined);
  const claims = ['main-1', 'data-main-0', 'data-other-1', 'data-main-x', 'logs-main-1'];
  for (const name of claims) assert.equal(toClaimView('main', podObject({}, { name })), undefined);
});

test('a claim says what was asked for', () => {
  const spec = { resources: { requests: { storage: '10Gi' } } };
  const metadata = {
    ...{ name: 'data-main-3', deletionTimestamp: '2026-01-01T00:00:00Z' },
    labels: {
      'etl.router/cluster-uid': 'of-the-cluster',
      'etl.router/unrecoverable': 'by-the-cluster',
    },
  };
  assert.deepEqual(toClaimView('main', podObject({ spec }, metadata)), {
    ...{ name: 'data-main-3', ordinal: 3, uid: 'u', terminating: true, size: '10Gi' },
    ...{ owner: 'of-the-cluster', givenUpBy: 'by-the-cluster' },
  });
});

test('a StatefulSet that somebody emptied is read as far as it goes', () => {
  const object: UntypedObject = {
    ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'main', generation: 2 } },
    status: { observedGeneration: 1 },
  };
  assert.deepEqual(toStatefulSetView(object), {
    ...{ replicas: 1, revision: undefined, founders: undefined, claimSize: undefined },
    isObserved: false,
  });
});
