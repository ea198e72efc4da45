// What the objects and members of a cluster are called. A pod, its claim, its member and its address share one number,
// the ordinal; it begins at 1, so that member 1 runs in the pod that ends in -1.

/** Number of the first pod. */
export const firstOrdinal = 1;

/** Members that a schema lets a cluster have, and so the highest ordinal. */
export const membersMax = 7;

/** The container of a pod that is the member; others may be added to the pod. */
export const routerContainer = 'router';

export const ports = { grpc: 50051, raft: 50052, http: 8080, metrics: 9090 } as const;

export const annotations = {
  /** On the pods: digest of all that a pod is started with. A pod with another one is outdated. */
  revision: 'etl.router/revision',
  /** On the pods: how many members found the cluster. It never changes. */
  founders: 'etl.router/founders',
  /** On a pod: somebody says that its node and disk do not come back. */
  unrecoverable: 'etl.router/unrecoverable',
} as const;

export const clusterLabel = 'etl.router/cluster';

/** On claims: uid of the cluster whose they are; one that it kept outlives it, and may serve the next of its name. */
export const clusterUidLabel = 'etl.router/cluster-uid';

/** On claims: uid of the cluster that gave up the volume. What is said on a pod goes with the pod, this with the volume. */
export const givenUpLabel = 'etl.router/unrecoverable';

/** Who the operator's writes are signed by. */
export const fieldManager = 'etl-operator';

export function podName(cluster: string, ordinal: number): string {
  return `${cluster}-${ordinal}`;
}

export function peersName(cluster: string): string {
  return `${cluster}-peers`;
}

/** The ordinal at the end of a name of this cluster; undefined: the name is none of its. */
export function ordinalOf(cluster: string, name: string): number | undefined {
  const digits = name.startsWith(`${cluster}-`) ? name.slice(cluster.length + 1) : '';
  return /^[1-9]\d{0,3}$/.test(digits) ? Number(digits) : undefined;
}

/** Where a member is reached by its peers and by the operator. */
export function hostOf(cluster: string, namespace: string, ordinal: number): string {
  return `${podName(cluster, ordinal)}.${peersName(cluster)}.${namespace}.svc`;
}

export function raftAddressOf(cluster: string, namespace: string, ordinal: number): string {
  return `${hostOf(cluster, namespace, ordinal)}:${ports.raft}`;
}
