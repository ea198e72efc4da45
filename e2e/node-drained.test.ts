// The node of the leader is drained: leadership is handed over, and a second node can not be drained until the member of
// the first one is back.

import assert from 'node:assert/strict';
import { assertGap } from './harness/gaps.ts';
import { CommandError, kubectl } from './harness/kubectl.ts';
import { needsMachines } from './harness/machine.ts';
import { type Pod, RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

await needsMachines('node-drained');

const drain = (node: string, timeout: string): Promise<string> =>
  kubectl(
    ['drain', node, '--ignore-daemonsets', '--delete-emptydir-data', `--timeout=${timeout}`],
    { timeoutMs: 150_000 },
  );

scenario('node-drained', 'one node at a time may be drained', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await cluster.ready();
  const leader = await cluster.leader();
  const pods = await cluster.pods();
  const nodeOf = (name: string): string =>
    pods.find(({ metadata }) => metadata.name === name)?.spec.nodeName ?? '';
  const names = new Set([leader, ...pods.map(({ metadata }) => metadata.name)]);
  const [, held = ''] = names;
  const [first = '', second = '', third = ''] = [...names].map(nodeOf);
  const writer = await Writer.start({ namespace, cluster: 'main', node: third });
  try {
    await run.step('first drain', () => drain(first, '120s'));
    const phase = await writer.phase();
    run.gap('leader drained', phase);
    assertGap(phase, 'planned');

    const error = await drain(second, '15s').then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof CommandError, 'the second drain was not stopped');
    const refused = `evicting pods/"${held}" -n "${namespace}".*disruption budget`;
    assert.match(error.output, new RegExp(refused));
    const uidOf = (all: readonly Pod[]): unknown =>
      all.find(({ metadata }) => metadata.name === held)?.metadata.uid;
    assert.equal(uidOf(await cluster.pods()), uidOf(pods), `${held} was left alone`);
    const stopped = await writer.phase();
    run.gap('second drain', stopped);
    assertGap(stopped, 'planned');
  } finally {
    await kubectl(['uncordon', first, second]);
  }
  await run.step('ready again', () => cluster.ready());
  const back = await writer.phase();
  run.gap('back', back);
  assertGap(back, 'planned');
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
});
