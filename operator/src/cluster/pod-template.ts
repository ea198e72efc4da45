// The pod of a member. It passes the restricted Pod Security Standard, writes to its volume alone and needs no shell.

import { parseDuration } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import { digestOf } from '../runtime/canonical.ts';
import { configLines, paths } from './config.ts';
import { annotations, clusterLabel, peersName, ports, routerContainer } from './names.ts';
import type { Installed } from './view.ts';

type Json = { readonly [field: string]: unknown };

export interface TemplateInput {
  readonly cluster: EtlRouterCluster;
  readonly installed: Installed;
  readonly founders: number;
  /** Labels that say what the pods are. */
  readonly labels: { readonly [name: string]: string };
}

/** How long a pod still serves after it was taken out of its Services. */
const leaveSeconds = 2;
const userId = 65_532;

/** Repository, tag and digest: the digest wins, the tag says what it stands for. */
export function imageOf({ spec }: EtlRouterCluster, installed: Installed): string {
  const { repository = installed.repository, digest } = spec.image ?? {};
  const tagged = `${repository}:${versionOf({ spec }, installed)}`;
  return digest === undefined ? tagged : `${tagged}@${digest}`;
}

export function versionOf({ spec }: Pick<EtlRouterCluster, 'spec'>, installed: Installed): string {
  return spec.version ?? installed.version;
}

/** The labels by which pods, Services and budgets find each other; they never change. */
export function selectorOf(cluster: string): { readonly [name: string]: string } {
  return { [clusterLabel]: cluster, 'app.kubernetes.io/component': 'router' };
}

/** The pod template with its revision, which stands for everything that a pod is started with. */
export function podTemplateOf(input: TemplateInput): {
  readonly template: Json;
  readonly revision: string;
} {
  const { cluster, founders, labels } = input;
  const { metadata: extra } = cluster.spec.template;
  const spec = podSpec(input);
  const own = { labels: { ...extra?.labels, ...labels }, annotations: extra?.annotations ?? {} };
  const revision = digestOf({ ...own, spec, config: configLines(cluster.spec) });
  const marks = {
    [annotations.revision]: revision,
    [annotations.founders]: String(founders),
  };
  const metadata = { ...own, annotations: { ...own.annotations, ...marks } };
  return { template: { metadata, spec }, revision };
}

function podSpec(input: TemplateInput): Json {
  const { cluster } = input;
  const { name } = cluster.metadata;
  const { template, image } = cluster.spec;
  const graceMs = parseDuration(
    template.terminationGracePeriod,
    'spec.template.terminationGracePeriod',
  );
  return withoutAbsent({
    serviceAccountName: name,
    // The routers ask who a token belongs to; nothing else in the pod talks to the API server.
    automountServiceAccountToken: true,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: Math.ceil(graceMs / 1000),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: userId,
      fsGroup: userId,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [container(input)],
    volumes: [
      { name: 'config', configMap: { name: `${name}-config` } },
      { name: 'tls', secret: { secretName: `${name}-tls`, defaultMode: 0o440 } },
      { name: 'ca', configMap: { name: `${name}-ca` } },
    ],
    imagePullSecrets: image?.pullSecretRefs?.map((each) => ({ name: each.name })),
    nodeSelector: template.nodeSelector,
    tolerations: template.tolerations,
    affinity: template.affinity,
    priorityClassName: template.priorityClassName,
    topologySpreadConstraints: spreadOf(cluster),
  });
}

function container({ cluster, installed }: TemplateInput): Json {
  const { template, image } = cluster.spec;
  const probe = (path: string, rest: Json): Json => ({
    httpGet: { path, port: 'metrics' },
    ...rest,
  });
  return {
    name: routerContainer,
    image: imageOf(cluster, installed),
    imagePullPolicy: image?.pullPolicy ?? 'IfNotPresent',
    args: ['--config', paths.config],
    env: [...environment(cluster), ...(template.env ?? [])],
    ports: Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort })),
    resources: template.resources,
    // A replay of a long log takes its time; from then on only a process that stands still is restarted.
    startupProbe: probe('/livez', { periodSeconds: 2, failureThreshold: 300 }),
    livenessProbe: probe('/livez', { periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }),
    readinessProbe: probe('/readyz', { periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2 }),
    lifecycle: { preStop: { sleep: { seconds: leaveSeconds } } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'data', mountPath: paths.data },
      { name: 'config', mountPath: '/etc/etl-router/config', readOnly: true },
      { name: 'tls', mountPath: paths.tls, readOnly: true },
      { name: 'ca', mountPath: paths.authority, readOnly: true },
    ],
  };
}

function environment({ metadata }: EtlRouterCluster): readonly Json[] {
  const host = `$(POD_NAME).${peersName(metadata.name)}.${metadata.namespace}.svc`;
  const field = (fieldPath: string): Json => ({ valueFrom: { fieldRef: { fieldPath } } });
  return [
    { name: 'POD_NAME', ...field('metadata.name') },
    { name: 'RAFT_NODE_ID', ...field("metadata.labels['apps.kubernetes.io/pod-index']") },
    { name: 'ETL_ADVERTISE_ADDR', value: `${host}:${ports.grpc}` },
    { name: 'ETL_ADVERTISE_RAFT_ADDR', value: `${host}:${ports.raft}` },
    { name: 'ETL_ADVERTISE_HTTP_ADDR', value: `${host}:${ports.http}` },
    { name: 'ETL_ACCESS_NAMESPACE', value: metadata.namespace },
    { name: 'ETL_ACCESS_CLUSTER', value: metadata.name },
  ];
}

/** Left out: strictly over nodes, which one pod alone always is, and over zones where that is possible. */
function spreadOf({ metadata, spec }: EtlRouterCluster): readonly Json[] {
  const labelSelector = { matchLabels: selectorOf(metadata.name) };
  const given = spec.template.topologySpreadConstraints ?? [
    {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'DoNotSchedule',
    },
    { maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway' },
  ];
  return given.map((constraint) => ({ ...constraint, labelSelector }));
}

/** Without the fields that nobody has an opinion about. */
function withoutAbsent(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
