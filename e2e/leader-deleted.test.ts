// The pod that leads is deleted, politely and by force: another leads, writes go on, nothing that was answered is lost.

import assert from 'node:assert/strict';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

scenario('leader-deleted', 'another member leads within seconds', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const writer = await Writer.start({ namespace, cluster: 'main' });
  for (const how of ['deleted', 'killed'] as const) {
    const { term = 0 } = await cluster.status();
    const name = await cluster.leader();
    const pod = await cluster.pod(Number(name.slice('main-'.length)));
    const force = how === 'killed' ? ['--force', '--grace-period=0'] : [];
    await run.step(`leader ${how}`, async () => {
      await kubectl(['delete', 'pod', name, '-n', namespace, '--wait=false', ...force]);
      await cluster.replaced(pod);
    });
    await run.step(`ready after leader ${how}`, () => cluster.ready());
    await run.step(`another led after leader ${how}`, () =>
      eventually('another one leads', async () => {
        const now = await cluster.status();
        return now.leader?.name !== undefined && now.leader.name !== name && (now.term ?? 0) > term;
      }),
    );
    const phase = await writer.phase();
    run.gap(`leader ${how}`, phase);
    assertGap(phase, 'kill');
  }
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
  assert.deepEqual(await cluster.voters(), ['main-1', 'main-2', 'main-3']);
});
