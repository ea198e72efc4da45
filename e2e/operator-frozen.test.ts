// The operator that leads stands still in the middle of a change. Another one takes over; the first wakes and changes
// nothing any more.

import assert from 'node:assert/strict';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { leadingOperator, operatorIsUp, operatorNamespace } from './harness/installation.ts';
import { machine } from './harness/machine.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

scenario('operator-frozen', 'one that wakes does not act beside its successor', async (run) => {
  const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 1 });
  const { clusterID } = await cluster.ready();
  const writer = await Writer.start({ namespace: run.namespace, cluster: 'main' });
  const first = await leadingOperator();

  await cluster.scale(3);
  await eventually('a change is under way', async () => (await cluster.status()).operation);
  await machine('freeze', `${operatorNamespace}/${first}`);
  try {
    await run.step('another one leads', () =>
      eventually('another one leads', async () => (await leadingOperator()) !== first),
    );
  } finally {
    await machine('thaw', `${operatorNamespace}/${first}`);
  }
  await run.step('ready', () => cluster.ready(240_000));
  assert.deepEqual(await cluster.voters(), ['main-1', 'main-2', 'main-3']);
  assert.notEqual(await leadingOperator(), first);
  await operatorIsUp();
  const phase = await writer.phase('end');
  run.gap('frozen', phase);
  assertGap(phase, 'planned');
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
});
