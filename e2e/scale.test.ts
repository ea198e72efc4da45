// One member, three, five, three again, while writes go on.

import assert from 'node:assert/strict';
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
    const gaps: number[] = [];
    for (const replicas of [3, 5, 3]) {
      await run.step(`to ${replicas}`, async () => {
        await cluster.scale(replicas);
        await cluster.ready(240_000);
      });
      assert.deepEqual(await cluster.voters(), names(replicas));
      assert.equal((await cluster.pods()).length, replicas);
      const phase = await writer.phase(`after ${replicas}`);
      run.gap(`to ${replicas}`, phase);
      gaps.push(phase.longestGapMs);
    }
    assert.deepEqual(
      await cluster.claims(),
      names(3).map((name) => `data-${name}`),
      'what a removed member kept is gone, as the spec says',
    );
    await assert.rejects(
      kubectl(['scale', 'erc/main', '-n', namespace, '--replicas=4']),
      /odd/,
      'four members are refused',
    );
    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
    assert.ok(Math.max(...gaps) <= 2000, `writes stood still for ${Math.max(...gaps)} ms`);
  },
  { timeoutMs: 900_000 },
);
