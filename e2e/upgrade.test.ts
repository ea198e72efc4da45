// Another version, then another configuration: one member at a time, the leader last, while writes go on.

import assert from 'node:assert/strict';
import { always } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { routerImage, tags } from './harness/images.ts';
import { isReady, type Pod, RouterCluster } from './harness/router-cluster.ts';
import { type Scenario, scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

const uidsOf = (pods: readonly Pod[]): readonly string[] =>
  pods.map(({ metadata }) => `${metadata.name} ${metadata.uid}`).sort();

/** Changes the spec, and counts all the while how many pods are not ready. */
async function roll(run: Scenario, cluster: RouterCluster, spec: object): Promise<void> {
  const before = uidsOf(await cluster.pods());
  await cluster.patch(spec as { [field: string]: unknown });
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      await always(
        'one member at a time',
        async () => {
          const ready = (await cluster.pods()).filter(isReady).length;
          return ready < 2 ? `${ready} pods are ready` : undefined;
        },
        { timeoutMs: 1000 },
      );
    }
  })();
  await run
    .step(Object.keys(spec).join(), () => cluster.ready(240_000))
    .finally(() => {
      isOver = true;
    });
  await watching;
  const after = uidsOf(await cluster.pods());
  assert.equal(after.length, before.length);
  assert.ok(
    after.every((each) => !before.includes(each)),
    'every pod is another one',
  );
}

scenario(
  'upgrade',
  'one member at a time, the leader last',
  async (run) => {
    const { namespace } = run;
    const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
    const { clusterID } = await cluster.ready();
    const writer = await Writer.start({ namespace, cluster: 'main' });

    await roll(run, cluster, { version: tags().nextRouter });
    const upgrade = await writer.phase('configuration');
    run.gap('version', upgrade);
    const pods = await cluster.pods();
    assert.ok(
      pods.every(({ spec }) => spec.containers[0]?.image === routerImage(tags().nextRouter)),
    );

    await roll(run, cluster, { logLevel: 'debug' });
    const change = await writer.phase('end');
    run.gap('configuration', change);

    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
    assertGap(upgrade, 'planned');
    assertGap(change, 'planned');
  },
  { timeoutMs: 900_000 },
);
