// A node ends and does not come back. Its member is left alone until somebody says that it is gone; then another one
// takes its place elsewhere.

import assert from 'node:assert/strict';
import { always, eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { operatorIsSpread } from './harness/installation.ts';
import { kubectl } from './harness/kubectl.ts';
import { machine, needsMachines, nodeIs, nodeNumber } from './harness/machine.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

await needsMachines('node-lost');

scenario('node-lost', 'a member is replaced when somebody says that it is gone', async (run) => {
  const { namespace } = run;
  await operatorIsSpread();
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID, members = [] } = await cluster.ready();
  const leader = await cluster.leader();
  const victim = members.find(({ name }) => name !== leader);
  assert.ok(victim !== undefined);
  const pods = await cluster.pods();
  const node = pods.find(({ metadata }) => metadata.name === victim.name)?.spec.nodeName ?? '';
  const other = pods.find(({ metadata }) => metadata.name === leader)?.spec.nodeName ?? '';
  const writer = await Writer.start({ namespace, cluster: 'main', node: other });
  try {
    await machine('lose', nodeNumber(node));
    await run.step('node is not ready', () => nodeIs(node, false));
    await cluster.is('Ready', 'False');
    await always(
      'the member is left alone',
      async () => {
        const voters = await cluster.voters();
        return voters.includes(victim.name) ? undefined : `voters are ${voters.join()}`;
      },
      { timeoutMs: 15_000, everyMs: 1000 },
    );
    await kubectl([
      'annotate',
      'pod',
      victim.name,
      '-n',
      namespace,
      'etl.router/unrecoverable=true',
    ]);
    await eventually('the claim bears it too', async () => {
      const marked = [
        'get',
        'pvc',
        '-n',
        namespace,
        '-l',
        'etl.router/unrecoverable',
        '-o',
        'name',
      ];
      return (await kubectl(marked)).trim() === `persistentvolumeclaim/data-${victim.name}`;
    });
    await kubectl(['delete', 'node', node]);
    await run.step('replaced elsewhere', async () => {
      await eventually(
        'another member votes under its name',
        async () => {
          const now = (await cluster.status()).members?.find(({ name }) => name === victim.name);
          return now?.role === 'voter' && now.memberID !== victim.memberID && now.ready;
        },
        { timeoutMs: 240_000 },
      );
      await cluster.ready();
    });
  } finally {
    await machine('join', nodeNumber(node));
  }
  const phase = await writer.phase();
  run.gap('node lost', phase);
  assertGap(phase, 'unreachable');
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
});
