// Loads the router's configuration: flag, variable, file, default, in that order. Every fault of every source is
// reported at once; nothing is guessed and nothing unknown is ignored.

import { EtlError, type LogLevel } from '@etl-router/core';
import type { PeerSecurity } from '../raft/grpc/security.ts';
import type { TlsFiles } from '../tls/certificates.ts';
import { type ConfigFile, type FileValue, readConfigFile } from './config-file.ts';
import {
  type Address,
  formatAddress,
  isNobody,
  isWildcard,
  type Peer,
  parseSetting,
  type SettingValue,
} from './parse.ts';
import {
  accessOf,
  apiTlsOf,
  checkSecurity,
  type KubernetesAccess,
  peerSecurityOf,
} from './security.ts';
import { type Setting, settings } from './settings.ts';

/** Where a value came from. */
export type SettingSource = 'flag' | 'variable' | 'file' | 'default';

export interface RouterConfig {
  readonly nodeId: number;
  readonly listenAddress: Address;
  /** Where clients reach the gRPC and HTTP ports; undefined: where they listen. */
  readonly advertisedAddress: Address | undefined;
  readonly advertisedHttpAddress: Address | undefined;
  readonly raftAddress: Address | undefined;
  readonly httpAddress: Address | undefined;
  readonly metricsAddress: Address | undefined;
  readonly peers: readonly Peer[];
  /** Where its peers reach it, if that is not node.raft_addr. */
  readonly ownPeerAddress: Address | undefined;
  /** How the members prove who they are; only with peers. */
  readonly security: PeerSecurity;
  /** Certificates of the gRPC API, which demands one of each caller then; undefined: it is open. */
  readonly apiTls: TlsFiles | undefined;
  /** Who decides what callers of HTTP may do; undefined: it is open. */
  readonly access: KubernetesAccess | undefined;
  readonly dataDirectory: string;
  readonly logLevel: LogLevel;
  readonly cluster: {
    readonly electionTimeoutMs: number;
    readonly heartbeatIntervalMs: number;
    readonly snapshotInterval: number;
    readonly logQuotaBytes: number;
    readonly stateCheckIntervalMs: number;
  };
  readonly buffer: {
    readonly maxTotalRecords: number;
    readonly maxTotalBytes: number;
  };
  readonly grpc: {
    readonly maxMessageBytes: number;
    readonly keepaliveIntervalMs: number;
    readonly keepaliveTimeoutMs: number;
  };
  readonly metricsPath: string;
}

export interface LoadedConfig {
  readonly config: RouterConfig;
  /** Each setting with its value as text and its source, for `--print-config`. */
  readonly origin: readonly {
    readonly key: string;
    readonly text: string;
    readonly source: SettingSource;
  }[];
  /** What is allowed and still likely a mistake. */
  readonly warnings: readonly string[];
}

export interface ConfigInput {
  /** Flags by name without dashes, as given on the command line. */
  readonly flags: { readonly [flag: string]: string | undefined };
  readonly env: { readonly [name: string]: string | undefined };
  /** The file's text; undefined: there is none. */
  readonly file: ConfigFile | undefined;
}

interface Chosen {
  readonly value: SettingValue;
  readonly source: SettingSource;
}

/** Throws ETL_CONFIG_INVALID that lists every fault, one a line. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const faults: string[] = [];
  const fileValues =
    input.file === undefined ? new Map<string, FileValue>() : readConfigFile(input.file, faults);
  const chosen = new Map<string, Chosen>();
  for (const setting of settings)
    chosen.set(setting.key, choose(setting, { input, fileValues, faults }));
  const warnings: string[] = [];
  if (faults.length === 0) {
    checkTogether(chosen, faults, warnings);
    checkSecurity((key) => chosen.get(key)?.value, input.env, faults);
  }
  for (const { key, help, hasNoEffect } of settings) {
    if (hasNoEffect !== true || chosen.get(key)?.source === 'default') continue;
    warnings.push(`${key}: ${help}`);
  }
  if (faults.length > 0) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n  ${faults.join('\n  ')}`,
    );
  }
  const origin = settings.map(({ key }) => {
    const { value, source } = chosen.get(key) as Chosen;
    return { key, text: textOf(value), source };
  });
  return { config: toConfig(chosen, input.env), origin, warnings };
}

interface Choice {
  readonly input: ConfigInput;
  readonly fileValues: ReadonlyMap<string, FileValue>;
  readonly faults: string[];
}

function choose(setting: Setting, { input, fileValues, faults }: Choice): Chosen {
  const defaultHost = setting.defaultText.split(':')[0];
  const fileText = fileValues.get(setting.key)?.text;
  const flagNames = setting.flag === undefined ? [] : [setting.flag, ...(setting.aliases ?? [])];
  const sources: [SettingSource, string, string | undefined][] = [
    ...flagNames.map((name): [SettingSource, string, string | undefined] => [
      'flag',
      `--${name}`,
      input.flags[name],
    ]),
    ...(setting.env ?? []).map((name): [SettingSource, string, string | undefined] => [
      'variable',
      name,
      input.env[name],
    ]),
    ['file', `${fileValues.get(setting.key)?.place}: ${setting.key}`, fileText],
    ['default', setting.key, setting.defaultText],
  ];
  for (const [source, name, text] of sources) {
    if (text === undefined) continue;
    const parsed = parseSetting(setting, text, source === 'variable' ? defaultHost : undefined);
    if ('value' in parsed) return { value: parsed.value, source };
    const given = parsed.isSecret === true ? '' : `, not ${JSON.stringify(text.slice(0, 200))}`;
    faults.push(`${name}: ${parsed.fault}${given}`);
    return { value: undefined, source };
  }
  return { value: undefined, source: 'default' };
}

/** Rules that bind several settings. */
function checkTogether(
  chosen: ReadonlyMap<string, Chosen>,
  faults: string[],
  warnings: string[],
): void {
  const numberOf = (key: string): number => chosen.get(key)?.value as number;
  const election = numberOf('cluster.election_timeout_ms');
  const heartbeat = numberOf('cluster.heartbeat_interval_ms');
  if (election <= 2 * heartbeat) {
    faults.push(
      `cluster.election_timeout_ms: ${election} is at most 2 heartbeats of ${heartbeat} ms, so leaders would be deposed at random; use 10 heartbeats or more`,
    );
  } else if (election < 10 * heartbeat) {
    warnings.push(
      `cluster.election_timeout_ms: ${election} is less than 10 heartbeats of ${heartbeat} ms; a pause of the process may look like a dead leader`,
    );
  }
  if (numberOf('buffer.max_per_stage') > numberOf('buffer.max_total_records')) {
    faults.push('buffer.max_per_stage: is larger than buffer.max_total_records');
  }
  if (
    numberOf('buffer.backpressure_resume_threshold') >= numberOf('buffer.backpressure_threshold')
  ) {
    const { source } = chosen.get('buffer.backpressure_resume_threshold') as Chosen;
    if (source !== 'default')
      faults.push(
        'buffer.backpressure_resume_threshold: must be less than buffer.backpressure_threshold',
      );
  }
  const peers = chosen.get('node.peers')?.value as readonly Peer[];
  if (peers.length > 0 && chosen.get('node.id')?.source === 'default') {
    faults.push('--node-id: is needed with peers; give each member its own number');
  }
  if (peers.length > 0) warnOfUnadvertised(chosen, warnings);
  checkPeers(chosen, faults, warnings);
  checkPorts(chosen, faults);
}

/**
 * All members may be given one and the same list: this one's entry, told by its id or its address, is left out of it
 * (see {@link othersOf}).
 */
function checkPeers(
  chosen: ReadonlyMap<string, Chosen>,
  faults: string[],
  warnings: string[],
): void {
  const peers = chosen.get('node.peers')?.value as readonly Peer[];
  const id = chosen.get('node.id')?.value as number;
  const own = chosen.get('node.raft_addr')?.value as Address | undefined;
  if (peers.length === 0 || own === undefined) return;
  const address = formatAddress(own);
  const stranger = peers.find(
    (peer) => formatAddress(peer.address) === address && (peer.nodeId ?? id) !== id,
  );
  if (stranger !== undefined) {
    faults.push(
      `node.peers: gives ${address} to member ${stranger.nodeId}, but it is the Raft address of this member, ${id}`,
    );
  }
  const others = othersOf(chosen).filter((peer) => !isNobody(formatAddress(peer.address)));
  const members = others.length + 1;
  if (members % 2 === 0) {
    warnings.push(
      `node.peers: ${members} members go on without ${members / 2 - 1}, as ${members - 1} would; an odd number is better`,
    );
  }
}

/** The peers but for this member itself. */
function othersOf(chosen: ReadonlyMap<string, Chosen>): readonly Peer[] {
  const peers = chosen.get('node.peers')?.value as readonly Peer[];
  const id = chosen.get('node.id')?.value as number;
  const raft = chosen.get('node.raft_addr')?.value as Address | undefined;
  const own = [raft, ownAddressOf(chosen)].map((each) => each && formatAddress(each));
  return peers.filter(
    ({ nodeId, address }) => nodeId !== id && !own.includes(formatAddress(address)),
  );
}

/** What it was told to say of itself, else its own entry among the peers, told by its id. Alone it is nobody's peer. */
function ownAddressOf(chosen: ReadonlyMap<string, Chosen>): Address | undefined {
  const peers = chosen.get('node.peers')?.value as readonly Peer[];
  const id = chosen.get('node.id')?.value as number;
  if (peers.length === 0) return undefined;
  const told = chosen.get('node.advertise_raft_addr')?.value as Address | undefined;
  return told ?? peers.find(({ nodeId }) => nodeId === id)?.address;
}

/** Ports on all interfaces, of which other members can not tell clients where they are. */
function warnOfUnadvertised(chosen: ReadonlyMap<string, Chosen>, warnings: string[]): void {
  const pairs = [
    ['node.listen_addr', 'node.advertise_addr'],
    ['node.http_addr', 'node.advertise_http_addr'],
  ] as const;
  for (const [key, advertised] of pairs) {
    const address = chosen.get(key)?.value as Address | undefined;
    if (address === undefined || !isWildcard(address.host)) continue;
    if (chosen.get(advertised)?.value !== undefined) continue;
    warnings.push(
      `${key}: ${formatAddress(address)} tells clients of other members nothing; give ${advertised} the address at which they reach this one`,
    );
  }
}

function checkPorts(chosen: ReadonlyMap<string, Chosen>, faults: string[]): void {
  const keys = ['node.listen_addr', 'node.raft_addr', 'node.http_addr', 'node.metrics_addr'];
  const seen = new Map<string, string>();
  for (const key of keys) {
    const address = chosen.get(key)?.value as Address | undefined;
    if (address === undefined || address.port === 0) continue;
    const other = seen.get(formatAddress(address));
    if (other !== undefined)
      faults.push(`${key}: ${formatAddress(address)} is the address of ${other} too`);
    seen.set(formatAddress(address), key);
  }
}

function textOf(value: SettingValue): string {
  if (value === undefined) return 'off';
  if (Array.isArray(value)) {
    return (value as readonly Peer[])
      .map(
        (peer) =>
          `${peer.nodeId === undefined ? '' : `${peer.nodeId}@`}${formatAddress(peer.address)}`,
      )
      .join(',');
  }
  return typeof value === 'object' ? formatAddress(value as Address) : String(value);
}

function toConfig(chosen: ReadonlyMap<string, Chosen>, env: ConfigInput['env']): RouterConfig {
  const value = <T>(key: string): T => chosen.get(key)?.value as T;
  const metricsPort = value<number>('metrics.port');
  const metrics = value<Address | undefined>('node.metrics_addr');
  const portFromFile =
    chosen.get('node.metrics_addr')?.source === 'default' &&
    chosen.get('metrics.port')?.source !== 'default';
  const metricsAddress =
    portFromFile && metrics !== undefined ? { ...metrics, port: metricsPort } : metrics;
  return {
    nodeId: value('node.id'),
    listenAddress: value('node.listen_addr'),
    advertisedAddress: value('node.advertise_addr'),
    advertisedHttpAddress: value('node.advertise_http_addr'),
    raftAddress: value('node.raft_addr'),
    httpAddress: value('node.http_addr'),
    metricsAddress: value<boolean>('metrics.enabled') ? metricsAddress : undefined,
    peers: othersOf(chosen),
    ownPeerAddress: ownAddressOf(chosen),
    security: peerSecurityOf(value),
    apiTls: apiTlsOf(value),
    access: accessOf(value, env),
    dataDirectory: value('node.data_dir'),
    logLevel: value('node.log_level'),
    cluster: {
      electionTimeoutMs: value('cluster.election_timeout_ms'),
      heartbeatIntervalMs: value('cluster.heartbeat_interval_ms'),
      snapshotInterval: value('cluster.snapshot_interval'),
      logQuotaBytes: value('cluster.log_quota_bytes'),
      stateCheckIntervalMs: value('cluster.state_check_interval_ms'),
    },
    buffer: {
      maxTotalRecords: value('buffer.max_total_records'),
      maxTotalBytes: value('buffer.max_total_bytes'),
    },
    grpc: {
      maxMessageBytes: value('grpc.max_message_size'),
      keepaliveIntervalMs: value<number>('grpc.keepalive_interval_secs') * 1000,
      keepaliveTimeoutMs: value<number>('grpc.keepalive_timeout_secs') * 1000,
    },
    metricsPath: value('metrics.path'),
  };
}
