// The chart on a real API server: it takes whatever the values make of the templates, the operator may do what it has to
// and no more, and `helm test` says so.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { objectsOf, type Rendered, render, valueSets } from './harness/chart.ts';
import { eventually } from './harness/eventually.ts';
import { helm, operatorIsUp, operatorName, operatorNamespace } from './harness/installation.ts';
import { apply, CommandError, kubectl } from './harness/kubectl.ts';

const operator = `--as=system:serviceaccount:${operatorNamespace}:${operatorName}`;
const binding = 'e2e-chart-rights';

/** Not the kinds of a Prometheus operator, which this cluster has not, and no pod whose account a dry run did not make. */
const isTaken = ({ apiVersion = '', kind }: Rendered): boolean =>
  !apiVersion.startsWith('monitoring.coreos.com/') && kind !== 'Pod';

/** What was said to a command that was refused. */
async function refusalOf(args: readonly string[], input?: string): Promise<string> {
  try {
    await kubectl(args, input === undefined ? {} : { input });
  } catch (error) {
    if (error instanceof CommandError) return error.output;
    throw error;
  }
  return assert.fail(`not refused: kubectl ${args.join(' ')}`);
}

function bindingOf(name: string, role: string): string {
  return JSON.stringify({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', name: 'main', namespace: 'default' }],
  });
}

for (const [name, values] of Object.entries(valueSets)) {
  test(`${name}: the API server takes all that is rendered`, async () => {
    // Namespaces that every cluster has stand for those of the values.
    const text = JSON.stringify(values).replaceAll('"shop"', '"default"');
    const there = JSON.parse(text.replaceAll('"lab"', '"kube-public"')) as object;
    const objects = objectsOf(await render(there)).filter(isTaken);
    assert.ok(objects.length > 4);
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    const how = ['--server-side', '--force-conflicts', '--field-manager=e2e', '--dry-run=server'];
    const said = await kubectl(['apply', ...how, '--validate=strict', '-f', '-'], { input });
    assert.equal(said.trim().split('\n').length, objects.length);
  });
}

test('what the operator has no use for is forbidden to it', async () => {
  const forbidden = [
    ['create', 'pods'],
    ['create', 'pods', '--subresource=exec'],
    ['update', 'secrets'],
    ['delete', 'secrets'],
    ['deletecollection', 'pods'],
    ['get', 'nodes'],
    ['delete', 'namespaces'],
    ['create', 'etlrouterclusters.etl.router'],
    ['delete', 'etlrouterclusters.etl.router'],
    ['get', 'etlpipelines.etl.router'],
    ['patch', 'customresourcedefinitions.apiextensions.k8s.io'],
    ['bind', 'clusterroles.rbac.authorization.k8s.io/cluster-admin'],
    ['escalate', 'clusterroles.rbac.authorization.k8s.io'],
    ['impersonate', 'users'],
    ['create', 'serviceaccounts', '--subresource=token'],
    ['update', 'leases.coordination.k8s.io/another'],
  ] as const;
  const given = await Promise.all(
    forbidden.map(async (asked) => {
      const args = ['auth', 'can-i', ...asked, '-n', operatorNamespace, operator];
      const said = await kubectl(args).catch(({ output }: CommandError) => output);
      // A warning may stand before the answer or after it.
      return [...asked, /^(?:yes|no)\b/m.exec(said)?.[0]];
    }),
  );
  assert.deepEqual(
    given,
    forbidden.map((asked) => [...asked, 'no']),
  );
});

test('the operator binds routers to their role, and neither binds nor unbinds anything else', async () => {
  const create = ['create', '--dry-run=server', operator, '-f', '-'];
  await kubectl(create, { input: bindingOf('etl-router:default:main', 'etl-router-reviewer') });

  const stranger = await refusalOf(create, bindingOf(binding, 'etl-router-reviewer'));
  assert.match(stranger, /changes no bindings but those of its routers/);
  const stronger = await refusalOf(create, bindingOf('etl-router:default:main', 'cluster-admin'));
  assert.match(stronger, /attempting to grant RBAC permissions not currently held/);
  // A role that gives nothing passes RBAC, and only the policy knows that it is not the one.
  const weaker = await refusalOf(create, bindingOf('etl-router:default:main', binding));
  assert.match(weaker, /binds no role but etl-router-reviewer|not found/);

  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', rules: [] };
  await apply({ ...role, metadata: { name: binding } }, JSON.parse(bindingOf(binding, binding)));
  try {
    await eventually('a role without rights is not bound either', async () => {
      const said = await refusalOf(create, bindingOf('etl-router:default:main', binding));
      return said.includes('binds no role but etl-router-reviewer');
    });
    const removed = await refusalOf(['delete', 'clusterrolebinding', binding, operator]);
    assert.match(removed, /changes no bindings but those of its routers/);
  } finally {
    await kubectl(['delete', 'clusterrolebinding,clusterrole', binding]);
  }
});

test('helm test passes, and leaves nothing', async () => {
  await operatorIsUp();
  const where = ['-n', operatorNamespace];
  const said = await helm(['test', operatorName, ...where, '--timeout', '2m']);
  assert.match(said, /Phase:\s+Succeeded/);
  const left = await kubectl([
    'get',
    'pod,role,rolebinding,serviceaccount',
    '-o',
    'name',
    ...where,
  ]);
  assert.doesNotMatch(left, /etl-operator-test/);
});
