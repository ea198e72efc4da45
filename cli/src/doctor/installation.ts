// Doctor's checks of what belongs to Kubernetes as a whole: the API server, the kinds, the operator and who of it leads.

import type { Clock } from '@etl-router/core';
import { type ApiServer, orForbidden, orMissing } from '../kubernetes/api-server.ts';
import { clustersPath, type Deployment, type LeaseObject } from '../kubernetes/objects.ts';
import { productVersion } from '../version.ts';
import { type Check, checkClock, fail, ok, warn, worst } from './check.ts';

const minorMin = 31;
const kinds = ['EtlRouterCluster', 'EtlPipeline', 'EtlSource', 'EtlTransform', 'EtlSink'] as const;
const operatorLabels = 'app.kubernetes.io/component=operator,app.kubernetes.io/part-of=etl-router';
const install =
  'install the chart: helm install etl-operator charts/etl-operator -n etl-system --create-namespace';

/** Whether the API server answers, how old it is, and what time it has. Throws what keeps everything else from being seen. */
export async function checkApiServer(server: ApiServer, clock: Clock): Promise<readonly Check[]> {
  const { value, serverTimeMs } = await server.ask<{
    gitVersion?: string;
    minor?: string;
  }>('GET', '/version');
  // When the answer is there: the first call may have waited for somebody to log in.
  const nowMs = clock.wallMs();
  const version = value.gitVersion ?? 'of an unknown version';
  const minor = Number.parseInt(value.minor ?? '', 10);
  const message = `${server.access.server} is Kubernetes ${version}`;
  const first =
    minor < minorMin
      ? fail('api-server', message, `1.${minorMin} or later is needed: upgrade Kubernetes`)
      : ok('api-server', message);
  return [first, checkClock('clock', 'the API server', nowMs, serverTimeMs)];
}

interface CustomResource {
  readonly metadata: { readonly labels?: { readonly [name: string]: string } };
  readonly status?: {
    readonly conditions?: readonly { type: string; status: string; message?: string }[];
  };
}

/** Whether the kinds are there, served, and of a release that this etlctl knows. */
export async function checkKinds(server: ApiServer): Promise<Check> {
  const found = await orMissing(
    server.get<{ resources?: readonly { kind: string }[] }>(clustersPath),
  );
  if (found === undefined)
    return fail('kinds', 'the kinds of etl.router/v1 are not installed', install);
  const there = new Set(found.resources?.map(({ kind }) => kind));
  const missing = kinds.filter((kind) => !there.has(kind));
  if (missing.length > 0)
    return fail('kinds', `etl.router/v1 lacks ${missing.join(', ')}`, `${install}, or upgrade it`);
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const flaws: Check[] = [];
  const versions = new Set<string>();
  for (const kind of kinds) {
    const name = `${kind.toLowerCase()}s.etl.router`;
    const definition = await orForbidden(server.get<CustomResource>(`${path}/${name}`));
    if (definition === undefined) return ok('kinds', 'all five of etl.router/v1 are served');
    const bad = definition.status?.conditions?.find(
      ({ type, status }) => ['Established', 'NamesAccepted'].includes(type) && status !== 'True',
    );
    if (bad !== undefined)
      flaws.push(fail(name, `${name}: ${bad.message ?? bad.type}`, 'see kubectl describe crd'));
    versions.add(definition.metadata.labels?.['app.kubernetes.io/version'] ?? 'unknown');
  }
  const shown = [...versions].join(' and ');
  if (versions.size > 1)
    flaws.push(warn('kinds', `the kinds are of releases ${shown}`, 'upgrade the chart once more'));
  return worst('kinds', `all five of etl.router/v1 are served, release ${shown}`, flaws);
}

/** Whether the operator runs, in which namespace, and in which version. */
export async function checkOperator(
  server: ApiServer,
  nowMs: number,
): Promise<{ readonly checks: readonly Check[]; readonly namespace: string | undefined }> {
  const deployments = await findOperators(server);
  const [operator, ...others] = deployments;
  if (operator === undefined) {
    const none = fail('operator', 'there is no Deployment of the operator', install);
    return { checks: [none], namespace: undefined };
  }
  const { name, namespace = '' } = operator.metadata;
  const { replicas = 1, template } = operator.spec ?? {};
  const ready = operator.status?.readyReplicas ?? 0;
  const image = template?.spec?.containers?.[0]?.image ?? 'no image';
  const described = `kubectl describe deployment ${name} -n ${namespace}, and the logs of its pods`;
  const seen = `${namespace}/${name} runs ${image}, ${ready} of ${replicas} ready`;
  const flaws: Check[] = [];
  if (replicas === 0)
    flaws.push(
      fail(
        name,
        `${seen}: it was scaled to 0`,
        `kubectl scale deployment ${name} -n ${namespace} --replicas=2`,
      ),
    );
  else if (ready === 0) flaws.push(fail(name, seen, `see ${described}`));
  else if (ready < replicas) flaws.push(warn(name, seen, `see ${described}`));
  if (others.length > 0) {
    const all = deployments.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    flaws.push(
      warn(
        name,
        `there are several operators: ${all.join(', ')}`,
        'keep one, unless each watches namespaces of its own',
      ),
    );
  }
  const checks = [worst('operator', seen, flaws)];
  if (ready > 0) checks.push(await checkLease(server, namespace, name, nowMs));
  return { checks, namespace };
}

async function findOperators(server: ApiServer): Promise<readonly Deployment[]> {
  const selector = encodeURIComponent(operatorLabels);
  const all = await orForbidden(
    server.list<Deployment>(`/apis/apps/v1/deployments?labelSelector=${selector}`),
  );
  if (all !== undefined) return all;
  return server.list<Deployment>(
    `/apis/apps/v1/namespaces/etl-system/deployments?labelSelector=${selector}`,
  );
}

/** Whether one of the operator's processes holds the lease: without it nobody acts. */
async function checkLease(
  server: ApiServer,
  namespace: string,
  name: string,
  nowMs: number,
): Promise<Check> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`;
  const answer = await orMissing(server.ask<LeaseObject>('GET', path));
  const logs = `kubectl logs -n ${namespace} deployment/${name}`;
  const { holderIdentity = '', renewTime, leaseDurationSeconds = 15 } = answer?.value.spec ?? {};
  if (holderIdentity === '')
    return fail(
      'operator lease',
      `nobody holds the lease ${namespace}/${name}: no operator acts`,
      `see ${logs}`,
    );
  const silentMs = (answer?.serverTimeMs ?? nowMs) - Date.parse(renewTime ?? '');
  if (!(silentMs < leaseDurationSeconds * 2000)) {
    return fail(
      'operator lease',
      `${holderIdentity} has not renewed the lease ${namespace}/${name} for ${Math.round(silentMs / 1000)} s`,
      `see ${logs}, and whether the pod reaches the API server`,
    );
  }
  return ok(
    'operator lease',
    `${holderIdentity} leads, epoch ${answer?.value.spec?.leaseTransitions ?? 0}`,
  );
}

/** Whether two versions are of one release, by which a difference is told. */
export function isSameRelease(version: string, other: string = productVersion): boolean {
  const release = (text: string): string => text.replace(/^v/, '').split('.', 2).join('.');
  return release(version) === release(other);
}
