// The copies that the controller reads. Of what is not a cluster only what bears the label of one is kept, of Secrets the
// metadata alone, of pods what a plan is made from: the size of this process follows the routers, not the Kubernetes
// around them.

import type { Clock, Logger, Random } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import { type CacheView, Informer, type ObjectChange } from '../runtime/informer.ts';
import {
  type KubeKind,
  type KubeObject,
  keyOf,
  type UntypedObject,
} from '../runtime/kube-object.ts';
import type { Selection } from '../runtime/kube-options.ts';
import type { RuntimeMetrics } from '../runtime/metrics.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import { claimKind, clusterKind, podKind, secretKind } from './kinds.ts';
import { clusterLabel } from './names.ts';
import { childKinds } from './objects.ts';

export interface CachesOptions {
  readonly client: RawKube;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: RuntimeMetrics;
  /** Where clusters are looked for; empty: everywhere. */
  readonly namespaces: readonly string[];
}

/** Rights that were just given take a moment to be known everywhere; before that nobody is told of them. */
const refusedMinMs = 10_000;

/** A kind in all namespaces that are watched. */
class KindCache<T extends KubeObject> {
  readonly informers: readonly Informer<T>[];

  constructor(
    kind: KubeKind,
    options: CachesOptions,
    own: { readonly selection?: Selection; readonly trim?: (object: T) => T },
  ) {
    const { namespaces, ...rest } = options;
    const places = namespaces.length === 0 || !kind.namespaced ? [undefined] : namespaces;
    this.informers = places.map(
      (namespace) =>
        new Informer<T>({
          ...rest,
          kind,
          selection: { ...own.selection, namespace },
          // What one namespace does not show costs the others nothing, and no cluster that goes its end.
          mayBeRefused: namespace !== undefined && (kind !== clusterKind || namespaces.length > 1),
          indexes: { cluster: clusterKeysOf },
          ...(own.trim === undefined ? {} : { trim: own.trim }),
        }),
    );
  }

  get(key: string): T | undefined {
    for (const informer of this.informers) {
      const found = informer.get(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** What bears the label of the cluster. */
  of(cluster: string): T[] {
    return this.informers.flatMap((informer) => informer.byIndex('cluster', cluster));
  }

  list(): T[] {
    return this.informers.flatMap((informer) => informer.list());
  }
}

export class ClusterCaches {
  readonly clusters: KindCache<EtlRouterCluster>;
  readonly pods: KindCache<KubeObject>;
  readonly claims: KindCache<KubeObject>;
  /** Metadata alone. */
  readonly secrets: KindCache<KubeObject>;
  readonly #children: ReadonlyMap<string, KindCache<UntypedObject>>;

  constructor(options: CachesOptions) {
    const labelled = { selection: { labelSelector: clusterLabel } };
    this.clusters = new KindCache(clusterKind, options, {});
    this.pods = new KindCache(podKind, options, { ...labelled, trim: trimPod });
    this.claims = new KindCache(claimKind, options, labelled);
    this.secrets = new KindCache(secretKind, options, {
      selection: { ...labelled.selection, metadataOnly: true },
    });
    this.#children = new Map(
      Object.entries(childKinds).map(([name, kind]) => [
        name,
        new KindCache<UntypedObject>(kind, options, labelled),
      ]),
    );
  }

  /** Every informer, to be started, watched and ended. */
  get informers(): readonly CacheView[] {
    return [this.clusters, ...this.#parts()].flatMap(
      (cache): readonly CacheView[] => cache.informers,
    );
  }

  /** What the operator may not list in a namespace, and has not been for a while: plurals. */
  refusedIn(namespace: string | undefined): readonly string[] {
    const own = this.informers.filter((informer) => informer.namespace === namespace);
    if (namespace === undefined) return [];
    const isTold = (ms = 0): boolean => ms >= refusedMinMs;
    return own.filter(({ refusedForMs }) => isTold(refusedForMs)).map(({ kind }) => kind.plural);
  }

  /** Whether all of a namespace may be read. What is seen of one where that is not so is nothing to act on. */
  serves(namespace: string | undefined): boolean {
    const own = this.informers.filter((informer) => informer.namespace === namespace);
    return namespace === undefined || own.every(({ served }) => served);
  }

  /** An object of one of the kinds that are applied, by its kind's name. */
  child(
    kind: string,
    object: { readonly metadata: KubeObject['metadata'] },
  ): UntypedObject | undefined {
    return this.#children.get(kind)?.get(keyOf(object));
  }

  /** All objects of those kinds that bear the label of the cluster. */
  childrenOf(cluster: string): UntypedObject[] {
    return [...this.#children.values()].flatMap((cache) => cache.of(cluster));
  }

  /** Tells of each cluster that something happened to, or to one of its parts. */
  listen(onChange: (key: string, fromList: boolean) => void): void {
    for (const informer of this.clusters.informers) {
      informer.listen(({ object, fromList }) => onChange(keyOf(object), fromList));
    }
    const onPart = (change: ObjectChange<KubeObject>): void => {
      for (const key of clusterKeysOf(change.object)) onChange(key, change.fromList);
    };
    for (const cache of this.#parts()) {
      for (const informer of cache.informers) informer.listen(onPart);
    }
  }

  #parts(): readonly KindCache<KubeObject>[] {
    const children = [...this.#children.values()] as unknown as readonly KindCache<KubeObject>[];
    return [this.pods, this.claims, this.secrets, ...children];
  }
}

/** The key of the cluster that an object says it belongs to. Bindings have no namespace of their own but in their name. */
function clusterKeysOf({ metadata }: KubeObject): readonly string[] {
  const cluster = metadata.labels?.[clusterLabel];
  if (cluster === undefined) return [];
  if (metadata.namespace !== undefined) return [`${metadata.namespace}/${cluster}`];
  const namespace = metadata.name.split(':')[1];
  return namespace === undefined ? [] : [`${namespace}/${cluster}`];
}

interface PodFields extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly { readonly name: string; readonly image?: string }[];
  };
  readonly status?: { readonly [field: string]: unknown };
}

/** What a plan and a call need to know of a pod. */
function trimPod(object: KubeObject): KubeObject {
  const { apiVersion, kind, metadata, spec, status } = object as PodFields;
  // Who wrote which field is half of every object, and nobody here asks.
  const kept = { ...metadata, managedFields: undefined };
  const { conditions, containerStatuses, podIP, phase, reason } = status ?? {};
  const containers = spec?.containers?.map(({ name, image }) => ({ name, image }));
  const trimmed = {
    apiVersion,
    kind,
    metadata: kept,
    spec: { containers },
    status: { conditions, containerStatuses, podIP, phase, reason },
  };
  return trimmed;
}
