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
    const phase = await writer.phase('end');
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
  const [first = '', second = ''] = (await cluster.voters()).filter((each) => each !== '');
  await loseVolumes(namespace, first, second);
  await run.step('said', () => cluster.is('Available', 'False', 'QuorumLost', 120_000));
  run.note('Available', await cluster.condition('Available'));
  await always(
    'nothing is founded anew',
    async () => {
      const { status } = await cluster.get();
      const isUp = status?.conditions?.some(
        (each) => each.type === 'Available' && each.status === 'True',
      );
      return isUp === true ? 'it says to be available' : undefined;
    },
    { timeoutMs: 30_000, everyMs: 1000 },
  );
  await cluster.isStill(clusterID);
  assert.equal((await cluster.pods()).length, 3);
});
