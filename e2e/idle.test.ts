// Nothing changes, so nothing is written.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, systemClock } from '@etl-router/core';
import { isLocal, kubectl, localKubeconfig } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';

const quietMs = 120_000;

interface Audited {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly resource: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly requestReceivedTimestamp: string;
}

/** That it renews its lease goes on, and shows that the log tells of it. */
const lease = 'update leases etl-operator';

/** Every write of the operator that the API server was asked for. */
function writesSince(fromMs: number): readonly string[] {
  const file = join(localKubeconfig, '..', 'log', 'audit.log');
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('etl-operator'))
    .map((line) => JSON.parse(line) as Audited)
    .filter(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp) >= fromMs)
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource} ${objectRef?.name}`);
}

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
    const writes = writesSince(fromMs);
    assert.ok(writes.includes(lease), 'the audit log tells what the operator writes');
    assert.deepEqual(
      writes.filter((each) => each !== lease),
      [],
    );
  }
  run.note('quiet', `${quietMs / 1000} s`);
});
