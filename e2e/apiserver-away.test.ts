// The API server is restarted, and is away for two minutes: routers answer all the while, and the operator goes on where
// it was.

import assert from 'node:assert/strict';
import { sleep, systemClock } from '@etl-router/core';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { operatorIsUp } from './harness/installation.ts';
import { machine, needsMachines } from './harness/machine.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

await needsMachines('apiserver-away');

for (const [id, awayMs] of [
  ['apiserver-restarted', 0],
  ['apiserver-away', 120_000],
] as const) {
  scenario(id, 'routers answer, and the operator goes on where it was', async (run) => {
    const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 3 });
    const { clusterID } = await cluster.ready();
    const before = await cluster.runs();
    const writer = await Writer.start({ namespace: run.namespace, cluster: 'main' });

    await machine('stop', 'apiserver');
    await sleep(systemClock, awayMs);
    await machine('start', 'apiserver');
    // It is ready before it may hand on calls to pods.
    await eventually('the writer is reached again', () => writer.stats());

    const phase = await writer.phase();
    run.gap(`away ${awayMs / 1000} s`, phase);
    assertGap(phase, 'kill');
    await run.step('operator is up', operatorIsUp);
    await cluster.readyAnew();
    assert.deepEqual(await cluster.runs(), before, 'no pod was touched');

    await cluster.patch({ logLevel: 'warn' });
    await run.step('a change is followed', () => cluster.ready(240_000));
    const rolled = await writer.phase();
    run.gap('rolled', rolled);
    assertGap(rolled, 'planned');
    run.gap('all', await writer.finish());
    await cluster.isStill(clusterID);
  });
}
