// The router's file, and the list of members in it. The list is the one part that a running router does not need to be
// restarted for: what is stored in its log counts.

import { parseDuration, parseQuantity } from '@etl-router/core';
import type { EtlRouterClusterSpec } from '@etl-router/crds';
import { membersMax, ports, raftAddressOf } from './names.ts';

const quotaMaxBytes = 2 * 1024 ** 3;
const quotaMinBytes = 16 * 1024 ** 2;

/** Where the pod has its certificate and the authorities it believes. */
export const paths = {
  data: '/var/lib/etl-router',
  config: '/etc/etl-router/config/router.yaml',
  tls: '/etc/etl-router/tls',
  authority: '/etc/etl-router/ca',
} as const;

/** Bytes of the log: a quarter of the volume and at most 2Gi, unless the spec says. */
export function logQuotaBytes({ raft, storage }: EtlRouterClusterSpec): number {
  if (raft.logQuota !== undefined) return parseQuantity(raft.logQuota, 'spec.raft.logQuota');
  const quarter = Math.floor(parseQuantity(storage.size, 'spec.storage.size') / 4);
  return Math.max(quotaMinBytes, Math.min(quotaMaxBytes, quarter));
}

/** The file but for the peers: when it changes, members are restarted. */
export function configLines(spec: EtlRouterClusterSpec): readonly string[] {
  const ms = (name: 'electionTimeout' | 'heartbeatInterval' | 'stateCheckInterval'): number =>
    parseDuration(spec.raft[name], `spec.raft.${name}`);
  return [
    'node:',
    `  listen_addr: 0.0.0.0:${ports.grpc}`,
    `  raft_addr: 0.0.0.0:${ports.raft}`,
    `  http_addr: 0.0.0.0:${ports.http}`,
    `  metrics_addr: 0.0.0.0:${ports.metrics}`,
    `  data_dir: ${paths.data}`,
    `  log_level: ${spec.logLevel}`,
    `  raft_ca_file: ${paths.authority}/ca.crt`,
    `  raft_cert_file: ${paths.tls}/tls.crt`,
    `  raft_key_file: ${paths.tls}/tls.key`,
    `  tls_ca_file: ${paths.authority}/ca.crt`,
    `  tls_cert_file: ${paths.tls}/tls.crt`,
    `  tls_key_file: ${paths.tls}/tls.key`,
    '  access: kubernetes',
    'cluster:',
    `  election_timeout_ms: ${ms('electionTimeout')}`,
    `  heartbeat_interval_ms: ${ms('heartbeatInterval')}`,
    `  snapshot_interval: ${spec.raft.snapshotEntries}`,
    `  log_quota_bytes: ${logQuotaBytes(spec)}`,
    `  state_check_interval_ms: ${ms('stateCheckInterval')}`,
  ];
}

/** A peer that routers know to be none: whoever is given it founds nothing. */
const nobody = `nobody.invalid:${ports.raft}`;

/** Who is to be found where, as far as a member that starts is told. */
export interface PeersInput {
  readonly cluster: string;
  readonly namespace: string;
  readonly founders: number;
  /** The cluster has an id. */
  readonly isFounded: boolean;
  /** Highest ordinal that there is or is to be. */
  readonly highest: number;
}

/**
 * The members that a router is started with. Before the cluster is founded: exactly its founders, since they found it
 * only when all were given the same. Afterwards also nobody: members whose disks are empty can not found a second cluster
 * then, however many disks are lost.
 */
export function peersOf({
  cluster,
  namespace,
  founders,
  isFounded,
  highest,
}: PeersInput): string[] {
  const count = isFounded ? Math.min(highest, membersMax) : founders;
  const members = Array.from(
    { length: count },
    (_, at) => `${at + 1}@${raftAddressOf(cluster, namespace, at + 1)}`,
  );
  return isFounded ? [...members, nobody] : members;
}

/** The whole file. */
export function routerFile(spec: EtlRouterClusterSpec, peers: readonly string[]): string {
  const list = ['  peers:', ...peers.map((peer) => `    - ${peer}`)];
  const [node = '', ...rest] = configLines(spec);
  return `${[node, ...list, ...rest].join('\n')}\n`;
}
