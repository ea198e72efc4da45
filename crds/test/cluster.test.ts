// What an API server refuses of an EtlRouterCluster, and what it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admit } from './support/admission.ts';
import { kindOf } from './support/open-api.ts';

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

/** A spec and what is said of it. */
const refused: readonly (readonly [string, Spec, RegExp])[] = [
  ['an unknown field', { replicaz: 3 }, /^spec\.replicaz: unknown field$/],
  [
    'an unknown field far down',
    { raft: { electon: '1s' } },
    /^spec\.raft\.electon: unknown field$/,
  ],
  ['text for a number', { replicas: '3' }, /^spec\.replicas: must be of type integer$/],
  ['a list for a map', { raft: [] }, /^spec\.raft: must be of type object$/],
  ['a map for a list', { template: { env: {} } }, /^spec\.template\.env: must be of type array$/],
  ['a number for a duration', { raft: { electionTimeout: 1000 } }, /must be of type string$/],
  ['no member', { replicas: 0 }, /^spec\.replicas: must be from 1 to 7$/],
  ['two members', { replicas: 2 }, /^spec\.replicas: needs to be odd, 1, 3, 5 or 7/],
  ['four members', { replicas: 4 }, /odd/],
  ['fewer than none', { replicas: -1 }, /from 1 to 7/],
  ['eight members', { replicas: 8 }, /from 1 to 7/],
  ['a billion members', { replicas: 1e9 }, /from 1 to 7/],
  ['half a member', { replicas: 2.5 }, /integer/],
  [
    'an empty repository',
    { image: { repository: '' } },
    /^spec\.image\.repository: should be at least/,
  ],
  [
    'a tag in the repository',
    { image: { repository: 'etl/router:1' } },
    /repository: should match/,
  ],
  ['a repository in capitals', { image: { repository: 'ETL/Router' } }, /repository: should match/],
  ['latest', { version: 'latest' }, /^spec\.version: needs a fixed version/],
  ['an empty version', { version: '' }, /^spec\.version: should be at least/],
  ['a digest of another algorithm', { image: { digest: 'md5:00' } }, /digest: should match/],
  ['a short digest', { image: { digest: 'sha256:0a' } }, /digest: should match/],
  [
    'a limit below its request',
    { template: { resources: { requests: { memory: '2Gi' }, limits: { memory: '1Gi' } } } },
    /^spec\.template\.resources: limits\.memory is below requests\.memory: raise/,
  ],
  [
    'a limit below its request, as numbers',
    { template: { resources: { requests: { cpu: 2 }, limits: { cpu: 1 } } } },
    /limits\.cpu is below/,
  ],
  [
    'a limit below its request, a number and text',
    { template: { resources: { requests: { cpu: '1500m' }, limits: { cpu: 1 } } } },
    /limits\.cpu is below/,
  ],
  [
    'a limit below its request, text and a number',
    { template: { resources: { requests: { cpu: 2 }, limits: { cpu: '1500m' } } } },
    /limits\.cpu is below/,
  ],
  [
    'a disk limit below its request',
    {
      template: {
        resources: {
          requests: { 'ephemeral-storage': '2Gi' },
          limits: { 'ephemeral-storage': '1Gi' },
        },
      },
    },
    /limits\.ephemeral-storage is below/,
  ],
  ['1mm of a CPU', { template: { resources: { limits: { cpu: '1mm' } } } }, /cpu: should match/],
  [
    'an election shorter than a heartbeat',
    { raft: { electionTimeout: '100ms', heartbeatInterval: '200ms' } },
    /^spec\.raft: electionTimeout needs to be at least five times heartbeatInterval/,
  ],
  [
    'an election of the default heartbeat',
    { raft: { electionTimeout: '400ms' } },
    /at least five times/,
  ],
  ['an election of 5 ms', { raft: { electionTimeout: '5ms' } }, /from 100ms to 1m/],
  ['an election of an hour', { raft: { electionTimeout: '1h' } }, /from 100ms to 1m/],
  [
    'a log as large as its volume',
    { raft: { logQuota: '1Gi' }, storage: { size: '1Gi' } },
    /^spec: raft\.logQuota needs to be below storage\.size/,
  ],
  ['a negative duration', { raft: { electionTimeout: '-1s' } }, /should match/],
  ['a duration without unit', { raft: { electionTimeout: '1000' } }, /should match/],
  ['a volume of nothing', { storage: { size: '0' } }, /size: needs a size from 256Mi to 16Ti/],
  ['a volume of half a byte', { storage: { size: '0.5' } }, /size: needs a size/],
  ['a size in words', { storage: { size: 'big' } }, /size: should match/],
  ['a StorageClass in capitals', { storage: { storageClassName: 'Fast' } }, /should match/],
  [
    'another word for retention',
    { storage: { retention: { whenDeleted: 'Retain' } } },
    /must be one/,
  ],
  [
    'a label value of 256 KiB',
    { template: { metadata: { labels: { team: 'a'.repeat(262_144) } } } },
    /labels\.team: may not be longer than 63$/,
  ],
  [
    'an annotation of 256 KiB',
    { template: { metadata: { annotations: { note: 'a'.repeat(262_144) } } } },
    /annotations\.note: may not be longer than 4096$/,
  ],
  [
    'an annotation with control characters',
    { template: { metadata: { annotations: { note: 'a\u001b[31m' } } } },
    /annotations\.note: should match/,
  ],
  [
    'a label with a line break',
    { template: { metadata: { labels: { team: 'a\nb' } } } },
    /labels\.team: should match/,
  ],
  [
    'a label whose key is no name',
    { template: { metadata: { labels: { 'a b': 'x' } } } },
    /^spec\.template\.metadata\.labels: has a key that is no name/,
  ],
  [
    'a label of ours',
    { template: { metadata: { labels: { 'etl.router/cluster': 'other' } } } },
    /are the operator’s: use another prefix/,
  ],
  [
    'an annotation of ours',
    { template: { metadata: { annotations: { 'etl.router/hash': 'x' } } } },
    /are the operator’s: use another prefix/,
  ],
  [
    'a hundred labels',
    {
      template: {
        metadata: {
          labels: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`a${i}`, ''])),
        },
      },
    },
    /labels: must have 0 to 32 properties/,
  ],
  [
    'a variable of ours',
    { template: { env: [{ name: 'ETL_DATA_DIR', value: '/tmp' }] } },
    /^spec\.template\.env\[0\]\.name: is set by the operator/,
  ],
  [
    'a variable twice',
    {
      template: {
        env: [
          { name: 'A', value: '1' },
          { name: 'A', value: '2' },
        ],
      },
    },
    /env: duplicate value/,
  ],
  [
    'a variable of nothing',
    { template: { env: [{ name: 'A' }] } },
    /exactly one of value and valueFrom/,
  ],
  [
    'a variable of two things',
    {
      template: {
        env: [{ name: 'A', value: '1', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      },
    },
    /exactly one of value and valueFrom/,
  ],
  [
    'a renewal that never rests',
    { tls: { certificateDuration: '1h', renewBefore: '50m' } },
    /^spec\.tls: renewBefore needs to be at most half/,
  ],
  [
    'an authority that ends before what it signed',
    { tls: { authorityDuration: '2161h' } },
    /^spec\.tls: authorityDuration needs to be at least twice/,
  ],
  ['a log level that is none', { logLevel: 'verbose' }, /must be one of fatal, error/],
  ['a strategy in another case', { update: { strategy: 'Automatic' } }, /must be one of automatic/],
  ['another word for paused', { reconciliation: 'Paused' }, /must be one of active, paused/],
];

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
