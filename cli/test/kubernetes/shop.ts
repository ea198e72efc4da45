// A namespace with a router cluster of three that works, as a test finds it.

import type { TestContext } from 'node:test';
import type { Fields, RouterAnswer } from './kubernetes.ts';
import { FakeKubernetes } from './kubernetes.ts';

export const clusterPath = '/apis/etl.router/v1/namespaces/shop/etlrouterclusters/main';
export const podPath = (name: string): string => `/api/v1/namespaces/shop/pods/${name}`;

const yes = (type: string, reason: string, status = 'True'): Fields => ({
  ...{ type, status, reason, message: `${reason}.`, observedGeneration: 2 },
  lastTransitionTime: '2025-12-31T00:00:00Z',
});

export const conditions: readonly Fields[] = [
  yes('Accepted', 'Accepted'),
  yes('Ready', 'Ready'),
  yes('Available', 'QuorumAvailable'),
  yes('Progressing', 'UpToDate', 'False'),
  yes('Degraded', 'AllMembersWork', 'False'),
  yes('CertificatesReady', 'Valid'),
  yes('ReconciliationPaused', 'Active', 'False'),
];

export function cluster(name = 'main', status: Fields = {}): Fields {
  return {
    kind: 'EtlRouterCluster',
    metadata: { name, namespace: 'shop', generation: 2 },
    spec: { replicas: 3, storage: { size: '1Gi' } },
    status: {
      observedGeneration: 2,
      conditions,
      clusterID: 'c-1',
      leader: { name: `${name}-2` },
      term: 7,
      serverCertificateNotAfter: '2026-03-01T00:00:00Z',
      ...status,
    },
  };
}

export function pod(ordinal: number, more: Fields = {}, ready = true): Fields {
  return {
    metadata: {
      name: `main-${ordinal}`,
      namespace: 'shop',
      labels: { 'etl.router/cluster': 'main', 'app.kubernetes.io/component': 'router' },
    },
    spec: { nodeName: `node-${ordinal}` },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      containerStatuses: [{ name: 'router', ready, restartCount: 0 }],
      ...more,
    },
  };
}

export const routerStatus = (ordinal: number, more: Fields = {}): Fields => ({
  clusterId: 'c-1',
  health: ordinal === 2 ? 'HEALTHY' : 'UNKNOWN',
  nodeId: String(ordinal),
  raftId: `90${ordinal}`,
  role: ordinal === 2 ? 'LEADER' : 'FOLLOWER',
  leaderId: '2',
  currentTerm: '7',
  commitIndex: ordinal === 3 ? '118' : '120',
  lastApplied: ordinal === 3 ? '118' : '120',
  logLength: '100',
  members: [1, 2, 3].map((each) => ({
    name: String(each),
    raftId: `90${each}`,
    address: `main-${each}.main-peers.shop.svc:50052`,
    grpcAddress: `main-${each}.main-peers.shop.svc:50051`,
    httpAddress: `main-${each}.main-peers.shop.svc:8080`,
    role: each === 2 ? 'LEADER' : 'FOLLOWER',
    healthy: ordinal === 2 ? true : null,
    matchIndex: ordinal === 2 ? (each === 3 ? '118' : '120') : null,
  })),
  ...more,
});

/** Answers what the commands of the cluster ask. */
export const router =
  (ordinal: number, more: Fields = {}, version = '0.1.0'): RouterAnswer =>
  (_asked, response) => {
    const data = {
      clusterStatus: routerStatus(ordinal, more),
      version: { version, commit: 'abc', node: 'v24' },
      objects: { objects: [] },
      services: [],
    };
    response.end(JSON.stringify({ data }));
  };

/** A Kubernetes with the namespace `shop`. */
export async function startShop(t: TestContext): Promise<FakeKubernetes> {
  const kubernetes = await FakeKubernetes.start(t);
  kubernetes.put(clusterPath, cluster());
  for (const ordinal of [1, 2, 3]) {
    kubernetes.put(podPath(`main-${ordinal}`), pod(ordinal));
    kubernetes.routers.set(`main-${ordinal}`, router(ordinal));
  }
  return kubernetes;
}

/** Puts `status` into one condition of the cluster. */
export function withCondition(type: string, status: string, reason: string): Fields {
  const changed = conditions.map((each) =>
    each['type'] === type ? { ...each, status, reason, message: 'because' } : each,
  );
  return cluster('main', { conditions: changed });
}
/** The same, being deleted. */
export const deleted = ({ metadata, ...rest }: Fields): Fields => ({
  ...rest,
  metadata: { ...(metadata as Fields), deletionTimestamp: '2025-12-31T23:00:00Z' },
});
