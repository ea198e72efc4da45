// The operator that leads stands still in the middle of a change. Another one takes over; the first wakes and changes
// nothing any more.

import assert from 'node:assert/strict';
import { systemClock } from '@etl-router/core';
import { type AuditedWrite, operatorWritesSince } from './harness/audit.ts';
import { eventually } from './harness/eventually.ts';
import { assertGap } from './harness/gaps.ts';
import { leadingOperator, operatorIsUp, operatorNamespace } from './harness/installation.ts';
import { machine, needsMachines } from './harness/machine.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

await needsMachines('operator-frozen');

scenario('operator-frozen', 'one that wakes does not act beside its successor', async (run) => {
  const cluster = await RouterCluster.apply(run.namespace, 'main', { replicas: 1 });
  const { clusterID } = await cluster.ready();
  const writer = await Writer.start({ namespace: run.namespace, cluster: 'main' });
  const first = await leadingOperator();
  const startedMs = systemClock.wallMs();

  await cluster.scale(3);
  await eventually('a change is under way', async () => (await cluster.status()).operation);
  let thawedMs = 0;
  await machine('freeze', `${operatorNamespace}/${first}`);
  try {
    await run.step('another one leads', () =>
      eventually('another one leads', async () => (await leadingOperator()) !== first),
    );
  } finally {
    thawedMs = systemClock.wallMs();
    await machine('thaw', `${operatorNamespace}/${first}`);
  }
  await run.step('ready', () => cluster.ready(240_000));
  assert.deepEqual(await cluster.voters(), ['main-1', 'main-2', 'main-3']);
  assert.notEqual(await leadingOperator(), first);
  await operatorIsUp();
  const actsSince = (fromMs: number): readonly AuditedWrite[] =>
    operatorWritesSince(fromMs).filter(
      ({ pod, resource }) => pod === first && resource !== 'leases' && resource !== 'events',
    );
  assert.ok(actsSince(startedMs).length > 0, 'the audit log tells what it wrote before');
  const acts = actsSince(thawedMs);
  assert.deepEqual(acts, [], 'what it wrote after it woke');
  const phase = await writer.phase();
  run.gap('frozen', phase);
  assertGap(phase, 'planned');
  run.gap('all', await writer.finish());
  await cluster.isStill(clusterID);
});
