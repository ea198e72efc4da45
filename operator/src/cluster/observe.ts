// Puts together what a plan is made from: the caches, the server itself where a cache may be too late, and the members'
// own words. Reads only.

import { isIP } from 'node:net';
import type { Clock } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import type { MemberAddress, RouterAdmins, RouterCredentials } from '../router-client.ts';
import { isNotFound, isStatus } from '../runtime/api-error.ts';
import {
  type KubeKind,
  type KubeObject,
  keyOf,
  type ObjectRef,
  refOf,
  type UntypedObject,
} from '../runtime/kube-object.ts';
import { listAll } from '../runtime/list-all.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import type { ClusterCaches } from './caches.ts';
import { claimKind, namespaceKind, podKind } from './kinds.ts';
import { clusterLabel, hostOf, ordinalOf, ports } from './names.ts';
import { childKinds, objectKey } from './objects.ts';
import { type ClaimView, type MemberWord, type PodView, toClaimView, toPodView } from './view.ts';
import { toMemberWord } from './word.ts';

export interface ObserverOptions {
  readonly client: RawKube;
  readonly caches: ClusterCaches;
  readonly routers: RouterAdmins;
  readonly clock: Clock;
}

/** The pods and volumes of a cluster. */
export interface Parts {
  readonly pods: readonly PodView[];
  readonly claims: readonly ClaimView[];
  /** Pods that can be called. */
  readonly addresses: readonly MemberAddress[];
}

export class Observer {
  readonly #options: ObserverOptions;

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  /**
   * Pods and claims. While something is being done, and once the cluster is deleted, they are read from the server
   * itself: a cache may not know yet of the pod that was just deleted.
   */
  async parts(cluster: EtlRouterCluster, signal: AbortSignal): Promise<Parts> {
    const { caches, clock } = this.#options;
    const { deletionTimestamp } = cluster.metadata;
    const isBusy = cluster.status?.operation !== undefined || deletionTimestamp !== undefined;
    const key = keyOf(cluster);
    const [pods, claims] = isBusy
      ? await Promise.all([
          this.#list(podKind, cluster, signal),
          this.#list(claimKind, cluster, signal),
        ])
      : [caches.pods.of(key), caches.claims.of(key)];
    const { name } = cluster.metadata;
    const nowMs = clock.wallMs();
    return {
      pods: pods
        .flatMap((pod) => toPodView(name, pod, nowMs) ?? [])
        .toSorted((a, b) => a.ordinal - b.ordinal),
      claims: claims
        .flatMap((claim) => toClaimView(name, claim) ?? [])
        .toSorted((a, b) => a.ordinal - b.ordinal),
      addresses: pods.flatMap((pod) => addressOf(cluster, pod) ?? []),
    };
  }

  /** What the members say of themselves and of each other. */
  async words(
    cluster: EtlRouterCluster,
    { addresses }: Parts,
    how: { readonly credentials: RouterCredentials | undefined; readonly signal: AbortSignal },
  ): Promise<readonly MemberWord[]> {
    const { routers, clock } = this.#options;
    const { credentials, signal } = how;
    if (credentials === undefined) return [];
    const answers = await routers.askAll(keyOf(cluster), credentials, {
      members: addresses,
      method: 'getClusterStatus',
      ask: (calls, options) => calls.getClusterStatus({}, options),
      signal,
    });
    const nowMs = clock.monotonicMs();
    return answers.flatMap(
      ({ member, value, atMs }) =>
        toMemberWord(value, { ordinal: member.ordinal, ageMs: nowMs - atMs }) ?? [],
    );
  }

  /** The children by the name that plans know them by, as the caches have them. */
  objects(cluster: EtlRouterCluster): Map<string, UntypedObject> {
    const children = this.#options.caches.childrenOf(keyOf(cluster));
    return new Map(children.map((object) => [objectKey(object), object]));
  }

  /** Those of `wanted` that no cache knows and that are there all the same, whoever made them. */
  async unseen(
    wanted: readonly UntypedObject[],
    known: ReadonlyMap<string, UntypedObject>,
    signal: AbortSignal,
  ): Promise<readonly UntypedObject[]> {
    const missing = wanted.filter((object) => !known.has(objectKey(object)));
    const found = await Promise.all(
      missing.map((object) =>
        this.#find(refOf(childKinds[object.kind] as KubeKind, object), signal),
      ),
    );
    return found.filter((object) => object !== undefined);
  }

  /** The StatefulSet of this name, whosever it is, as the server has it now. */
  async statefulSet(
    { metadata }: EtlRouterCluster,
    signal: AbortSignal,
  ): Promise<UntypedObject | undefined> {
    const { name, namespace } = metadata;
    return await this.#find(
      { kind: childKinds['StatefulSet'] as KubeKind, name, namespace },
      signal,
    );
  }

  /** Whether its namespace is being deleted, and all that is in it. Where that may not be asked it is not known to be so. */
  async isNamespaceGoing({ metadata }: EtlRouterCluster, signal: AbortSignal): Promise<boolean> {
    const ref = { kind: namespaceKind, name: metadata.namespace };
    try {
      const { metadata: found } = await this.#options.client.get<KubeObject>(ref, { signal });
      return found.deletionTimestamp !== undefined;
    } catch (error) {
      if (isStatus(error, 403)) return false;
      throw error;
    }
  }

  async #find(ref: ObjectRef, signal: AbortSignal): Promise<UntypedObject | undefined> {
    try {
      return await this.#options.client.get<UntypedObject>(ref, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #list(
    kind: KubeKind,
    { metadata }: EtlRouterCluster,
    signal: AbortSignal,
  ): Promise<readonly KubeObject[]> {
    const { name, namespace } = metadata;
    const selection = { namespace, labelSelector: `${clusterLabel}=${name}` };
    const { items } = await listAll<KubeObject>(this.#options.client, kind, selection, { signal });
    return items;
  }
}

interface PodStatus extends KubeObject {
  readonly status?: {
    readonly podIP?: string;
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/**
 * Where a member is called: at the address of its pod, since names of pods that were just made are not found for a while.
 * Undefined: it has none, or has ended.
 */
function addressOf({ metadata }: EtlRouterCluster, pod: KubeObject): MemberAddress | undefined {
  const { podIP = '', phase, conditions } = (pod as PodStatus).status ?? {};
  const ordinal = ordinalOf(metadata.name, pod.metadata.name);
  const family = isIP(podIP);
  if (ordinal === undefined || family === 0 || phase !== 'Running') return undefined;
  return {
    ordinal,
    podUid: pod.metadata.uid ?? '',
    address: `${family === 6 ? `[${podIP}]` : podIP}:${ports.grpc}`,
    serverName: hostOf(metadata.name, metadata.namespace, ordinal),
    isReady:
      pod.metadata.deletionTimestamp === undefined &&
      conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true,
  };
}
