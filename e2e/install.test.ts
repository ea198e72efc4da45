// The operator, as its chart installs it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './harness/eventually.ts';
import {
  helm,
  leadingOperator,
  operatorIsUp,
  operatorName,
  operatorNamespace,
  operatorPods,
} from './harness/installation.ts';
import { kubectl, run } from './harness/kubectl.ts';

test('both replicas of the operator are ready, one of them leads', async () => {
  await operatorIsUp();
  const pods = await operatorPods();
  assert.equal(pods.length, 2);
  const leader = await leadingOperator();
  assert.ok(pods.some(({ metadata }) => metadata.name === leader));
});

test('new pods of it are admitted where the restricted Pod Security Standard is enforced', async () => {
  const uidsOf = async (): Promise<readonly unknown[]> =>
    (await operatorPods()).map(({ metadata }) => metadata.uid);
  const before = await uidsOf();
  const label = 'pod-security.kubernetes.io/enforce=restricted';
  await kubectl(['label', '--overwrite', 'namespace', operatorNamespace, label]);
  const deployment = [`deployment/${operatorName}`, '-n', operatorNamespace];
  await kubectl(['rollout', 'restart', ...deployment]);
  await kubectl(['rollout', 'status', ...deployment, '--timeout=120s'], { timeoutMs: 130_000 });
  const after = await eventually('the old pods are gone', async () => {
    const uids = await uidsOf();
    return uids.length === 2 && uids;
  });
  assert.ok(
    after.every((uid) => !before.includes(uid)),
    'every pod is another one',
  );
});

test('it answers for itself: probes and metrics under the names of controller-runtime', async () => {
  const [pod] = await operatorPods();
  const path = `/api/v1/namespaces/${operatorNamespace}/pods/${pod?.metadata.name}:8080/proxy`;
  await kubectl(['get', '--raw', `${path}/livez`]);
  await kubectl(['get', '--raw', `${path}/readyz`]);
  const metrics = await kubectl(['get', '--raw', `${path}/metrics`]);
  for (const name of [
    'workqueue_depth',
    'rest_client_requests_total',
    'leader_election_master_status',
  ])
    assert.match(metrics, new RegExp(`^${name}`, 'm'));
});

test('the release says what to do next, in commands that can be pasted', async () => {
  const notes = await helm(['get', 'notes', 'etl-operator', '-n', operatorNamespace]);
  const [, commands = ''] = /^Next:\n\n((?:.+\n)+)/m.exec(notes) ?? [];
  // A document that is never ended is only a warning to bash.
  assert.equal(await run('bash', ['-c', 'bash -n 2>&1'], { input: commands }), '');
  const [, manifest = ''] = /^kubectl apply .*<<'END'\n(.*?)^END$/ms.exec(commands) ?? [];
  const taken = await kubectl(['apply', '--dry-run=server', '-n', 'default', '-f', '-'], {
    input: manifest,
  });
  assert.match(taken, /^etlroutercluster\S*\/main .*server dry run/);
});
