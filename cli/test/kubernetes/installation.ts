// What the chart brings into a Kubernetes, as doctor finds it where all is well.

import type { TestContext } from 'node:test';
import type { FakeKubernetes, Fields } from './kubernetes.ts';
import { startShop } from './shop.ts';

export const deploymentPath = '/apis/apps/v1/namespaces/etl-system/deployments/etl-operator';
export const leasePath = '/apis/coordination.k8s.io/v1/namespaces/etl-system/leases/etl-operator';
export const claimPath = (name: string): string =>
  `/api/v1/namespaces/shop/persistentvolumeclaims/${name}`;

const kinds = ['EtlRouterCluster', 'EtlPipeline', 'EtlSource', 'EtlTransform', 'EtlSink'];

export function definitionPath(kind: string): string {
  return `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${kind.toLowerCase()}s.etl.router`;
}

export function deployment(ready: number, replicas = 2): Fields {
  return {
    metadata: {
      name: 'etl-operator',
      namespace: 'etl-system',
      labels: {
        'app.kubernetes.io/component': 'operator',
        'app.kubernetes.io/part-of': 'etl-router',
      },
    },
    spec: {
      replicas,
      template: {
        spec: { containers: [{ name: 'operator', image: 'etl-router/operator:0.1.0' }] },
      },
    },
    status: { readyReplicas: ready },
  };
}

export function lease(renewTime: string, holderIdentity = 'etl-operator-a'): Fields {
  return {
    metadata: { name: 'etl-operator', namespace: 'etl-system' },
    spec: { holderIdentity, renewTime, leaseDurationSeconds: 15, leaseTransitions: 4 },
  };
}

export function claim(name: string, status: Fields = {}, metadata: Fields = {}): Fields {
  return {
    metadata: { name, namespace: 'shop', ...metadata },
    spec: { storageClassName: 'fast' },
    status: { phase: 'Bound', capacity: { storage: '1Gi' }, ...status },
  };
}

/** The shop with everything around it; time stands at 2026-01-01T00:00:00Z. */
export async function startInstalled(t: TestContext): Promise<FakeKubernetes> {
  const kubernetes = await startShop(t);
  const at = (path: string, object: Fields): void => kubernetes.put(path, object);
  at('/version', { gitVersion: 'v1.34.4', minor: '34' });
  at('/apis/etl.router/v1', { resources: kinds.map((kind) => ({ kind })) });
  for (const kind of kinds) {
    at(definitionPath(kind), {
      metadata: { labels: { 'app.kubernetes.io/version': '0.1.0' } },
      status: { conditions: [{ type: 'Established', status: 'True' }] },
    });
  }
  at(deploymentPath, deployment(2));
  at(leasePath, lease('2025-12-31T23:59:55.000000Z'));
  for (const ordinal of [1, 2, 3])
    at(claimPath(`data-main-${ordinal}`), claim(`data-main-${ordinal}`));
  at('/apis/policy/v1/namespaces/shop/poddisruptionbudgets/main', {
    metadata: { name: 'main', namespace: 'shop' },
    status: { disruptionsAllowed: 1 },
  });
  return kubernetes;
}
