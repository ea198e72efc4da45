// Claims go, with all that members had written. One: it comes back as another member. Two: nobody founds anything anew.

import assert from 'node:assert/strict';
import { always, eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

async function loseVolumes(namespace: string, ...names: readonly string[]): Promise<void> {
  const claims = names.map((name) => `data-${name}`);
  await kubectl(['delete', 'pvc', ...claims, '-n', namespace, '--wait=false']);
  const force = ['--force', '--grace-period=0', '--wait=false'];
  await kubectl(['delete', 'pod', ...names, '-n', namespace, ...force]);
}

for (const whose of ['follower', 'leader'] as const) {
  scenario(`volume-lost-${whose}`, 'a member without its disk joins anew', async (run) => {
    const { namespace } = run;
    const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
    const { clusterID, members = [] } = await cluster.ready();
    const writer = await Writer.start({ namespace, cluster: 'main' });
    const leader = await cluster.leader();
    const victim = members.find(({ name }) => (name === leader) === (whose === 'leader'));
    assert.ok(victim !== undefined);
    const pod = await cluster.pod(victim.ordinal ?? 0);

    await run.step('ready again', async () => {
      await loseVolumes(namespace, victim.name);
      await cluster.replaced(pod, 240_000);
      await eventually('it votes under another id', async () => {
        const now = (await cluster.status()).members?.find(({ name }) => name === victim.name);
        return now?.role === 'voter' && now.memberID !== victim.memberID;
      });
      await cluster.ready();
    });
    assert.deepEqual(await cluster.voters(), ['main-1', 'main-2', 'main-3']);
    const phase = await writer.phase();
    run.gap(`volume of the ${whose} lost`, phase);
    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
    assertGap(phase, 'kill');
  });
}

scenario('volumes-lost', 'without a majority nothing is founded anew', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const [first = '', second = '', third = ''] = await cluster.voters();
  await loseVolumes(namespace, first, second);
  await run.step('said', () => cluster.is('Available', 'False', 'QuorumLost', 120_000));
  run.note('Available', await cluster.condition('Available'));
  await always(
    'nothing is founded anew',
    async () => {
      const { status, reason, message } = await cluster.condition('Available');
      if (status !== 'False' || reason !== 'QuorumLost')
        return `Available is ${status} ${reason}: ${message}`;
      // Who waits on an empty disk says nothing, and nobody another name.
      const told = [...(await cluster.clusterIds())];
      const others = told.filter(([, id]) => id !== undefined && id !== '' && id !== clusterID);
      if (others.length > 0) return `another cluster was founded: ${others.join(' ')}`;
      return told.length === 3 ? undefined : `${told.length} pods are left`;
    },
    { timeoutMs: 30_000, everyMs: 1000 },
  );
  const told = await cluster.clusterIds();
  assert.equal(told.get(third), clusterID, 'who kept its disk belongs to the cluster it did');
});
