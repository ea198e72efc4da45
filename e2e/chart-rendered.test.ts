// What the chart renders: golden files for sets of values, what its schema refuses, and what must hold for each set. With
// ETL_UPDATE_GOLDEN=1 the golden files are written anew, to be read before they are kept. No cluster is asked.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { objectsOf, type Rendered, readYamlText, render, valueSets } from './harness/chart.ts';
import { chart, helmProgram } from './harness/installation.ts';
import { CommandError, root, run } from './harness/kubectl.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface PodSpec {
  readonly securityContext: { readonly [field: string]: unknown };
  readonly containers: readonly {
    readonly securityContext: { readonly [field: string]: unknown };
    readonly command?: readonly string[];
  }[];
}

interface AlertSpec {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: { readonly [name: string]: string };
    }[];
  }[];
}

/** What the operator may do, each with the part of its code that does it. Whoever adds a right adds it here with a reason. */
const allowed: { readonly [reason: string]: readonly string[] } = {
  'cluster/caches: sees clusters; finalizers: reads one again and patches it': [
    'etl.router/etlrouterclusters get list watch patch',
  ],
  'cluster/controller: says what it sees': ['etl.router/etlrouterclusters/status patch'],
  'ownership: owners that their parts wait for': ['etl.router/etlrouterclusters/finalizers update'],
  'cluster/applying: one a cluster, made anew around its pods where a field never changes': [
    'apps/statefulsets get list watch create patch delete',
  ],
  'cluster/applying: taken away where spec.disruptionBudget is none': [
    'policy/poddisruptionbudgets get list watch create patch delete',
  ],
  'cluster/applying: go with their owner': [
    '/configmaps get list watch create patch',
    '/services get list watch create patch',
    '/serviceaccounts get list watch create patch',
  ],
  'cluster/certificates: metadata is listed, four are read by name': [
    '/secrets get list watch create patch',
  ],
  'cluster/perform: restarts a member': ['/pods list watch delete'],
  'cluster/perform: grows a volume, and deletes that of a member that left': [
    '/persistentvolumeclaims list watch patch delete',
  ],
  'runtime/events': ['events.k8s.io/events create patch'],
  'cluster/applying: the routers of each cluster may ask who somebody is': [
    'rbac.authorization.k8s.io/clusterrolebindings get list watch create patch delete',
    'rbac.authorization.k8s.io/clusterroles[etl-router-reviewer] bind',
  ],
  'runtime/leader-election': [
    'coordination.k8s.io/leases create',
    'coordination.k8s.io/leases[etl-operator] get update',
  ],
};

/** What it may do without a look at the namespace: with watchNamespaces all else is for those alone. */
const everywhereReasons =
  /^cluster\/(applying: the routers of|caches: sees clusters|controller: says)|^runtime\/leader-election/;

function rightsOf(rules: readonly Rule[]): readonly string[] {
  return rules.flatMap(({ apiGroups, resources, resourceNames, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.map((resource) => {
        const named = resourceNames === undefined ? '' : `[${resourceNames.join(' ')}]`;
        return `${group}/${resource}${named} ${verbs.join(' ')}`;
      }),
    ),
  );
}

function rulesOf(objects: readonly Rendered[], kind: string, name: string): readonly Rule[] {
  const found = objects.filter((each) => each.kind === kind && each.metadata.name === name);
  return found.flatMap(({ rules }) => rules as readonly Rule[]);
}

function podSpecsOf(objects: readonly Rendered[]): readonly PodSpec[] {
  return objects.flatMap((object) => {
    if (object.kind === 'Pod') return [object['spec'] as PodSpec];
    if (object.kind !== 'Deployment') return [];
    return [(object['spec'] as { template: { spec: PodSpec } }).template.spec];
  });
}

/** What Helm says when it refuses. */
async function refusalOf(values: object): Promise<string> {
  try {
    await render(values);
  } catch (error) {
    if (error instanceof CommandError) return error.output;
    throw error;
  }
  return assert.fail(`not refused: ${JSON.stringify(values)}`);
}

test('helm lint has nothing to say', async () => {
  const said = await run(helmProgram, ['lint', '--strict', chart]);
  assert.match(said, /1 chart\(s\) linted, 0 chart\(s\) failed/);
  assert.doesNotMatch(said, /\[(WARNING|ERROR)\]/);
});

for (const [name, values] of Object.entries(valueSets)) {
  test(`${name}: the rendered chart is as it was read`, async () => {
    // The kinds are golden files already, in crds/manifests.
    const text = await render({ ...values, crds: { enabled: false } });
    const file = join(root, 'e2e', 'testdata', 'chart', `${name}.yaml`);
    if (process.env['ETL_UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
    assert.deepEqual(objectsOf(text), objectsOf(readFileSync(file, 'utf8')));
  });

  test(`${name}: every pod passes the restricted standard and needs no shell`, async () => {
    for (const { securityContext, containers } of podSpecsOf(objectsOf(await render(values)))) {
      assert.equal(securityContext['runAsNonRoot'], true);
      assert.deepEqual(securityContext['seccompProfile'], { type: 'RuntimeDefault' });
      for (const { securityContext: own, command = [] } of containers) {
        assert.equal(own['allowPrivilegeEscalation'], false);
        assert.equal(own['readOnlyRootFilesystem'], true);
        assert.deepEqual(own['capabilities'], { drop: ['ALL'] });
        assert.ok(!command.some((word) => /\b(sh|bash)$/.test(word)));
      }
    }
  });

  test(`${name}: no Secret and no bundle of an authority is rendered, and twice gives the same`, async () => {
    const text = await render(values);
    assert.equal(text, await render(values));
    assert.doesNotMatch(text, /caBundle|PRIVATE KEY|BEGIN CERTIFICATE/);
    assert.ok(objectsOf(text).every(({ kind }) => kind !== 'Secret'));
  });
}

test('the operator may do what its code does, and nothing else', async () => {
  const objects = objectsOf(await render({}));
  const given = [
    ...rightsOf(rulesOf(objects, 'ClusterRole', 'etl-operator')),
    ...rightsOf(rulesOf(objects, 'Role', 'etl-operator-lease')),
  ];
  assert.deepEqual([...given].sort(), Object.values(allowed).flat().sort());
});

test('with watchNamespaces the operator reads and changes nothing elsewhere but clusters and bindings', async () => {
  const objects = objectsOf(await render(valueSets['namespaced'] as object));
  const everywhere = Object.entries(allowed).filter(([reason]) => everywhereReasons.test(reason));
  const given = [
    ...rightsOf(rulesOf(objects, 'ClusterRole', 'etl-operator')),
    ...rightsOf(rulesOf(objects, 'Role', 'etl-operator-lease')),
  ];
  // Names of watched namespaces, to see which of them go: their Role goes first.
  const named = ['/namespaces[shop lab] get'];
  const wanted = [...everywhere.flatMap(([, rights]) => rights), ...named];
  assert.deepEqual([...given].sort(), wanted.sort());
  const inside = Object.entries(allowed).filter(([reason]) => !everywhereReasons.test(reason));
  const roles = objects.filter(
    ({ kind, metadata }) => kind === 'Role' && metadata.name === 'etl-operator',
  );
  assert.deepEqual(
    new Set(roles.map(({ metadata }) => metadata.namespace)),
    new Set(['lab', 'shop']),
  );
  for (const role of roles) {
    const rights = rightsOf(role['rules'] as readonly Rule[]);
    assert.deepEqual([...rights].sort(), inside.flatMap(([, each]) => each).sort());
  }
});

test('operators of another name have another lease, so that each installation has one that leads', async () => {
  const objects = objectsOf(await render({ fullnameOverride: 'second', watchNamespaces: ['lab'] }));
  const lease = rightsOf(rulesOf(objects, 'Role', 'second-lease'));
  assert.ok(lease.includes('coordination.k8s.io/leases[second] get update'), lease.join('; '));
  const deployment = JSON.stringify(objects.find(({ kind }) => kind === 'Deployment'));
  assert.ok(deployment.includes('{"name":"ETL_LEASE_NAME","value":"second"}'));
});

test('nobody gets a wildcard, and nobody but the operator touches Secrets', async () => {
  for (const values of Object.values(valueSets)) {
    for (const { kind, metadata, rules } of objectsOf(await render(values))) {
      if (kind !== 'ClusterRole' && kind !== 'Role') continue;
      const rights = rightsOf(rules as readonly Rule[]);
      assert.ok(
        !rights.some((right) => right.includes('*')),
        `${metadata.name}: ${rights.join('; ')}`,
      );
      const isOperator = metadata.name === 'etl-operator';
      assert.ok(isOperator || !rights.some((right) => right.includes('/secrets')), metadata.name);
    }
  }
});

test('the kinds are templates that outlive the release, unless somebody says otherwise', async () => {
  const kindsOf = async (crds: object): Promise<readonly Rendered[]> =>
    objectsOf(await render({ crds })).filter(({ kind }) => kind === 'CustomResourceDefinition');
  const kept = await kindsOf({});
  assert.equal(kept.length, 5);
  for (const { metadata } of kept) {
    assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep');
  }
  const loose = await kindsOf({ keep: false });
  assert.equal(loose.length, 5);
  assert.ok(loose.every(({ metadata }) => metadata.annotations === undefined));
  assert.deepEqual(await kindsOf({ enabled: false }), []);
});

test('the kinds of the chart are those of crds/', async () => {
  const rendered = objectsOf(await render({})).filter(
    ({ kind }) => kind === 'CustomResourceDefinition',
  );
  for (const { metadata, spec } of rendered) {
    const file = join(root, 'crds', 'manifests', `${metadata.name.split('.')[0]}.yaml`);
    const own = readYamlText(readFileSync(file, 'utf8')) as Rendered;
    assert.deepEqual(spec, own['spec'], metadata.name);
  }
});

test('values that mean nothing are refused by name', async () => {
  const refusals: readonly (readonly [object, RegExp])[] = [
    [{ replicacount: 1 }, /replicacount/],
    [{ image: { tags: 'dev' } }, /tags/],
    [{ replicaCount: 0 }, /replicaCount/],
    [{ replicaCount: '2' }, /replicaCount/],
    [{ image: { tag: 'a b' } }, /tag/],
    [{ image: { repository: 'Etl/Operator' } }, /repository/],
    [{ image: { digest: 'sha256:abc' } }, /digest/],
    [{ image: { pullPolicy: 'always' } }, /pullPolicy/],
    [{ watchNamespaces: 'shop' }, /watchNamespaces/],
    [{ watchNamespaces: ['Shop'] }, /watchNamespaces/],
    [{ watchNamespaces: ['shop', 'shop'] }, /watchNamespaces/],
    [{ logLevel: 'verbose' }, /logLevel/],
    [{ crds: { install: true } }, /install/],
    [{ networkPolicy: { apiServerPorts: [] } }, /apiServerPorts/],
    [{ metrics: { serviceMonitor: { enabled: 'yes' } } }, /enabled/],
    [{ metrics: { podMonitor: { interval: '30' } } }, /interval/],
    [{ extraEnv: [{ value: 'x' }] }, /name/],
    [{ fullnameOverride: '' }, /fullnameOverride/],
  ];
  for (const [values, field] of refusals) {
    const said = await refusalOf(values);
    assert.match(said, /meet the specifications of the schema/, JSON.stringify(values));
    assert.match(said, field);
  }
});

test('a Kubernetes that is too old is refused', async () => {
  await assert.rejects(render({}, '1.30.0'), /requires kubeVersion/);
});

test('alerts ask for metrics that there are, and each says what to do', async () => {
  const pages = readFileSync(join(root, 'docs', 'reference', 'metrics.md'), 'utf8');
  const known = new Set(Array.from(pages.matchAll(/^\| `(\w+)`/gm), (match) => match[1] as string));
  const objects = objectsOf(await render(valueSets['everything'] as object));
  const ruled = objects.filter(({ kind }) => kind === 'PrometheusRule');
  const rules = ruled
    .flatMap(({ spec }) => (spec as AlertSpec).groups)
    .flatMap((each) => each.rules);
  assert.ok(rules.length > 5);
  for (const { alert, expr, annotations } of rules) {
    const named = expr.match(/\b(etl|leader|controller|workqueue|rest)_\w+/g) ?? [];
    const metrics = named.filter((name) => name !== 'etl_router_cluster');
    assert.ok(metrics.length > 0, alert);
    for (const name of metrics) {
      assert.ok(known.has(name.replace(/_(bucket|sum|count)$/, '')), `${alert}: ${name}`);
    }
    assert.ok((annotations['summary'] ?? '').length > 20, alert);
    assert.ok((annotations['description'] ?? '').length > 40, alert);
  }
});
