// The release is upgraded, rolled back and uninstalled: clusters go on as they are, and the kinds stay.

import assert from 'node:assert/strict';
import { assertGap } from './harness/gaps.ts';
import {
  helm,
  install,
  operatorIsUp,
  operatorName,
  operatorNamespace,
} from './harness/installation.ts';
import { kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

scenario('chart', 'an upgrade, a way back and an end without a touch on what runs', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const before = await cluster.runs();
  const writer = await Writer.start({ namespace, cluster: 'main' });
  const where = ['-n', operatorNamespace];

  await run.step('the same again, twice', async () => {
    await install();
    await install();
  });
  await run.step('other values', () => install({ replicaCount: 1 }));
  await run.step('rolled back', async () => {
    await helm(['rollback', operatorName, ...where, '--wait', '--timeout', '3m']);
    await operatorIsUp();
  });
  await cluster.readyAnew();

  try {
    await run.step('uninstalled', () => helm(['uninstall', operatorName, ...where, '--wait']));
    await kubectl(['get', 'crd', 'etlrouterclusters.etl.router']);
    assert.equal((await cluster.get()).metadata.deletionTimestamp, undefined);
    await writer.isAnswered();
  } finally {
    // Whoever comes next needs the operator too.
    await run.step('installed again', async () => {
      await install();
      await operatorIsUp();
    });
  }
  await cluster.readyAnew();
  assert.deepEqual(await cluster.runs(), before, 'no pod was touched');
  const phase = await writer.phase();
  assertGap(phase, 'planned');
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
});
