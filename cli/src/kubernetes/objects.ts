// The objects that etlctl reads, as far as it reads them. They come from a server: whatever can be absent is optional.

export interface Meta {
  readonly name: string;
  readonly namespace?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: { readonly [name: string]: string };
  readonly annotations?: { readonly [name: string]: string };
}

export interface ListOf<T> {
  readonly items?: readonly T[];
  readonly metadata?: { readonly continue?: string };
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime?: string;
}

export interface RouterClusterMember {
  readonly name: string;
  readonly memberID?: string;
  readonly role?: string;
  readonly state?: string;
  readonly version?: string;
}

/** An EtlRouterCluster. */
export interface RouterCluster {
  readonly metadata: Meta;
  readonly spec?: {
    readonly replicas?: number;
    readonly storage?: { readonly size?: string };
    readonly disruptionBudget?: string;
    readonly tls?: {
      readonly certificateDuration?: string;
      readonly renewBefore?: string;
      readonly authorityDuration?: string;
    };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly clusterID?: string;
    readonly leader?: { readonly name: string };
    readonly term?: number;
    readonly members?: readonly RouterClusterMember[];
    readonly operation?: {
      readonly type: string;
      readonly phase: string;
      readonly target?: string;
      readonly startedAt: string;
      readonly attempt: number;
      readonly message?: string;
    };
    readonly serverCertificateNotAfter?: string;
  };
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
  readonly lastState?: {
    readonly terminated?: { readonly exitCode?: number; readonly reason?: string };
  };
}

export interface Pod {
  readonly metadata: Meta;
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

export interface Claim {
  readonly metadata: Meta;
  readonly spec?: { readonly storageClassName?: string };
  readonly status?: { readonly phase?: string; readonly capacity?: { readonly storage?: string } };
}

export interface Deployment {
  readonly metadata: Meta;
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: {
      readonly spec?: {
        readonly containers?: readonly { readonly name: string; readonly image?: string }[];
      };
    };
  };
  readonly status?: { readonly readyReplicas?: number; readonly conditions?: readonly Condition[] };
}

export interface LeaseObject {
  readonly metadata: Meta;
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface DisruptionBudget {
  readonly metadata: Meta;
  readonly status?: { readonly disruptionsAllowed?: number; readonly currentHealthy?: number };
}

export const clusterLabel = 'etl.router/cluster';
export const clustersPath = '/apis/etl.router/v1';

/** Whether a condition of that type has that status. */
export function has(
  conditions: readonly Condition[] | undefined,
  type: string,
  status: string,
): boolean {
  return conditions?.some((each) => each.type === type && each.status === status) ?? false;
}

export function isReady({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && has(status?.conditions, 'Ready', 'True');
}
