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

/** The uids of an object's owners: an index by them finds what belongs to whom. */
export function ownerUids(object: KubeObject): readonly string[] {
  return object.metadata.ownerReferences?.map(({ uid }) => uid) ?? [];
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
