// The objects that a cluster is made of in Kubernetes, as they should be. They are applied whenever they differ; when
// pods follow them is the plan's to decide, but for the number of replicas, which it hands in.

import type { EtlRouterCluster } from '@etl-router/crds';
import type { KubeKind, UntypedObject } from '../runtime/kube-object.ts';
import { commonLabels, controllerReference } from '../runtime/ownership.ts';
import { peersOf, routerFile } from './config.ts';
import { clusterUidLabel, firstOrdinal, peersName, ports } from './names.ts';
import { podTemplateOf, selectorOf } from './pod-template.ts';
import type { Installed } from './view.ts';

export interface ObjectsInput {
  readonly cluster: EtlRouterCluster;
  readonly installed: Installed;
  /** Pods there are to be now. */
  readonly replicas: number;
  /** Highest ordinal that there is or is to be. */
  readonly highest: number;
  readonly founders: number;
  /** Pods that may be away at once; undefined: nobody knows, and the budget stays as it is. */
  readonly unavailableMax: number | undefined;
  /** Size in the claim template, which stays as it was made. */
  readonly claimSize: string;
}

export interface ClusterObjects {
  readonly revision: string;
  /** In the order in which they are applied. */
  readonly objects: readonly UntypedObject[];
}

function kindOf(apiVersion: string, kind: string, plural: string, namespaced = true): KubeKind {
  return { apiVersion, kind, plural, namespaced };
}

/** The kinds of the children, by name. */
export const childKinds: { readonly [kind: string]: KubeKind } = {
  ServiceAccount: kindOf('v1', 'ServiceAccount', 'serviceaccounts'),
  ClusterRoleBinding: kindOf(
    'rbac.authorization.k8s.io/v1',
    'ClusterRoleBinding',
    'clusterrolebindings',
    false,
  ),
  ConfigMap: kindOf('v1', 'ConfigMap', 'configmaps'),
  Service: kindOf('v1', 'Service', 'services'),
  StatefulSet: kindOf('apps/v1', 'StatefulSet', 'statefulsets'),
  PodDisruptionBudget: kindOf('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),
};

/** Rights that the chart made: to ask who a token belongs to and what he may do. */
const reviewerRole = 'etl-router-reviewer';

/** By what an object is found in a view. */
export function objectKey(object: UntypedObject): string {
  return `${object.kind}/${object.metadata.name}`;
}

/** The binding of a cluster; it belongs to no namespace, so that nothing but a finalizer takes it away. */
export function bindingName({ name, namespace }: EtlRouterCluster['metadata']): string {
  return `etl-router:${namespace}:${name}`;
}

export function objectsOf(input: ObjectsInput): ClusterObjects {
  const { cluster, unavailableMax } = input;
  const { name } = cluster.metadata;
  const { revision, template } = podTemplateOf({ ...input, labels: labelsOf(name) });
  const isBudgeted = cluster.spec.disruptionBudget === 'managed' && unavailableMax !== undefined;
  const objects = [
    child(cluster, 'ServiceAccount', name, { automountServiceAccountToken: false }),
    binding(cluster),
    configMap(input),
    peersService(cluster),
    clientService(cluster),
    ...(isBudgeted ? [budget(cluster, unavailableMax)] : []),
    statefulSet(input, template),
  ];
  return { revision, objects };
}

/** What says of an object which cluster it is part of. */
export function labelsOf(name: string): { readonly [key: string]: string } {
  const common = commonLabels({
    name: 'etl-router',
    instance: name,
    component: 'router',
    partOf: 'etl-router',
    managedBy: 'etl-operator',
  });
  return { ...common, ...selectorOf(name) };
}

function child(
  cluster: EtlRouterCluster,
  kind: string,
  name: string,
  fields: { readonly [field: string]: unknown },
): UntypedObject {
  const { apiVersion } = childKinds[kind] as KubeKind;
  const { namespace } = cluster.metadata;
  const metadata = {
    name,
    namespace,
    labels: labelsOf(cluster.metadata.name),
    ownerReferences: [controllerReference(cluster)],
  };
  return { apiVersion, kind, metadata, ...fields };
}

function binding({ metadata }: EtlRouterCluster): UntypedObject {
  const { name, namespace } = metadata;
  const { apiVersion } = childKinds['ClusterRoleBinding'] as KubeKind;
  return {
    apiVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name: bindingName(metadata), labels: labelsOf(name) },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: reviewerRole },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  };
}

function configMap({ cluster, founders, highest }: ObjectsInput): UntypedObject {
  const { name, namespace } = cluster.metadata;
  const isFounded = cluster.status?.clusterID !== undefined;
  const peers = peersOf({ cluster: name, namespace, founders, isFounded, highest });
  return child(cluster, 'ConfigMap', `${name}-config`, {
    data: { 'router.yaml': routerFile(cluster.spec, peers) },
  });
}

/** Gives out addresses that are not ready: members find each other before one leads. */
function peersService(cluster: EtlRouterCluster): UntypedObject {
  const { name } = cluster.metadata;
  const entries = Object.entries(ports);
  return child(cluster, 'Service', peersName(name), {
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectorOf(name),
      ports: entries.map(([port, number]) => ({ name: port, port: number, targetPort: port })),
    },
  });
}

function clientService(cluster: EtlRouterCluster): UntypedObject {
  const { name } = cluster.metadata;
  const { type, annotations } = cluster.spec.services.client;
  const service = child(cluster, 'Service', name, {
    spec: {
      type,
      selector: selectorOf(name),
      ports: [
        { name: 'grpc', port: ports.grpc, targetPort: 'grpc' },
        { name: 'http', port: ports.http, targetPort: 'http' },
      ],
    },
  });
  if (annotations === undefined) return service;
  return { ...service, metadata: { ...service.metadata, annotations } };
}

function budget(cluster: EtlRouterCluster, maxUnavailable: number): UntypedObject {
  const { name } = cluster.metadata;
  return child(cluster, 'PodDisruptionBudget', name, {
    spec: {
      maxUnavailable,
      unhealthyPodEvictionPolicy: 'IfHealthyBudget',
      selector: { matchLabels: selectorOf(name) },
    },
  });
}

function statefulSet(input: ObjectsInput, template: unknown): UntypedObject {
  const { cluster, replicas, claimSize } = input;
  const { name, uid } = cluster.metadata;
  const labels = { ...selectorOf(name), [clusterUidLabel]: uid };
  const { storageClassName } = cluster.spec.storage;
  const claim = {
    accessModes: ['ReadWriteOnce'],
    ...(storageClassName === undefined ? {} : { storageClassName }),
    resources: { requests: { storage: claimSize } },
  };
  return child(cluster, 'StatefulSet', name, {
    spec: {
      replicas,
      serviceName: peersName(name),
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'OnDelete' },
      ordinals: { start: firstOrdinal },
      revisionHistoryLimit: 3,
      selector: { matchLabels: selectorOf(name) },
      // Whoever scales or deletes the StatefulSet past the operator loses no volume by it.
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      template,
      volumeClaimTemplates: [{ metadata: { name: 'data', labels }, spec: claim }],
    },
  });
}
