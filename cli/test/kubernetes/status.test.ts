// `etlctl cluster status` of a cluster in Kubernetes: a line for each router, by its own word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from 'js-yaml';
import { etlctl, type Ran } from '../harness.ts';
import type { FakeKubernetes } from './kubernetes.ts';
import { cluster, clusterPath, conditions, pod, podPath, router, startShop } from './shop.ts';

async function status(kubernetes: FakeKubernetes, ...more: readonly string[]): Promise<Ran> {
  const kubeconfig = await kubernetes.kubeconfig();
  const args = ['cluster', 'status', '--kubeconfig', kubeconfig, '--cluster', 'shop/main'];
  return etlctl([...args, ...more]);
}

test('each router says its term and entry, and the leader how far behind it is', async (t) => {
  const kubernetes = await startShop(t);
  const { code, out, err } = await status(kubernetes);
  assert.deepEqual([code, err], [0, '']);
  assert.equal(
    out,
    `shop/main, cluster c-1: healthy
MEMBER   ROLE       TERM   INDEX   APPLIED   LAG   VERSION   HEALTH
main-1   follower   7      120     120       0     0.1.0     healthy
main-2   leader     7      120     120       0     0.1.0     healthy
main-3   follower   7      118     118       2     0.1.0     healthy
`,
  );
});

test('a script gets the same as an object', async (t) => {
  const kubernetes = await startShop(t);
  const { out } = await status(kubernetes, '-o', 'json');
  const answer = JSON.parse(out) as { cluster: string; routers: { pod: string; lag: string }[] };
  assert.equal(answer.cluster, 'shop/main');
  assert.deepEqual(
    answer.routers.map(({ pod, lag }) => [pod, lag]),
    [
      ['main-1', '0'],
      ['main-2', '0'],
      ['main-3', '2'],
    ],
  );
  assert.deepEqual(load((await status(kubernetes, '-o', 'yaml')).out), answer);
});

test('who is silent has a line too, and why', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.routers.delete('main-3');
  kubernetes.put(podPath('main-3'), pod(3, {}, false));
  kubernetes.routers.set('main-1', router(1, { members: [], leaderId: null }));
  const { code, out, err } = await status(kubernetes);
  assert.equal(code, 0);
  assert.match(out, /\nmain-1 {3}follower .* waiting\n/);
  assert.match(out, /\nmain-3 {3}- {10}- {6}- {7}- {9}- {5}- {9}silent\n/);
  assert.match(err, /^main-3: pod shop\/main-3 does not take connections on port 8080/);
});

test('a router that was removed is outside, and alone does not call the cluster unhealthy', async (t) => {
  const kubernetes = await startShop(t);
  const lost = { leaderId: null, raftId: '907', health: 'UNHEALTHY' };
  kubernetes.routers.set('main-3', router(3, lost));
  const among = await status(kubernetes);
  assert.match(among.out, /^shop\/main, cluster c-1: healthy\n/);
  assert.match(among.out, /\nmain-3 .* outside\n/);
  kubernetes.routers.delete('main-1');
  kubernetes.routers.delete('main-2');
  const alone = await status(kubernetes);
  assert.match(alone.out, /^shop\/main, cluster c-1: unknown\n/);
});

test('without a leader the members are away from it, and the cluster is unhealthy', async (t) => {
  const kubernetes = await startShop(t);
  for (const ordinal of [1, 2, 3])
    kubernetes.routers.set(
      `main-${ordinal}`,
      router(ordinal, { role: 'CANDIDATE', leaderId: null }),
    );
  const { out } = await status(kubernetes);
  assert.match(out, /: unhealthy\n/);
  assert.equal(out.match(/ away\n/g)?.length, 3);
});

test('members are changed by the operator, and by hand only while it pauses', async (t) => {
  const kubernetes = await startShop(t);
  const kubeconfig = await kubernetes.kubeconfig();
  const lines = [
    ['add', '4', 'main-4.main-peers.shop.svc:50052', '--raft-id', '904'],
    ['promote', '3'],
    ['remove', '3', '--yes'],
  ];
  const run = (line: readonly string[]): Promise<Ran> =>
    etlctl(['cluster', ...line, '--kubeconfig', kubeconfig, '--cluster', 'shop/main']);
  for (const line of lines) {
    const { code, err } = await run(line);
    assert.equal(code, 3);
    assert.match(err, /the operator decides about the members of shop\/main: set spec\.replicas/);
  }
  assert.equal(kubernetes.asked.length, 0);
  const paused = conditions.map((each) =>
    each['type'] === 'ReconciliationPaused' ? { ...each, status: 'True' } : each,
  );
  kubernetes.put(clusterPath, cluster('main', { conditions: paused }));
  for (const line of lines) await run(line);
  const mutations = kubernetes.asked.filter(({ query }) => query.startsWith('mutation'));
  assert.equal(mutations.length, 3);
});

test('when nobody answers it fails with the reason of the first', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.routers.clear();
  const { code, out, err } = await status(kubernetes);
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /^error: no router of shop\/main answers: pod shop\/main-1 does not take/);
});
