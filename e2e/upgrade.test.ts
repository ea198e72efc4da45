// Another version, then another configuration: one member at a time, the leader last, while writes go on.

import assert from 'node:assert/strict';
import { assertGap } from './harness/gaps.ts';
import { assertRolled, recorded } from './harness/history.ts';
import { routerImage, tags } from './harness/images.ts';
import { kubectl } from './harness/kubectl.ts';
import { type Json, RouterCluster } from './harness/router-cluster.ts';
import { type Scenario, scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

/** Changes the spec, and sees in which order the pods go. */
async function roll(run: Scenario, cluster: RouterCluster, spec: Json): Promise<void> {
  const moments = await recorded(cluster, () =>
    run.step(Object.keys(spec).join(), async () => {
      await cluster.patch(spec);
      await cluster.ready(240_000);
    }),
  );
  assertRolled(moments, ['main-1', 'main-2', 'main-3']);
}

/** Members that start anew have nothing to say against the peers that the operator gave them. */
async function assertPeersTaken(namespace: string): Promise<void> {
  for (const name of ['main-1', 'main-2', 'main-3']) {
    const log = (await kubectl(['logs', name, '-n', namespace])).split('\n');
    assert.ok(
      log.some((line) => line.includes('"level":"info"')),
      `${name} says nothing`,
    );
    const warnings = log.filter((line) => /"level":"(warn|error)".*(node\.|--)peers/.test(line));
    assert.deepEqual(warnings, [], name);
  }
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
    const upgrade = await writer.phase();
    run.gap('version', upgrade);
    const pods = await cluster.pods();
    assert.ok(
      pods.every(({ spec }) => spec.containers[0]?.image === routerImage(tags().nextRouter)),
    );

    await roll(run, cluster, { logLevel: 'debug' });
    const change = await writer.phase();
    run.gap('configuration', change);

    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
    await assertPeersTaken(namespace);
    assertGap(upgrade, 'planned');
    assertGap(change, 'planned');
  },
  { timeoutMs: 900_000 },
);
