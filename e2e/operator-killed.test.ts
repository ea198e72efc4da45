// The operator dies at every place where what it wrote and what it did differ; the next one goes on from what it sees.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { assertJoined, assertLeft, assertRolled, recorded } from './harness/history.ts';
import {
  operatorName,
  operatorNamespace,
  operatorPods,
  setOperatorEnv,
} from './harness/installation.ts';
import { get, type KubeObject, kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { type Scenario, scenario } from './harness/scenario.ts';
import { Watch } from './harness/watch.ts';
import { Writer } from './harness/writer.ts';

const variable = 'ETL_FAILPOINT';
const both = (act: string): string[] => [`before-act:${act}`, `after-act:${act}`];

/** The lease outlives a run of this file: without another name for each, the points of the last run would be passed. */
const runId = randomUUID().slice(0, 8);

/** The failpoint that killed last. */
async function lastDeath(): Promise<string | undefined> {
  const lease = await get<KubeObject>('lease', operatorName, operatorNamespace);
  return lease.metadata.annotations?.['etl.router/failpoint'];
}

/** Hands the operator a failpoint, makes a change, and sees that it died of it and that the change came to its end. */
async function dyingAt(
  run: Scenario,
  failpoint: string,
  change: () => Promise<void>,
): Promise<void> {
  const name = `${failpoint}#${runId}`;
  await setOperatorEnv(`${variable}=${name}`);
  assert.notEqual(await lastDeath(), name, `the operator died at ${failpoint} before the change`);
  await run.step(failpoint, change);
  assert.equal(await lastDeath(), name, `the operator did not die at ${failpoint}`);
}

async function inPeace(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } finally {
    await setOperatorEnv(`${variable}-`);
  }
  await eventually('the old pods are gone', async () => (await operatorPods()).length === 2);
}

scenario(
  'operator-killed-founding',
  'a cluster is founded once, whenever the operator dies',
  (run) =>
    inPeace(async () => {
      const { namespace } = run;
      const points = [
        'before-certificate:makeAuthority',
        'after-certificate:makeAuthority',
        'after-certificate:signMembers',
        // Runs of every cluster come by here: it has to be the one that is being founded.
        'before-status:c3',
        'after-status:c4',
        'after-objects:c5',
      ];
      const sets = await Watch.start(`/apis/apps/v1/namespaces/${namespace}/statefulsets`);
      try {
        for (const [at, point] of points.entries()) {
          const cluster = new RouterCluster(namespace, `c${at}`);
          await dyingAt(run, point, async () => {
            await RouterCluster.apply(namespace, cluster.name, { replicas: 1 });
            await cluster.ready();
          });
          // The member's own word, in the first StatefulSet that there was.
          await cluster.isStill((await cluster.status()).clusterID);
          const seen = (await sets.changes()).filter(
            ({ object: { metadata } }) => metadata.name === cluster.name,
          );
          const uids = new Set(seen.map(({ object: { metadata } }) => metadata.uid));
          assert.equal(uids.size, 1, `${cluster.name} was made once`);
        }
      } finally {
        sets.close();
      }
      await dyingAt(run, 'before-finalizer:c0', async () => {
        const args = ['delete', 'erc', 'c0', '-n', namespace, '--wait', '--timeout=100s'];
        await kubectl(args, { timeoutMs: 110_000 });
      });
    }),
  { timeoutMs: 1_200_000 },
);

scenario(
  'operator-killed-changing',
  'members come and go once, whenever the operator dies',
  (run) =>
    inPeace(async () => {
      const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 1 });
      const { clusterID } = await cluster.ready();
      const writer = await Writer.start({ namespace: run.namespace, cluster: 'main' });
      const scaleTo = async (replicas: number): Promise<void> => {
        await cluster.scale(replicas);
        await cluster.ready(240_000);
        await eventually(
          `${replicas} vote`,
          async () => (await cluster.voters()).length === replicas,
        );
      };
      // What is meant to be done is recorded before each act on members; a founding has none.
      const growing = ['after-record', ...['setReplicas', 'addLearner', 'promote'].flatMap(both)];
      const shrinking = [
        'after-record',
        ...['removeMember', 'setReplicas', 'deleteClaim'].flatMap(both),
      ];
      for (const [at, point] of growing.entries()) {
        const grown = await recorded(cluster, () => dyingAt(run, point, () => scaleTo(3)));
        assertJoined(grown, ['main-2', 'main-3']);
        // What follows # makes the same failpoint another one for the way back.
        const shrunk = await recorded(cluster, () =>
          dyingAt(run, `${shrinking[at]}#down`, async () => {
            await scaleTo(1);
            await eventually(
              'the claims are gone',
              async () => (await cluster.claims()).length === 1,
            );
          }),
        );
        assertLeft(shrunk, ['main-3', 'main-2']);
      }
      const scaled = await writer.phase();
      run.gap('scaled', scaled);
      assertGap(scaled, 'planned');
      await setOperatorEnv(`${variable}-`);
      await scaleTo(3);
      const levels = ['debug', 'info', 'warn', 'error'];
      for (const [at, point] of [...both('transferLeadership'), ...both('deletePod')].entries()) {
        const rolled = await recorded(cluster, () =>
          dyingAt(run, point, async () => {
            await cluster.patch({ logLevel: levels[at] });
            await cluster.ready(240_000);
          }),
        );
        assertRolled(rolled, ['main-1', 'main-2', 'main-3']);
      }
      const rolled = await writer.phase();
      run.gap('rolled', rolled);
      assertGap(rolled, 'planned');
      run.gap('all', await writer.finish());
      await cluster.isStill(clusterID);
    }),
  { timeoutMs: 2_400_000 },
);
