// Finds the EtlRouterCluster that is meant and its pods, and says what there is when it can not be told.

import { EtlError, isEtlError } from '@etl-router/core';
import { doctorHint } from '../route.ts';
import { type ApiServer, orMissing } from './api-server.ts';
import { clusterLabel, clustersPath, isReady, type Pod, type RouterCluster } from './objects.ts';

/** The named EtlRouterCluster, or the only one of the namespace. Throws ETL_NOT_FOUND or ETL_INVALID_ARGUMENT. */
export async function findCluster(
  server: ApiServer,
  namespace: string,
  name: string | undefined,
): Promise<RouterCluster> {
  const path = `${clustersPath}/namespaces/${namespace}/etlrouterclusters`;
  if (name !== undefined) {
    try {
      return await server.get<RouterCluster>(`${path}/${name}`);
    } catch (error) {
      throw isEtlError(error) && error.code === 'ETL_NOT_FOUND'
        ? await missing(server, namespace, name)
        : error;
    }
  }
  const clusters = await orMissing(server.list<RouterCluster>(path));
  if (clusters === undefined) throw notInstalled(server);
  const [only, ...others] = clusters;
  if (only === undefined) throw await missing(server, namespace, undefined);
  if (others.length === 0) return only;
  const names = clusters.map(({ metadata }) => metadata.name).join(', ');
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `namespace ${namespace} of ${server.access.shown} has several EtlRouterClusters; choose one with --cluster: ${names}`,
  );
}

function notInstalled(server: ApiServer): EtlError {
  return new EtlError(
    'ETL_NOT_FOUND',
    `${server.access.shown} does not know EtlRouterClusters; install the chart etl-operator first`,
  );
}

async function missing(
  server: ApiServer,
  namespace: string,
  name: string | undefined,
): Promise<EtlError> {
  const there = await elsewhere(server);
  if (there === undefined) return notInstalled(server);
  const what = name === undefined ? 'has no EtlRouterCluster' : `has no EtlRouterCluster ${name}`;
  const others = there === '' ? '' : `; there are ${there} (--cluster NAMESPACE/NAME)`;
  return new EtlError(
    'ETL_NOT_FOUND',
    `namespace ${namespace} of ${server.access.shown} ${what}${others}`,
  );
}

/** `ns/name` of all that may be seen; empty: none, or they may not be listed; undefined: no such kind. */
async function elsewhere(server: ApiServer): Promise<string | undefined> {
  try {
    const all = await orMissing(server.list<RouterCluster>(`${clustersPath}/etlrouterclusters`));
    return all
      ?.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
      .slice(0, 20)
      .join(', ');
  } catch (error) {
    if (isEtlError(error) && error.code === 'ETL_PERMISSION_DENIED') return '';
    throw error;
  }
}

/** The pods of a cluster by name. */
export async function findPods(server: ApiServer, cluster: RouterCluster): Promise<readonly Pod[]> {
  const { namespace, name } = cluster.metadata;
  const labels = encodeURIComponent(`${clusterLabel}=${name},app.kubernetes.io/component=router`);
  const pods = await server.list<Pod>(
    `/api/v1/namespaces/${namespace}/pods?labelSelector=${labels}`,
  );
  const collator = new Intl.Collator('en', { numeric: true });
  return pods.toSorted((a, b) => collator.compare(a.metadata.name, b.metadata.name));
}

/**
 * Pods in the order in which they are to be asked: the leader, then whoever is ready, then whoever runs, who may at least
 * tell how it is. Throws ETL_UNAVAILABLE when no pod runs.
 */
export function inOrder(cluster: RouterCluster, pods: readonly Pod[]): readonly Pod[] {
  const leader = cluster.status?.leader?.name;
  const rank = (pod: Pod): number => (isReady(pod) ? (pod.metadata.name === leader ? 0 : 1) : 2);
  const running = pods.filter(({ status }) => status?.phase === 'Running');
  if (running.length > 0) return running.toSorted((a, b) => rank(a) - rank(b));
  const { namespace, name } = cluster.metadata;
  const states = pods.map(
    ({ metadata, status }) => `${metadata.name} is ${status?.phase ?? 'unknown'}`,
  );
  throw new EtlError(
    'ETL_UNAVAILABLE',
    `no pod of EtlRouterCluster ${namespace}/${name} runs${states.length === 0 ? '' : ` (${states.join(', ')})`}; ${doctorHint}`,
  );
}
