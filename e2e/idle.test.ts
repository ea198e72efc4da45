// Nothing changes, so nothing is written.

import assert from 'node:assert/strict';
import { sleep, systemClock } from '@etl-router/core';
import { operatorWritesSince } from './harness/audit.ts';
import { operatorNamespace } from './harness/installation.ts';
import { isLocal, kubectl } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';

const quietMs = 120_000;

/** That it renews its lease goes on, and shows that the log tells of it. */
const lease = 'update leases etl-operator';

scenario('idle', 'two minutes without a write', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  await cluster.ready();
  await sleep(systemClock, 20_000);
  const what = 'erc,sts,svc,cm,secret,sa,pdb';
  const path = '{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}';
  const versions = (): Promise<string> =>
    kubectl(['get', what, '-n', namespace, '-o', `jsonpath=${path}`]);
  const before = await versions();
  const fromMs = systemClock.wallMs();
  await sleep(systemClock, quietMs);
  assert.equal(await versions(), before);
  if (isLocal) {
    // Events of a scenario before this one may still be counted in its namespace.
    const isOurs = (where: string | undefined): boolean =>
      where === undefined || where === operatorNamespace || where === namespace;
    const writes = operatorWritesSince(fromMs)
      .filter((write) => isOurs(write.namespace))
      .map(({ what }) => what);
    assert.ok(writes.includes(lease), 'the audit log tells what the operator writes');
    assert.deepEqual(
      writes.filter((each) => each !== lease),
      [],
    );
  }
  run.note('quiet', `${quietMs / 1000} s`);
});
