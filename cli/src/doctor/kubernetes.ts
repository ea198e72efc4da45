// Doctor's way through a Kubernetes cluster: reads what each check needs and hands it over. What may not be read is said,
// and the rest goes on.

import { isEtlError, toEtlError } from '@etl-router/core';
import type { GlobalOptions, Io } from '../io.ts';
import { type ApiServer, orForbidden, orMissing } from '../kubernetes/api-server.ts';
import { bearerOf } from '../kubernetes/bearer.ts';
import {
  type Claim,
  clustersPath,
  type DisruptionBudget,
  type RouterCluster,
} from '../kubernetes/objects.ts';
import { KubernetesRoute } from '../kubernetes/route.ts';
import type { KubernetesPlace } from '../place.ts';
import { askAll } from '../routers.ts';
import { attempt, type Check, fail, ok, warn } from './check.ts';
import { checkApiServer, checkKinds, checkOperator } from './installation.ts';
import { checkRouterCluster, type Seen } from './router-cluster.ts';
import { checkRouters } from './routers.ts';

/** A check of a pod that does not answer is not worth more, in milliseconds. */
const patienceMs = 10_000;

export async function examine(
  place: KubernetesPlace,
  globals: GlobalOptions,
  io: Io,
): Promise<readonly Check[]> {
  const timeoutMs = Math.min(globals.timeoutMs, patienceMs);
  const patient = { ...globals, timeoutMs };
  const route = new KubernetesRoute(place, patient, io);
  let server: ApiServer;
  const checks: Check[] = [];
  try {
    server = route.server;
    const { access } = server;
    checks.push(
      ok(
        'kubeconfig',
        `${access.source}: context ${access.config.getCurrentContext()}, user ${access.user}`,
      ),
    );
    checks.push(...(await checkApiServer(server, io.clock)));
  } catch (error) {
    return [...checks, unreachable(error)];
  }
  checks.push(...(await attempt('kinds', () => checkKinds(server))));
  checks.push(
    ...(await attempt(
      'operator',
      async () => (await checkOperator(server, io.clock.wallMs())).checks,
    )),
  );
  // A service account is of the namespace of each cluster; one's own token is the same for all.
  const ownToken =
    place.serviceAccount === undefined
      ? await attempt('token', () => checkToken(server, place))
      : [];
  checks.push(...ownToken);
  const canAsk = ownToken.every(({ level }) => level === 'ok');
  const found = await attempt('clusters', async () => {
    const clusters = await listClusters(route, place);
    if ('level' in clusters) return clusters;
    if (clusters.length === 0) {
      const where = place.namespace === undefined ? '' : ` in namespace ${place.namespace}`;
      return warn(
        'clusters',
        `there is no EtlRouterCluster${where}`,
        'apply one: docs/guides/quickstart-kubernetes.md',
      );
    }
    const each = await Promise.all(
      clusters.map((cluster) =>
        examineCluster(cluster, { place, globals: patient, io, server, canAsk }),
      ),
    );
    return each.flat();
  });
  return [...checks, ...found];
}

async function checkToken(server: ApiServer, place: KubernetesPlace): Promise<Check> {
  try {
    await bearerOf(server, place, 'default');
    return ok('token', `user ${server.access.user} has a token that routers can be shown`);
  } catch (error) {
    const { code, message } = toEtlError(error);
    if (code !== 'ETL_UNAUTHENTICATED') throw error;
    return warn(
      'token',
      `routers are not asked: ${message.split(';')[0]}`,
      'name a service account that may get etlrouterclusters/graphql, with --service-account, or set ETLCTL_TOKEN',
    );
  }
}

function unreachable(error: unknown): Check {
  const { code, message } = toEtlError(error);
  if (!isEtlError(error) || code === 'ETL_CANCELLED' || code === 'ETL_INTERNAL') throw error;
  return code === 'ETL_CONFIG_INVALID'
    ? fail('kubeconfig', message, 'say which one with --kubeconfig and --context')
    : fail(
        'api-server',
        message,
        'see whether kubectl get namespaces answers with the same context',
      );
}

/** Those that are meant: the named one, those of the namespace, or all that may be seen. A check: the named one is missing. */
async function listClusters(
  route: KubernetesRoute,
  place: KubernetesPlace,
): Promise<readonly RouterCluster[] | Check> {
  const { server } = route;
  if (place.cluster !== undefined) return namedCluster(route, place.cluster);
  const inside = (namespace: string): Promise<readonly RouterCluster[]> =>
    server.list<RouterCluster>(`${clustersPath}/namespaces/${namespace}/etlrouterclusters`);
  if (place.namespace !== undefined) return inside(place.namespace);
  const all = await orForbidden(server.list<RouterCluster>(`${clustersPath}/etlrouterclusters`));
  return all ?? inside(route.clusterNamespace);
}

async function namedCluster(
  route: KubernetesRoute,
  name: string,
): Promise<readonly RouterCluster[] | Check> {
  try {
    return [await route.routerCluster()];
  } catch (error) {
    const { code, message } = toEtlError(error);
    if (code !== 'ETL_NOT_FOUND') throw error;
    const at = `${route.clusterNamespace}/${name}`;
    return fail(
      at,
      `there is no EtlRouterCluster ${at}: ${message}`,
      'kubectl get erc -A shows which there are; name one by --cluster NAMESPACE/NAME',
    );
  }
}

interface Surroundings {
  readonly place: KubernetesPlace;
  readonly globals: GlobalOptions;
  readonly io: Io;
  readonly server: ApiServer;
  /** There is a token that routers can be shown. */
  readonly canAsk: boolean;
}

async function examineCluster(
  cluster: RouterCluster,
  { place, globals, io, server, canAsk }: Surroundings,
): Promise<readonly Check[]> {
  const { namespace, name } = cluster.metadata;
  const at = `${namespace}/${name}`;
  const route = new KubernetesRoute({ ...place, namespace, cluster: name }, globals, io);
  try {
    const fromKubernetes = await attempt(at, async () =>
      checkRouterCluster(await look(cluster, route, server, io.clock.wallMs())),
    );
    if (!canAsk || cluster.metadata.deletionTimestamp !== undefined) return fromKubernetes;
    const fromRouters = await attempt(`${at} routers`, async () => {
      const words = await askAll(await route.entrances(), globals, io);
      return checkRouters(cluster, words);
    });
    return [...fromKubernetes, ...fromRouters];
  } finally {
    route.close();
  }
}

/** Reads what belongs to a cluster. Of what may not be read, only the pods are needed. */
async function look(
  cluster: RouterCluster,
  route: KubernetesRoute,
  server: ApiServer,
  nowMs: number,
): Promise<Seen> {
  const { namespace, name } = cluster.metadata;
  const core = `/api/v1/namespaces/${namespace}`;
  const budgetPath = `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets/${name}`;
  const [pods, claims, bundle, budget] = await Promise.all([
    route.pods(),
    orForbidden(server.list<Claim>(`${core}/persistentvolumeclaims`)),
    orForbidden(
      orMissing(server.get<{ data?: { 'ca.crt'?: string } }>(`${core}/configmaps/${name}-ca`)),
    ),
    orForbidden(orMissing(server.get<DisruptionBudget>(budgetPath)).then((found) => found ?? null)),
  ]);
  const isOwn = new RegExp(`^data-${name}-[0-9]+$`);
  return {
    cluster,
    pods,
    claims: claims?.filter(({ metadata }) => isOwn.test(metadata.name)),
    authorities: bundle?.data?.['ca.crt'],
    budget,
    nowMs,
  };
}
