// Loads the router's configuration: flag, variable, file, default, in that order. Every fault of every source is
// reported at once; nothing is guessed and nothing unknown is ignored.

import { EtlError, type LogLevel } from '@etl-router/core';
import { CORE_SCHEMA, load, YAMLException } from 'js-yaml';
import type { PeerSecurity } from '../raft/grpc/security.ts';
import {
  type Address,
  formatAddress,
  isWildcard,
  type Peer,
  parseSetting,
  type SettingValue,
} from './parse.ts';
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
  /** How the members prove who they are; only with peers. */
  readonly security: PeerSecurity;
  readonly dataDirectory: string;
  readonly logLevel: LogLevel;
  readonly cluster: {
    readonly electionTimeoutMs: number;
    readonly heartbeatIntervalMs: number;
    readonly snapshotInterval: number;
    readonly logQuotaBytes: number;
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
  readonly file: { readonly name: string; readonly text: string } | undefined;
}

interface Chosen {
  readonly value: SettingValue;
  readonly source: SettingSource;
}

/** Largest configuration file. */
export const maxConfigBytes = 1_048_576;

/** Throws ETL_CONFIG_INVALID that lists every fault, one a line. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const faults: string[] = [];
  const fileValues =
    input.file === undefined ? new Map<string, string>() : readFile(input.file, faults);
  const chosen = new Map<string, Chosen>();
  for (const setting of settings)
    chosen.set(setting.key, choose(setting, { input, fileValues, faults }));
  const warnings: string[] = [];
  if (faults.length === 0) checkTogether(chosen, faults, warnings);
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
  return { config: toConfig(chosen), origin, warnings };
}

interface Choice {
  readonly input: ConfigInput;
  readonly fileValues: ReadonlyMap<string, string>;
  readonly faults: string[];
}

function choose(setting: Setting, { input, fileValues, faults }: Choice): Chosen {
  const defaultHost = setting.defaultText.split(':')[0];
  const flagNames = setting.flag === undefined ? [] : [setting.flag, ...(setting.aliases ?? [])];
  const given: [SettingSource, string, string | undefined][] = [
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
    ['file', `${input.file?.name ?? ''}: ${setting.key}`, fileValues.get(setting.key)],
    ['default', setting.key, setting.defaultText],
  ];
  for (const [source, name, text] of given) {
    if (text === undefined) continue;
    const parsed = parseSetting(setting, text, source === 'variable' ? defaultHost : undefined);
    if ('value' in parsed) return { value: parsed.value, source };
    faults.push(`${name}: ${parsed.fault}, not ${JSON.stringify(text.slice(0, 200))}`);
    return { value: undefined, source };
  }
  return { value: undefined, source: 'default' };
}

/** The file's leaves as text, by dotted key. */
function readFile(
  file: { readonly name: string; readonly text: string },
  faults: string[],
): Map<string, string> {
  const values = new Map<string, string>();
  if (file.text.length > maxConfigBytes) {
    faults.push(`${file.name}: is larger than 1 MiB`);
    return values;
  }
  let document: unknown;
  try {
    document = load(file.text, { schema: CORE_SCHEMA, filename: file.name });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    faults.push(`${file.name}, line ${(error.mark?.line ?? 0) + 1}: ${error.reason}`);
    return values;
  }
  if (document === null || document === undefined) return values;
  if (typeof document !== 'object' || Array.isArray(document)) {
    faults.push(
      `${file.name}: needs sections such as "cluster:", not ${Array.isArray(document) ? 'a list' : typeof document}`,
    );
    return values;
  }
  for (const [section, body] of Object.entries(document))
    readSection({ file: file.name, section, body, values, faults });
  return values;
}

interface Section {
  readonly file: string;
  readonly section: string;
  readonly body: unknown;
  readonly values: Map<string, string>;
  readonly faults: string[];
}

function readSection({ file, section, body, values, faults }: Section): void {
  const known = settings
    .filter((setting) => setting.key.startsWith(`${section}.`))
    .map(({ key }) => key);
  if (known.length === 0) {
    faults.push(
      `${file}: ${section}: there is no such section; sections are ${sectionNames().join(', ')}`,
    );
    return;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    faults.push(`${file}: ${section}: needs keys such as ${(known[0] as string).split('.')[1]}`);
    return;
  }
  for (const [name, value] of Object.entries(body)) {
    const key = `${section}.${name}`;
    if (!known.includes(key)) {
      faults.push(
        `${file}: ${key}: there is no such key; keys are ${known.map((other) => other.split('.')[1]).join(', ')}`,
      );
    } else if (Array.isArray(value) && key === 'node.peers') {
      values.set(key, value.join(','));
    } else if (typeof value === 'object' || value === undefined) {
      faults.push(`${file}: ${key}: needs a single value`);
    } else if (!hasRightYamlType(key, value)) {
      faults.push(
        `${file}: ${key}: needs a ${yamlTypeOf(key)}, not ${typeof value === 'string' ? 'text' : typeof value}`,
      );
    } else {
      values.set(key, String(value));
    }
  }
}

function sectionNames(): string[] {
  return [...new Set(settings.map(({ key }) => key.split('.')[0] as string))];
}

function yamlTypeOf(key: string): 'number' | 'boolean' | 'text' {
  const kind = settings.find((setting) => setting.key === key)?.type.kind;
  if (kind === 'integer' || kind === 'ratio') return 'number';
  return kind === 'boolean' ? 'boolean' : 'text';
}

function hasRightYamlType(key: string, value: unknown): boolean {
  const wanted = yamlTypeOf(key);
  return wanted === 'text' ? typeof value === 'string' : typeof value === wanted;
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
  checkSecurity(chosen, faults);
  checkPorts(chosen, faults);
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

const tlsKeys = ['node.raft_ca_file', 'node.raft_cert_file', 'node.raft_key_file'] as const;

/** Members prove who they are to each other, unless all of them are on this machine or it is waived in words. */
function checkSecurity(chosen: ReadonlyMap<string, Chosen>, faults: string[]): void {
  const given = tlsKeys.filter((key) => chosen.get(key)?.value !== undefined);
  const peers = chosen.get('node.peers')?.value as readonly Peer[];
  const own = chosen.get('node.raft_addr')?.value as Address | undefined;
  if (peers.length > 0 && own === undefined)
    faults.push('node.raft_addr: is off, but there are peers; give the address they reach');
  if (given.length > 0 && given.length < tlsKeys.length) {
    const missing = tlsKeys.filter((key) => !given.includes(key));
    faults.push(`${missing.join(', ')}: missing; TLS needs all of ${tlsKeys.join(', ')}`);
  }
  if (given.length > 0 || chosen.get('node.insecure')?.value === true) return;
  const outside = [
    ...peers.map(({ address }) => address),
    ...(own === undefined ? [] : [own]),
  ].find(({ host }) => !/^(127\.[\d.]+|::1|localhost)$/.test(host));
  if (peers.length === 0 || outside === undefined) return;
  faults.push(
    `node.peers: ${formatAddress(outside)} is not on this machine, and without TLS anyone who reaches it can take part; give --raft-ca-file, --raft-cert-file and --raft-key-file, or --insecure`,
  );
}

function securityOf(chosen: ReadonlyMap<string, Chosen>): PeerSecurity {
  const [caFile, certFile, keyFile] = tlsKeys.map((key) => chosen.get(key)?.value as string);
  if (caFile === undefined || certFile === undefined || keyFile === undefined)
    return { insecure: true };
  return { caFile, certFile, keyFile };
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

function toConfig(chosen: ReadonlyMap<string, Chosen>): RouterConfig {
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
    peers: value('node.peers'),
    security: securityOf(chosen),
    dataDirectory: value('node.data_dir'),
    logLevel: value('node.log_level'),
    cluster: {
      electionTimeoutMs: value('cluster.election_timeout_ms'),
      heartbeatIntervalMs: value('cluster.heartbeat_interval_ms'),
      snapshotInterval: value('cluster.snapshot_interval'),
      logQuotaBytes: value('cluster.log_quota_bytes'),
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
