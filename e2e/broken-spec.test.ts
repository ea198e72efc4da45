// A spec that can not work stops at one member; a better one heals without a hand on any pod.

import assert from 'node:assert/strict';
import { always, eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { tags } from './harness/images.ts';
import { isReady, RouterCluster } from './harness/router-cluster.ts';
import { type Scenario, scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

interface Attempt {
  readonly bad: { readonly [field: string]: unknown };
  readonly good: { readonly [field: string]: unknown };
}

/** Changes to what can not work, sees that two members are left alone, then to what works. */
async function breakAndHeal(run: Scenario, { bad, good }: Attempt): Promise<void> {
  const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const writer = await Writer.start({ namespace: run.namespace, cluster: 'main' });
  const before = new Set((await cluster.pods()).map(({ metadata }) => metadata.uid));

  await cluster.patch(bad);
  await run.step('one member does not come back', () =>
    eventually('a pod is not ready', async () => {
      const pods = await cluster.pods();
      return pods.some((pod) => !before.has(pod.metadata.uid) && !isReady(pod));
    }),
  );
  await always(
    'the other members are left alone',
    async () => {
      const old = (await cluster.pods()).filter(({ metadata }) => before.has(metadata.uid));
      return old.length === 2 && old.every(isReady) ? undefined : `${old.length} old pods are left`;
    },
    { timeoutMs: 20_000, everyMs: 1000 },
  );
  await cluster.is('Available', 'True');
  await cluster.is('Ready', 'False');
  run.note('Ready', await cluster.condition('Ready'));
  const broken = await writer.phase();
  run.gap('broken', broken);

  await run.step('healed by a good spec', async () => {
    await cluster.patch(good);
    await cluster.ready(240_000);
  });
  assert.equal((await cluster.pods()).filter(isReady).length, 3);
  const healed = await writer.phase();
  run.gap('healed', healed);
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
  assertGap(broken, 'planned');
  assertGap(healed, 'planned');
}

scenario('broken-image', 'an image that is not there stops at one member', (run) =>
  breakAndHeal(run, { bad: { version: 'not-there' }, good: { version: tags().nextRouter } }),
);

scenario('broken-config', 'a member that dies at its start stops the others from it', (run) => {
  const env = (value: string): object => ({ template: { env: [{ name: 'NODE_OPTIONS', value }] } });
  return breakAndHeal(run, {
    bad: { ...env('--no-such-option') },
    good: { ...env('--max-semi-space-size=8') },
  });
});
