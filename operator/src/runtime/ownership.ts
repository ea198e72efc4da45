// How objects say whose they are: an owner reference for the garbage collector, labels for people and selectors.

import type { KubeObject, OwnerReference } from './kube-object.ts';

/** The reference to the object that an object is made for. It goes when its owner does. */
export function controllerReference(owner: KubeObject): OwnerReference {
  const { name, uid = '' } = owner.metadata;
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The uid of the object that it is made for; undefined: it stands for itself. */
export function controllerUid({ metadata }: Pick<KubeObject, 'metadata'>): string | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;
}

/** The labels that Kubernetes recommends. */
export interface CommonLabels {
  readonly name: string;
  readonly instance: string;
  readonly component: string;
  readonly partOf: string;
  readonly managedBy: string;
  readonly version?: string;
}

export function commonLabels(labels: CommonLabels): { readonly [key: string]: string } {
  const { name, instance, component, partOf, managedBy, version } = labels;
  return {
    'app.kubernetes.io/name': name,
    'app.kubernetes.io/instance': instance,
    'app.kubernetes.io/component': component,
    'app.kubernetes.io/part-of': partOf,
    'app.kubernetes.io/managed-by': managedBy,
    ...(version === undefined ? {} : { 'app.kubernetes.io/version': version }),
  };
}
