// One member, three, five, three again, while writes go on.

import assert from 'node:assert/strict';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { assertJoined, assertLeft, recorded } from './harness/history.ts';
import { kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, at) => `main-${at + 1}`);

scenario(
  'scale',
  'members join as learners and leave before their pods do',
  async (run) => {
    const { namespace } = run;
    const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 1 });
    const { clusterID } = await cluster.ready();
    const writer = await Writer.start({ namespace, cluster: 'main' });
    for (const [before, replicas] of [
      [1, 3],
      [3, 5],
      [5, 3],
    ] as const) {
      const moments = await recorded(cluster, () =>
        run.step(`to ${replicas}`, async () => {
          await cluster.scale(replicas);
          await cluster.ready(240_000);
        }),
      );
      assertJoined(moments, names(replicas).slice(before));
      assertLeft(moments, names(before).slice(replicas).reverse());
      assert.deepEqual(await cluster.voters(), names(replicas));
      await run.step(`pods and claims of ${replicas}`, () =>
        eventually('what left has no pod and no claim', async () => {
          const claims = await cluster.claims();
          const wanted = names(replicas).map((name) => `data-${name}`);
          return (await cluster.pods()).length === replicas && claims.join() === wanted.join();
        }),
      );
      const phase = await writer.phase();
      run.gap(`to ${replicas}`, phase);
      assertGap(phase, 'planned');
    }
    await assert.rejects(
      kubectl(['scale', 'erc/main', '-n', namespace, '--replicas=4']),
      /odd/,
      'four members are refused',
    );
    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
  },
  { timeoutMs: 900_000 },
);
