// The settings of the process, from its environment. Each has a bound and an error that names it.

import { EtlError, type LogLevel, logLevels } from '@etl-router/core';
import type { Installed } from './cluster/view.ts';
import { parseFailpoint } from './failpoint.ts';

export interface Settings {
  /** Names this process in its lease and its events. */
  readonly podName: string;
  readonly leaseNamespace: string;
  /** The Lease that one of the processes holds. Operators of other installations have one of their own. */
  readonly leaseName: string;
  /** Image that clusters get whose spec names none. */
  readonly routerImage: Installed;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  readonly logLevel: LogLevel;
  readonly metrics: { readonly host: string; readonly port: number };
  readonly failpoint: string | undefined;
}

/** Each namespace costs a connection a kind. */
const namespacesMax = 10;

type Environment = { readonly [name: string]: string | undefined };

/** Throws ETL_CONFIG_INVALID naming the variable. `fallbacks` stand in outside of a pod. */
export function readSettings(
  env: Environment,
  fallbacks: { readonly podName: string; readonly namespace: string },
): Settings {
  const given = (name: string): string | undefined => {
    const value = env[name]?.trim();
    return value === '' ? undefined : value;
  };
  const podNamespace = given('POD_NAMESPACE') ?? fallbacks.namespace;
  const failpoint = given('ETL_FAILPOINT');
  if (failpoint !== undefined) parseFailpoint(failpoint);
  return {
    podName: given('POD_NAME') ?? fallbacks.podName,
    leaseNamespace: namespaceOf(
      'ETL_LEASE_NAMESPACE',
      given('ETL_LEASE_NAMESPACE') ?? podNamespace,
    ),
    leaseName: labelOf('ETL_LEASE_NAME', given('ETL_LEASE_NAME') ?? 'etl-operator', 'a Lease'),
    routerImage: imageOf(given('ETL_ROUTER_IMAGE')),
    watchNamespaces: namespacesOf(given('ETL_WATCH_NAMESPACES')),
    logLevel: levelOf(given('ETL_LOG_LEVEL') ?? 'info'),
    metrics: addressOf(given('ETL_METRICS_ADDR') ?? '0.0.0.0:8080'),
    failpoint,
  };
}

function invalid(name: string, message: string): EtlError {
  return new EtlError('ETL_CONFIG_INVALID', `${name}: ${message}`);
}

function imageOf(value: string | undefined): Installed {
  const name = 'ETL_ROUTER_IMAGE';
  if (value === undefined) throw invalid(name, 'is missing; give repository:tag');
  const parts = /^([^\s@]+):([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$/.exec(value);
  if (parts === null) throw invalid(name, `"${value}" is no repository:tag`);
  return { repository: parts[1] as string, version: parts[2] as string };
}

function namespacesOf(value: string | undefined): readonly string[] {
  const name = 'ETL_WATCH_NAMESPACES';
  const all = (value ?? '').split(',').flatMap((each) => each.trim() || []);
  const namespaces = [...new Set(all)].map((each) => namespaceOf(name, each));
  if (namespaces.length > namespacesMax) {
    throw invalid(
      name,
      `${namespaces.length} namespaces are over the bound of ${namespacesMax}; leave it empty to watch all`,
    );
  }
  return namespaces;
}

function namespaceOf(name: string, value: string): string {
  return labelOf(name, value, 'a namespace');
}

function labelOf(name: string, value: string, what: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value)) return value;
  throw invalid(name, `"${value}" is no name of ${what}`);
}

function levelOf(value: string): LogLevel {
  const level = logLevels.find((each) => each === value);
  if (level !== undefined) return level;
  throw invalid('ETL_LOG_LEVEL', `"${value}" is none of ${logLevels.join(', ')}`);
}

function addressOf(value: string): Settings['metrics'] {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]*):(\d{1,5})$/.exec(value);
  const port = Number(parts?.[2]);
  if (parts === null || port > 65_535)
    throw invalid('ETL_METRICS_ADDR', `"${value}" is no host:port`);
  const host = (parts[1] as string).replace(/^\[|\]$/g, '');
  return { host: host === '' ? '0.0.0.0' : host, port };
}
