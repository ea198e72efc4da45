// A cluster of one, and one of three, from nothing to the first answered document.

import assert from 'node:assert/strict';
import { askGraphQL, readDocuments } from './harness/graphql.ts';
import { get, kubectl, list } from './harness/kubectl.ts';
import { allNodes, spreadObstacle, takesPods } from './harness/nodes.ts';
import { isReady, RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

scenario('bootstrap', 'three members found one cluster and answer', async (run) => {
  const { namespace } = run;
  const nodes = await allNodes();
  const obstacle = spreadObstacle(nodes, 3);
  assert.equal(obstacle, undefined, obstacle);
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const status = await run.step('ready', () => cluster.ready());

  assert.deepEqual(await cluster.voters(), ['main-1', 'main-2', 'main-3']);
  await cluster.isStill(status.clusterID);
  assert.ok((status.term ?? 0) >= 1);
  const pods = await cluster.pods();
  assert.equal(pods.filter(isReady).length, 3);
  assert.equal(
    new Set(pods.map(({ spec }) => spec.nodeName)).size,
    Math.min(3, nodes.filter(takesPods).length),
    'spread over the nodes',
  );
  const line = await kubectl(['get', 'erc', 'main', '-n', namespace, '--no-headers']);
  run.note('kubectl get erc', line.trim().replace(/ +/g, ' '));
  assert.match(line, new RegExp(`main +True +3 +${status.leader?.name} +${status.term} `));

  await run.step('GraphQL through the Service', () =>
    askGraphQL(namespace, 'main', readDocuments()),
  );
  const budget = await get<{ metadata: { name: string }; status: { disruptionsAllowed: number } }>(
    'pdb',
    'main',
    namespace,
  );
  assert.equal(budget.status.disruptionsAllowed, 1);

  const writer = await Writer.start({ namespace, cluster: 'main' });
  run.gap('writes', await writer.finish());
  await run.step('deleted', () =>
    kubectl(['delete', 'erc', 'main', '-n', namespace, '--wait', '--timeout=100s'], {
      timeoutMs: 110_000,
    }),
  );
  assert.deepEqual(await cluster.claims(), ['data-main-1', 'data-main-2', 'data-main-3']);
  const bindings = await list('clusterrolebindings');
  assert.ok(!bindings.some(({ metadata }) => metadata.name.startsWith(`etl-router:${namespace}:`)));
});

scenario('bootstrap-one', 'one member is a cluster too', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'solo', { replicas: 1 });
  await run.step('ready', () => cluster.ready());
  assert.deepEqual(await cluster.voters(), ['solo-1']);
  await askGraphQL(namespace, 'solo', readDocuments());
});
