// The operator, as its chart installs it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  helm,
  leadingOperator,
  operatorIsUp,
  operatorNamespace,
  operatorPods,
} from './harness/installation.ts';
import { kubectl } from './harness/kubectl.ts';
import { makeNamespace } from './harness/scenario.ts';

test('both replicas of the operator are ready, one of them leads', async () => {
  await operatorIsUp();
  const pods = await operatorPods();
  assert.equal(pods.length, 2);
  const leader = await leadingOperator();
  assert.ok(pods.some(({ metadata }) => metadata.name === leader));
});

test('its namespace may enforce the restricted Pod Security Standard', async () => {
  // A dry run tells of pods that are there and would not be admitted.
  const label = 'pod-security.kubernetes.io/enforce=restricted';
  const args = ['label', '--overwrite', '--dry-run=server', 'namespace', operatorNamespace, label];
  const said = await kubectl([...args, '-v=0']);
  assert.doesNotMatch(said, /would violate/);
  await makeNamespace(operatorNamespace);
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

test('the release says what to do next', async () => {
  const notes = await helm(['get', 'notes', 'etl-operator', '-n', operatorNamespace]);
  assert.match(notes, /kubectl/);
});
