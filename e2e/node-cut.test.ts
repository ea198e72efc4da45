// The link of the leader's node goes and comes back: the majority goes on without it, and it follows again.

import assert from 'node:assert/strict';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { machine, needsMachines, nodeIs, nodeNumber } from './harness/machine.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

await needsMachines('node-cut');

scenario('node-cut', 'the majority goes on, and the member follows again', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const leader = await cluster.leader();
  const pods = await cluster.pods();
  const node = pods.find(({ metadata }) => metadata.name === leader)?.spec.nodeName ?? '';
  const other = pods.find(({ spec }) => spec.nodeName !== node)?.spec.nodeName ?? '';
  const writer = await Writer.start({ namespace, cluster: 'main', node: other });
  try {
    await machine('cut', nodeNumber(node));
    await run.step('node is not ready', () => nodeIs(node, false));
    await run.step('another member leads', () =>
      eventually('another member leads', async () => {
        const now = (await cluster.status()).leader?.name;
        return now !== undefined && now !== leader;
      }),
    );
    await cluster.is('Available', 'True');
    await cluster.is('Ready', 'False');
    run.note('Ready', await cluster.condition('Ready'));
    await writer.isAnswered();
    const phase = await writer.phase();
    run.gap('leader cut off', phase);
    assertGap(phase, 'unreachable');
  } finally {
    await machine('heal', nodeNumber(node));
  }
  await run.step('ready again', async () => {
    await nodeIs(node, true);
    await cluster.ready();
  });
  const healed = await writer.phase();
  run.gap('healed', healed);
  assertGap(healed, 'kill');
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
  assert.deepEqual(await cluster.voters(), ['main-1', 'main-2', 'main-3']);
});
