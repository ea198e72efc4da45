// The kinds that the controller reads beside those of the children it applies.

import type { KubeKind } from '../runtime/kube-object.ts';

export const clusterKind: KubeKind = {
  apiVersion: 'etl.router/v1',
  kind: 'EtlRouterCluster',
  plural: 'etlrouterclusters',
  namespaced: true,
};

export const podKind: KubeKind = {
  apiVersion: 'v1',
  kind: 'Pod',
  plural: 'pods',
  namespaced: true,
};

export const claimKind: KubeKind = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  namespaced: true,
};

/** Asked for by name alone, of a cluster that goes. */
export const namespaceKind: KubeKind = {
  apiVersion: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};

export const secretKind: KubeKind = {
  apiVersion: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  namespaced: true,
};
