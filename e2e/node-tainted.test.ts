// A node takes no pods, as a control plane does: it does not count as one that lacks a member.

import assert from 'node:assert/strict';
import { kubectl, list } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';

scenario('node-tainted', 'members spread over the nodes that take pods', async (run) => {
  const [tainted, ...others] = (await list('nodes')).map(({ metadata }) => metadata.name);
  assert.ok(tainted !== undefined && others.length === 2, 'this needs three nodes');
  await kubectl(['taint', 'node', tainted, 'e2e.etl.router/tainted=:NoSchedule']);
  try {
    const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 3 });
    await run.step('ready', () => cluster.ready());
    const nodes = (await cluster.pods()).map(({ spec }) => spec.nodeName);
    assert.equal(nodes.length, 3);
    assert.deepEqual(new Set(nodes), new Set(others));
  } finally {
    await kubectl(['taint', 'node', tainted, 'e2e.etl.router/tainted-']);
  }
});
