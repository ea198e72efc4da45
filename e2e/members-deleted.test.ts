// Two of three members at once: no majority, nothing is founded anew, and all is there again when they come back.

import assert from 'node:assert/strict';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

scenario('members-deleted', 'two members at once come back as they were', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const ids = await cluster.raftIds(3);
  const writer = await Writer.start({ namespace, cluster: 'main' });

  const leader = await cluster.leader();
  const pods = await cluster.pods();
  const gone = [leader, ...pods.map(({ metadata }) => metadata.name)]
    .filter((name, at, all) => all.indexOf(name) === at)
    .slice(0, 2);
  await run.step('replaced', async () => {
    await cluster.deletePods(...gone);
    const old = pods.filter(({ metadata }) => gone.includes(metadata.name));
    await Promise.all(old.map((pod) => cluster.replaced(pod)));
  });
  await run.step('ready', () => cluster.ready());

  // By the word of each: the status may still be that of before.
  assert.deepEqual(await cluster.raftIds(3), ids, 'every member is who it was');
  await writer.isAnswered();
  run.gap('two of three', await writer.phase());
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
});
