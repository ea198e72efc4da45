// Where the router is: at a URL, or in a Kubernetes cluster that a kubeconfig leads to. A flag decides before a variable, a
// variable before the file, and whoever says nothing means the router of this machine: a kubeconfig that happens to be there
// never sends a command into a cluster.

import { EtlError } from '@etl-router/core';
import type { Io } from './io.ts';
import type { Settings } from './settings.ts';

/** A router that has an address. */
export interface UrlPlace {
  readonly kind: 'url';
  readonly server: string;
  /** Shown to the router as a bearer. */
  readonly token: string | undefined;
}

/** A router whose pods the API server of a Kubernetes cluster knows. */
export interface KubernetesPlace {
  readonly kind: 'kubernetes';
  /** Undefined: as KUBECONFIG says, else ~/.kube/config, else the service account of the pod. */
  readonly kubeconfig: string | undefined;
  /** Undefined: the current one. */
  readonly context: string | undefined;
  /** Name of the EtlRouterCluster; undefined: the only one. */
  readonly cluster: string | undefined;
  /** Undefined: the namespace of the context. */
  readonly namespace: string | undefined;
  /** A token of this one is shown to the router; undefined: the user's own. */
  readonly serviceAccount: string | undefined;
  readonly token: string | undefined;
}

export type Place = UrlPlace | KubernetesPlace;

/** Flags that say where. */
export interface PlaceFlags {
  readonly server?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly cluster?: string;
  readonly serviceAccount?: string;
}

interface Level {
  readonly server: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly cluster: string | undefined;
  readonly serviceAccount: string | undefined;
  /** How this level names server and cluster. */
  readonly names: readonly [string, string];
}

export const localServer = 'http://localhost:8080';

/** Decides. Throws ETL_INVALID_ARGUMENT where two places are named at once. */
export function placeOf(
  flags: PlaceFlags,
  env: Io['env'],
  settings: Settings,
  namespace: string | undefined,
): Place {
  const levels = [levelOfFlags(flags), levelOfEnv(env), levelOfSettings(settings)];
  const token = env['ETLCTL_TOKEN'] || undefined;
  const decisive = levels.find((level) => level.server !== undefined || namesCluster(level));
  if (decisive?.server !== undefined && namesCluster(decisive)) {
    const [server, cluster] = decisive.names;
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${server} and ${cluster} name two places; leave one out`,
    );
  }
  if (decisive === undefined || decisive.server !== undefined)
    return { kind: 'url', server: decisive?.server ?? localServer, token };
  const first = (key: 'kubeconfig' | 'context' | 'cluster' | 'serviceAccount') =>
    levels.find((level) => level[key] !== undefined)?.[key];
  const context = first('context');
  const cluster = split('--cluster', first('cluster'));
  return {
    kind: 'kubernetes',
    kubeconfig: first('kubeconfig'),
    context,
    cluster: cluster.name,
    namespace: cluster.namespace ?? namespace,
    serviceAccount: first('serviceAccount'),
    token,
  };
}

/** A kubeconfig of the file or of KUBECONFIG only says where to look once a cluster is meant; on the command line it means one. */
function namesCluster({ names, cluster, context, kubeconfig }: Level): boolean {
  return (
    cluster !== undefined ||
    context !== undefined ||
    (kubeconfig !== undefined && names[0] === '--server')
  );
}

function levelOfFlags(flags: PlaceFlags): Level {
  const { server, kubeconfig, context, cluster, serviceAccount } = flags;
  const given = [
    ...(cluster === undefined ? [] : ['--cluster']),
    ...(context === undefined ? [] : ['--context']),
    '--kubeconfig',
  ];
  const names = ['--server', given[0] as string] as const;
  return { server, kubeconfig, context, cluster, serviceAccount, names };
}

function levelOfEnv(env: Io['env']): Level {
  const clusterFrom =
    env['ETLCTL_CLUSTER'] || !env['ETL_CLUSTER'] ? 'ETLCTL_CLUSTER' : 'ETL_CLUSTER';
  const cluster = env[clusterFrom] || undefined;
  return {
    server: env['ETLCTL_SERVER'] || undefined,
    kubeconfig: undefined,
    context: env['ETLCTL_CONTEXT'] || undefined,
    cluster,
    serviceAccount: env['ETLCTL_SERVICE_ACCOUNT'] || undefined,
    names: ['ETLCTL_SERVER', cluster === undefined ? 'ETLCTL_CONTEXT' : clusterFrom],
  };
}

function levelOfSettings(settings: Settings): Level {
  const { server, kubeconfig, context, cluster, service_account: serviceAccount } = settings;
  return { server, kubeconfig, context, cluster, serviceAccount, names: ['server', 'cluster'] };
}

/** `NAME` or `NAMESPACE/NAME`. Throws ETL_INVALID_ARGUMENT for what can be no object of Kubernetes. */
export function split(
  option: string,
  text: string | undefined,
): { readonly namespace: string | undefined; readonly name: string | undefined } {
  if (text === undefined) return { namespace: undefined, name: undefined };
  const parts = text.split('/');
  if (
    parts.length > 2 ||
    !parts.every((part) => /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(part))
  )
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${option}: ${JSON.stringify(text)} is no NAME or NAMESPACE/NAME of Kubernetes`,
    );
  return { namespace: parts.length === 2 ? parts[0] : undefined, name: parts.at(-1) };
}
