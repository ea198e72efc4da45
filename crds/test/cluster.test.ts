// What an API server refuses of an EtlRouterCluster, and what it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admit } from './support/admission.ts';
import { kindOf } from './support/open-api.ts';
import { refused } from './support/refused-clusters.ts';

type Spec = { readonly [name: string]: unknown };

const kind = kindOf('EtlRouterCluster');

function cluster(spec: Spec, name = 'main', status?: Spec): Spec {
  const metadata = { name, namespace: 'shop' };
  const object = { apiVersion: 'etl.router/v1', kind: 'EtlRouterCluster', metadata, spec };
  return status === undefined ? object : { ...object, status };
}

const problemsOf = (spec: Spec): readonly string[] => admit(kind, cluster(spec)).problems;

test('an empty spec is three members with every default', () => {
  const { object, problems } = admit(kind, cluster({}));
  assert.deepEqual(problems, []);
  assert.deepEqual(object['spec'], {
    replicas: 3,
    raft: {
      electionTimeout: '1s',
      heartbeatInterval: '100ms',
      snapshotEntries: 10_000,
      stateCheckInterval: '10m',
    },
    storage: { size: '10Gi', retention: { whenDeleted: 'retain', whenScaled: 'delete' } },
    template: {
      resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } },
      terminationGracePeriod: '90s',
    },
    services: { client: { type: 'ClusterIP' } },
    tls: { certificateDuration: '2160h', renewBefore: '720h', authorityDuration: '8760h' },
    update: { strategy: 'automatic', memberReadyTimeout: '10m' },
    disruptionBudget: 'managed',
    reconciliation: 'active',
    logLevel: 'info',
  });
});

test('a spec that says everything is taken', () => {
  assert.deepEqual(
    problemsOf({
      replicas: 5,
      version: '0.2.0',
      image: {
        repository: 'registry.example:5000/etl/router',
        digest: `sha256:${'0a'.repeat(32)}`,
        pullPolicy: 'Always',
        pullSecretRefs: [{ name: 'registry' }],
      },
      raft: { electionTimeout: '2s', heartbeatInterval: '200ms', snapshotEntries: 1000 },
      storage: { size: '20Gi', storageClassName: 'fast', retention: { whenDeleted: 'delete' } },
      template: {
        metadata: { labels: { 'example.com/team': 'data' }, annotations: { note: 'two\nlines' } },
        resources: {
          requests: { cpu: '250m', memory: '512Mi' },
          limits: { cpu: 1, memory: '1Gi' },
        },
        nodeSelector: { 'kubernetes.io/os': 'linux' },
        tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'etl', effect: 'NoSchedule' }],
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } },
        topologySpreadConstraints: [
          {
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'DoNotSchedule',
            maxSkew: 1,
          },
        ],
        priorityClassName: 'high',
        env: [
          { name: 'TZ', value: 'UTC' },
          { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
        ],
        terminationGracePeriod: '2m',
      },
      services: {
        client: { type: 'LoadBalancer', annotations: { 'example.com/kind': 'internal' } },
      },
      tls: { certificateDuration: '1h', renewBefore: '20m', authorityDuration: '24h' },
      update: { strategy: 'supervised', memberReadyTimeout: '5m' },
      disruptionBudget: 'none',
      reconciliation: 'paused',
      logLevel: 'debug',
    }),
    [],
  );
});

for (const [what, spec, said] of refused) {
  test(`${what} is refused`, () => {
    const problems = problemsOf(spec);
    assert.ok(
      problems.some((problem) => said.test(problem)),
      `${said} is none of ${JSON.stringify(problems)}`,
    );
  });
}

for (const name of ['a'.repeat(41), 'a'.repeat(64), 'Main', 'a.b', '1st', '-a', 'a-', 'a_b', 'ä']) {
  test(`the name ${name.slice(0, 12)} is refused`, () => {
    const [problem = ''] = admit(kind, cluster({}, name)).problems;
    assert.match(problem, /^metadata\.name needs at most 40 of a-z/);
  });
}

test('a name of forty characters is taken', () => {
  assert.deepEqual(admit(kind, cluster({}, `a${'-0'.repeat(19)}z`)).problems, []);
});

/** A spec, the one that would take its place, and what is said; nothing: it is taken. */
const changes: readonly (readonly [string, Spec, Spec, RegExp | undefined])[] = [
  ['three members to one', { replicas: 3 }, { replicas: 1 }, undefined],
  ['five members to four', { replicas: 5 }, { replicas: 4 }, /odd/],
  ['a larger volume', { storage: { size: '10Gi' } }, { storage: { size: '11G' } }, undefined],
  [
    'the same volume in other words',
    { storage: { size: '1Gi' } },
    { storage: { size: '1024Mi' } },
    undefined,
  ],
  [
    'a smaller volume',
    { storage: { size: '10Gi' } },
    { storage: { size: '10G' } },
    /size: can only grow/,
  ],
  ['a smaller volume than the default', {}, { storage: { size: '9Gi' } }, /can only grow/],
  [
    'another StorageClass',
    { storage: { storageClassName: 'a' } },
    { storage: { storageClassName: 'b' } },
    /storageClassName: can not be changed: back the cluster up/,
  ],
  [
    'no StorageClass any more',
    { storage: { storageClassName: 'a' } },
    {},
    /can not be added or taken/,
  ],
  ['a StorageClass later', {}, { storage: { storageClassName: 'a' } }, /can not be added or taken/],
  ['another version', { version: '0.1.0' }, { version: '0.2.0' }, undefined],
  ['a pause', {}, { reconciliation: 'paused' }, undefined],
];

for (const [what, before, after, said] of changes) {
  test(`a change: ${what} is ${said === undefined ? 'taken' : 'refused'}`, () => {
    const { problems } = admit(kind, cluster(after), cluster(before));
    if (said === undefined) assert.deepEqual(problems, []);
    else assert.match(problems.join('\n'), said);
  });
}

const status = {
  observedGeneration: 4,
  clusterID: 'c0ffee',
  bootstrappedAt: '2026-01-01T00:00:00Z',
  replicas: 3,
  readyReplicas: 2,
  updatedReplicas: 3,
  selector: 'etl.router/cluster=main',
  currentVersion: '0.1.0',
  targetVersion: '0.2.0',
  term: 7,
  leader: { name: 'main-0', since: '2026-01-01T00:00:00Z' },
  members: [
    { name: 'main-0', memberID: '1f', ordinal: 0, role: 'voter', state: 'leader', ready: true },
    {
      name: 'main-1',
      memberID: '2f',
      ordinal: 1,
      role: 'learner',
      state: 'follower',
      ready: false,
    },
  ],
  operation: {
    type: 'rollout',
    phase: 'waitReady',
    target: 'main-1',
    startedAt: '2026-01-01T00:00:00Z',
    attempt: 1,
    message: 'main-1 is not ready yet',
  },
  endpoints: { grpc: 'main.shop.svc:50051', graphql: 'http://main.shop.svc:8080/graphql' },
  serverCertificateNotAfter: '2026-04-01T00:00:00Z',
  conditions: [
    {
      type: 'Ready',
      status: 'False',
      reason: 'RollingOut',
      message: 'main-1 is not ready yet',
      observedGeneration: 4,
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ],
};

test('a whole status is taken', () => {
  assert.deepEqual(admit(kind, cluster({}, 'main', status)).problems, []);
});

test('the id of the cluster can not be changed', () => {
  const { problems } = admit(
    kind,
    cluster({}, 'main', { ...status, clusterID: 'other' }),
    cluster({}, 'main', status),
  );
  assert.match(problems.join(), /^status\.clusterID: can not be changed/);
});

test('a condition stands once, with a known status and a reason in one word', () => {
  const [ready] = status.conditions;
  const said = (conditions: readonly Spec[]): string =>
    admit(kind, cluster({}, 'main', { conditions })).problems.join();
  assert.match(said([{ ...ready }, { ...ready }]), /conditions: duplicate value/);
  assert.match(said([{ ...ready, status: 'Yes' }]), /must be one of True, False, Unknown/);
  assert.match(said([{ ...ready, reason: 'not ready' }]), /reason: should match/);
});
