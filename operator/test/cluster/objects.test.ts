// The objects of two clusters as golden files: one that says nothing and one that says everything. With
// ETL_UPDATE_GOLDEN=1 they are written anew, to be read before they are kept.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type EtlRouterCluster, etlRouterCluster, withDefaults } from '@etl-router/crds';
import { dump } from 'js-yaml';
import { logQuotaBytes } from '../../src/cluster/config.ts';
import { childKinds, objectsOf } from '../../src/cluster/objects.ts';
import { imageOf } from '../../src/cluster/pod-template.ts';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';

const installed = { repository: 'example.io/etl/router', version: '0.2.0' };

function clusterOf(spec: { readonly [field: string]: unknown }, clusterID?: string) {
  const object = {
    apiVersion: 'etl.router/v1',
    kind: 'EtlRouterCluster',
    metadata: {
      ...{ name: 'main', namespace: 'shop', uid: 'uid-1', resourceVersion: '7' },
      ...{ generation: 2, creationTimestamp: '2026-01-01T00:00:00Z' },
    },
    spec,
    ...(clusterID === undefined ? {} : { status: { clusterID } }),
  } as unknown as EtlRouterCluster;
  return withDefaults(etlRouterCluster, object);
}

function made(cluster: EtlRouterCluster, replicas = cluster.spec.replicas) {
  const founders = cluster.spec.replicas;
  const claimSize = cluster.spec.storage.size;
  const unavailableMax = Math.floor((replicas - 1) / 2);
  const counts = { replicas, highest: replicas, founders, unavailableMax };
  return objectsOf({ cluster, installed, ...counts, claimSize });
}

const everything = {
  replicas: 5,
  version: '0.3.0',
  image: {
    repository: 'example.io/other/router',
    digest: `sha256:${'a'.repeat(64)}`,
    pullPolicy: 'Always',
    pullSecretRefs: [{ name: 'registry' }],
  },
  raft: { electionTimeout: '2s', heartbeatInterval: '200ms', logQuota: '64Mi' },
  storage: {
    size: '1Gi',
    storageClassName: 'fast',
    retention: { whenDeleted: 'delete', whenScaled: 'retain' },
  },
  template: {
    metadata: { labels: { team: 'orders' }, annotations: { note: 'seen' } },
    resources: { requests: { cpu: 1, memory: '2Gi' }, limits: { memory: '2Gi' } },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'dedicated', operator: 'Exists', effect: 'NoSchedule' }],
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } },
    topologySpreadConstraints: [
      { topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule', maxSkew: 2 },
    ],
    priorityClassName: 'high',
    env: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=512' }],
    terminationGracePeriod: '1m30s',
  },
  services: { client: { type: 'LoadBalancer', annotations: { 'example.io/lb': 'internal' } } },
  logLevel: 'debug',
};

function isGolden(name: string, cluster: EtlRouterCluster): void {
  const file = new URL(`testdata/${name}.yaml`, import.meta.url);
  const text = made(cluster)
    .objects.map((object) => dump(JSON.parse(JSON.stringify(object)), { noRefs: true }))
    .join('---\n');
  if (process.env['ETL_UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  assert.equal(text, readFileSync(file, 'utf8'));
}

test('the objects of a cluster that says nothing, before it is founded', () => {
  isGolden('defaults', clusterOf({}));
});

test('the objects of a cluster that says everything, once it is founded', () => {
  isGolden('everything', clusterOf(everything, 'c-1'));
});

test('pods meet the restricted Pod Security Standard and write to their volume alone', () => {
  const set = made(clusterOf({})).objects.find(
    ({ kind }) => kind === 'StatefulSet',
  ) as UntypedObject;
  const { template } = set['spec'] as { readonly template: unknown };
  const { spec } = template as {
    spec: {
      securityContext: { runAsNonRoot: boolean; seccompProfile: { type: string } };
      containers: { securityContext: unknown; volumeMounts: { name: string; readOnly?: true }[] }[];
    };
  };
  assert.equal(spec.securityContext.runAsNonRoot, true);
  assert.equal(spec.securityContext.seccompProfile.type, 'RuntimeDefault');
  const [container] = spec.containers;
  assert.deepEqual(container?.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  const writable = container?.volumeMounts.filter(({ readOnly }) => readOnly !== true);
  assert.deepEqual(
    writable?.map(({ name }) => name),
    ['data'],
  );
});

test('the revision changes with what a pod is started with, and with nothing else', () => {
  const revision = made(clusterOf({})).revision;
  const same = [
    clusterOf({ replicas: 5 }),
    clusterOf({}, 'c-1'),
    clusterOf({ storage: { size: '20Gi' } }),
    clusterOf({ services: { client: { type: 'NodePort' } }, disruptionBudget: 'none' }),
    clusterOf({ update: { strategy: 'supervised' }, reconciliation: 'paused' }),
    clusterOf({ tls: { certificateDuration: '24h', renewBefore: '8h' } }),
  ];
  for (const cluster of same) assert.equal(made(cluster).revision, revision);
  const others = [
    clusterOf({ version: '0.3.0' }),
    clusterOf({ logLevel: 'debug' }),
    clusterOf({ raft: { snapshotEntries: 500 } }),
    clusterOf({ template: { priorityClassName: 'high' } }),
  ];
  for (const cluster of others) assert.notEqual(made(cluster).revision, revision);
});

test('a log quota that is left out is a quarter of the volume, at most 2Gi', () => {
  const quota = (storage: string, logQuota?: string): number => {
    const raft = logQuota === undefined ? {} : { raft: { logQuota } };
    return logQuotaBytes(clusterOf({ storage: { size: storage }, ...raft }).spec) / 1024 ** 2;
  };
  assert.deepEqual(
    [quota('256Mi'), quota('1Gi'), quota('8Gi'), quota('1Ti')],
    [64, 256, 2048, 2048],
  );
  assert.equal(quota('10Gi', '32Mi'), 32);
});

test('the digest of an image stands after its tag', () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  assert.equal(imageOf(clusterOf({}), installed), 'example.io/etl/router:0.2.0');
  assert.equal(
    imageOf(clusterOf({ image: { digest } }), installed),
    `example.io/etl/router:0.2.0@${digest}`,
  );
});

test('before the founding exactly the founders are named, afterwards all members and nobody', () => {
  const peersIn = (cluster: EtlRouterCluster, replicas: number): readonly string[] => {
    const map = made(cluster, replicas).objects.find(({ kind }) => kind === 'ConfigMap');
    const { data } = map as unknown as { readonly data: { readonly 'router.yaml': string } };
    return Array.from(data['router.yaml'].matchAll(/^ {4}- (.*)$/gm), ([, peer]) => peer ?? '');
  };
  for (const replicas of [1, 3, 5, 7]) {
    const members = Array.from(
      { length: replicas },
      (_, at) => `${at + 1}@main-${at + 1}.main-peers.shop.svc:50052`,
    );
    assert.deepEqual(peersIn(clusterOf({ replicas }), replicas), members);
    const founded = peersIn(clusterOf({ replicas }, 'c-1'), replicas);
    assert.deepEqual(founded, [...members, 'nobody.invalid:50052']);
  }
});

test('a budget lets go of the voters beyond a majority, stays as it is where they are unknown, and can be left out', () => {
  const budgetOf = (cluster: EtlRouterCluster, unavailableMax: number | undefined) =>
    objectsOf({
      ...{ cluster, installed, replicas: 3, highest: 3, founders: 3, claimSize: '10Gi' },
      unavailableMax,
    }).objects.find(({ kind }) => kind === 'PodDisruptionBudget')?.['spec'];
  assert.deepEqual(budgetOf(clusterOf({}), 1), {
    maxUnavailable: 1,
    unhealthyPodEvictionPolicy: 'IfHealthyBudget',
    selector: {
      matchLabels: { 'etl.router/cluster': 'main', 'app.kubernetes.io/component': 'router' },
    },
  });
  assert.equal(budgetOf(clusterOf({}), undefined), undefined);
  assert.equal(budgetOf(clusterOf({ disruptionBudget: 'none' }), 1), undefined);
});

test('every object is of a kind that the operator knows, and belongs to the cluster where it can', () => {
  for (const { kind, metadata } of made(clusterOf({})).objects) {
    const known = childKinds[kind];
    assert.ok(known !== undefined, kind);
    assert.equal(metadata.ownerReferences?.[0]?.uid, known.namespaced ? 'uid-1' : undefined);
  }
});
