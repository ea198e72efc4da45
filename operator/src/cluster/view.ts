// What was seen of a cluster, as plain values: its objects as the caches had them, and what its members said themselves.
// Nothing here is true any more by the time it is read; what is decided from it has to bear that.

import type { EtlRouterCluster } from '@etl-router/crds';
import type { KubeObject, UntypedObject } from '../runtime/kube-object.ts';
import { annotations, clusterUidLabel, givenUpLabel, ordinalOf, routerContainer } from './names.ts';

/** All that a plan is made from. */
export interface ClusterView {
  /** Time of day at which it was put together. */
  readonly nowMs: number;
  readonly cluster: EtlRouterCluster;
  /** What the operator was installed with. */
  readonly installed: Installed;
  /** The objects that bear the names of the children, whoever made them, by `Kind/name`. */
  readonly objects: ReadonlyMap<string, UntypedObject>;
  /**
   * While the status has an operation they and the claims are read from the server itself: a cache may not know yet of
   * a pod that was just deleted, and the next one would be deleted beside it.
   */
  readonly pods: readonly PodView[];
  readonly claims: readonly ClaimView[];
  /** What members said; one that does not answer is not in it. */
  readonly words: readonly MemberWord[];
  readonly certificates: CertificatesView;
  /** Why the last act did not succeed; undefined: it did, or nobody tried. */
  readonly failure?: ActFailure | undefined;
}

export interface Installed {
  readonly repository: string;
  readonly version: string;
}

export interface PodView {
  readonly name: string;
  readonly ordinal: number;
  readonly uid: string;
  /** What a deletion is bound to: a pod that changed since is looked at again first. */
  readonly resourceVersion: string;
  /** Since when it is not ready, or was not yet; of one that is ready without meaning. */
  readonly unreadySinceMs: number;
  readonly ready: boolean;
  /** Its container runs; a pod that waits for an image, a node or its next try does not. */
  readonly running: boolean;
  /** Why it does not run, in the word of Kubernetes. */
  readonly waitsFor?: string | undefined;
  readonly terminating: boolean;
  /** It should have ended by now: its node is gone. */
  readonly isStuck: boolean;
  /** It was deleted without waiting for its end: only a finalizer still holds it. */
  readonly isForced?: boolean;
  readonly revision: string | undefined;
  /** Tag of its image. */
  readonly version?: string | undefined;
  /** Somebody said that it does not come back. */
  readonly unrecoverable: boolean;
}

export interface ClaimView {
  readonly name: string;
  readonly ordinal: number;
  readonly uid: string;
  readonly terminating: boolean;
  /** As asked for, in the words of its author. */
  readonly size: string;
  /** Uid of the EtlRouterCluster that it was made for, or that took it over; undefined: nobody said. */
  readonly owner: string | undefined;
  /** Uid of the EtlRouterCluster that noted that it does not come back; what another one noted is void. */
  readonly givenUpBy: string | undefined;
}

/** What a member says of itself and of the cluster. */
export interface MemberWord {
  readonly ordinal: number;
  /** How long ago it said so. */
  readonly ageMs: number;
  /** Id of its data directory. */
  readonly raftId: string;
  /** Empty: it belongs to none. */
  readonly clusterId: string;
  /** `waiting`: it found a cluster and waits to be added to it. */
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'waiting';
  /** Name of who leads; undefined: it knows of nobody. */
  readonly leader: string | undefined;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly version: string;
  readonly members: readonly SeenMember[];
}

/** A member as another one sees it. */
export interface SeenMember {
  /** `--node-id`, which is the ordinal. */
  readonly name: string;
  readonly raftId: string;
  readonly role: 'voter' | 'learner';
  /** Only who leads knows. */
  readonly healthy: boolean | undefined;
  readonly matchIndex: number | undefined;
}

export interface CertificatesView {
  readonly state: 'valid' | 'pending' | 'expired';
  readonly message?: string | undefined;
  /** A certificate that is there has expired or is not valid yet: who shows it is refused. */
  readonly outOfDates?: boolean;
  /** When the certificate ends that ends first. */
  readonly notAfterMs?: number | undefined;
}

export interface ActFailure {
  /** How often the same act failed in a row. */
  readonly count: number;
  readonly message: string;
}

/** The live StatefulSet, as far as plans are about it. */
export interface StatefulSetView {
  readonly replicas: number;
  readonly revision: string | undefined;
  readonly founders: number | undefined;
  /** Size in the claim template, which can not be changed. */
  readonly claimSize: string | undefined;
  /** Its controller has seen the present spec. */
  readonly isObserved: boolean;
}

interface StatefulSetObject extends KubeObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: { readonly metadata?: KubeObject['metadata'] };
    readonly volumeClaimTemplates?: readonly {
      readonly spec?: {
        readonly resources?: { readonly requests?: { readonly storage?: string } };
      };
    }[];
  };
  readonly status?: { readonly observedGeneration?: number };
}

export function toStatefulSetView(object: UntypedObject): StatefulSetView {
  const { metadata, spec, status } = object as StatefulSetObject;
  const marks = spec?.template?.metadata?.annotations ?? {};
  const founders = Number(marks[annotations.founders]);
  return {
    replicas: spec?.replicas ?? 1,
    revision: marks[annotations.revision],
    founders: Number.isInteger(founders) && founders > 0 ? founders : undefined,
    claimSize: spec?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.storage,
    isObserved: (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0),
  };
}

interface PodObject extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly { readonly name: string; readonly image?: string }[];
  };
  readonly status?: {
    readonly conditions?: readonly PodCondition[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly reason?: string;
  };
}

interface PodCondition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime?: string;
}

interface ContainerStatus {
  readonly name: string;
  readonly state?: {
    readonly running?: object;
    readonly waiting?: { readonly reason?: string };
  };
}

function isRouter({ name }: { readonly name: string }): boolean {
  return name === routerContainer;
}

/** How long after its end a pod is taken for one whose node is gone. */
const stuckAfterMs = 60_000;

/** The pod of a cluster; undefined: it is none of it. */
export function toPodView(cluster: string, object: KubeObject, nowMs: number): PodView | undefined {
  const { metadata, spec, status } = object as PodObject;
  const ordinal = ordinalOf(cluster, metadata.name);
  if (ordinal === undefined) return undefined;
  const { annotations: marks = {}, deletionTimestamp } = metadata;
  const isTrue = (type: string): boolean =>
    status?.conditions?.some((each) => each.type === type && each.status === 'True') ?? false;
  const since = status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime;
  // Others may have been added to the pod, and statuses are in the order of names.
  const state = status?.containerStatuses?.find(isRouter)?.state;
  const unscheduled = isTrue('PodScheduled') ? undefined : 'Unschedulable';
  return {
    name: metadata.name,
    ordinal,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    unreadySinceMs: Date.parse(since ?? metadata.creationTimestamp ?? '') || nowMs,
    ready: isTrue('Ready'),
    running: state?.running !== undefined,
    waitsFor: state?.waiting?.reason ?? status?.reason ?? unscheduled,
    terminating: deletionTimestamp !== undefined,
    isStuck:
      deletionTimestamp !== undefined && nowMs - Date.parse(deletionTimestamp) > stuckAfterMs,
    isForced: deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0,
    revision: marks[annotations.revision],
    version: tagOf(spec?.containers?.find(isRouter)?.image),
    unrecoverable: marks[annotations.unrecoverable] === 'true',
  };
}

/** The tag of an image, also of one with a digest after it. */
function tagOf(image = ''): string | undefined {
  return /:([A-Za-z0-9_][A-Za-z0-9_.-]*)(@.*)?$/.exec(image)?.[1];
}

interface ClaimObject extends KubeObject {
  readonly spec?: { readonly resources?: { readonly requests?: { readonly storage?: string } } };
}

/** The claim of a member's volume; undefined: it is none of the cluster. */
export function toClaimView(cluster: string, object: KubeObject): ClaimView | undefined {
  const { metadata, spec } = object as ClaimObject;
  const prefix = 'data-';
  if (!metadata.name.startsWith(prefix)) return undefined;
  const ordinal = ordinalOf(cluster, metadata.name.slice(prefix.length));
  if (ordinal === undefined) return undefined;
  return {
    name: metadata.name,
    ordinal,
    uid: metadata.uid ?? '',
    terminating: metadata.deletionTimestamp !== undefined,
    size: spec?.resources?.requests?.storage ?? '0',
    owner: metadata.labels?.[clusterUidLabel],
    givenUpBy: metadata.labels?.[givenUpLabel],
  };
}
