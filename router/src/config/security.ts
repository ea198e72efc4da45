// What of the configuration closes the ports: TLS between members, TLS of the gRPC API, and who may use HTTP.

import type { KubernetesAuthorityOptions } from '../api/access/kubernetes-authority.ts';
import type { PeerSecurity } from '../raft/grpc/security.ts';
import type { TlsFiles } from '../tls/certificates.ts';
import { type Address, formatAddress, isNobody, type Peer, type SettingValue } from './parse.ts';

type ValueOf = (key: string) => SettingValue;
type Variables = { readonly [name: string]: string | undefined };

/** Who may use HTTP is what this API server says of a bearer token. */
export type KubernetesAccess = Omit<KubernetesAuthorityOptions, 'timeoutMs'>;

const raftKeys = ['node.raft_ca_file', 'node.raft_cert_file', 'node.raft_key_file'] as const;
const apiKeys = ['node.tls_ca_file', 'node.tls_cert_file', 'node.tls_key_file'] as const;
type TlsKeys = typeof raftKeys | typeof apiKeys;

const accessKeys = ['node.access_namespace', 'node.access_cluster'] as const;

/** Joins what is wrong with the ports' security to the faults. */
export function checkSecurity(valueOf: ValueOf, env: Variables, faults: string[]): void {
  const peers = valueOf('node.peers') as readonly Peer[];
  const own = valueOf('node.raft_addr') as Address | undefined;
  if (peers.length > 0 && own === undefined)
    faults.push('node.raft_addr: is off, but there are peers; give the address they reach');
  checkFiles(valueOf, apiKeys, faults);
  checkAccess(valueOf, env, faults);
  if (checkFiles(valueOf, raftKeys, faults) || valueOf('node.insecure') === true) return;
  checkPlaintext(peers, own, faults);
}

/** Tells whether any of them is given; all of them have to be then. */
function checkFiles(valueOf: ValueOf, keys: TlsKeys, faults: string[]): boolean {
  const given = keys.filter((key) => valueOf(key) !== undefined);
  if (given.length > 0 && given.length < keys.length) {
    const missing = keys.filter((key) => !given.includes(key));
    faults.push(`${missing.join(', ')}: missing; TLS needs all of ${keys.join(', ')}`);
  }
  return given.length > 0;
}

/** Members prove who they are to each other, unless all of them are on this machine or it is waived in words. */
function checkPlaintext(peers: readonly Peer[], own: Address | undefined, faults: string[]): void {
  const outside = [
    ...peers.map(({ address }) => address).filter((address) => !isNobody(formatAddress(address))),
    ...(own === undefined ? [] : [own]),
  ].find(({ host }) => !/^(127\.[\d.]+|::1|localhost)$/.test(host));
  if (peers.length === 0 || outside === undefined) return;
  faults.push(
    `node.peers: ${formatAddress(outside)} is not on this machine, and without TLS anyone who reaches it can take part; give --raft-ca-file, --raft-cert-file and --raft-key-file, or --insecure`,
  );
}

function checkAccess(valueOf: ValueOf, env: Variables, faults: string[]): void {
  const given = accessKeys.filter((key) => valueOf(key) !== undefined);
  if (valueOf('node.access') !== 'kubernetes') {
    if (given.length > 0) faults.push(`${given.join(', ')}: goes with node.access: kubernetes`);
    return;
  }
  const missing = accessKeys.filter((key) => !given.includes(key));
  if (missing.length > 0) {
    faults.push(
      `${missing.join(', ')}: missing; with node.access: kubernetes they say whose etlrouterclusters/graphql a caller needs a right to`,
    );
  }
  if (serverOf(valueOf, env) === undefined) {
    faults.push(
      'node.access_server: missing; outside a pod of Kubernetes, which has it in KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, give the address of the API server',
    );
  }
}

/** The API server: as it is given, or as Kubernetes tells its pods. */
function serverOf(valueOf: ValueOf, env: Variables): Address | undefined {
  const given = valueOf('node.access_server') as Address | undefined;
  if (given !== undefined) return given;
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '' } = env;
  return host !== '' && /^[1-9]\d{0,4}$/.test(port) ? { host, port: Number(port) } : undefined;
}

/** How members prove who they are. */
export function peerSecurityOf(valueOf: ValueOf): PeerSecurity {
  return filesOf(valueOf, raftKeys) ?? { insecure: true };
}

/** Certificates of the gRPC API; undefined: it is open. */
export function apiTlsOf(valueOf: ValueOf): TlsFiles | undefined {
  return filesOf(valueOf, apiKeys);
}

function filesOf(valueOf: ValueOf, keys: TlsKeys): TlsFiles | undefined {
  const [caFile, certFile, keyFile] = keys.map((key) => valueOf(key) as string | undefined);
  if (caFile === undefined || certFile === undefined || keyFile === undefined) return undefined;
  return { caFile, certFile, keyFile };
}

/** Who decides about HTTP; undefined: it is open. */
export function accessOf(valueOf: ValueOf, env: Variables): KubernetesAccess | undefined {
  const server = serverOf(valueOf, env);
  if (valueOf('node.access') !== 'kubernetes' || server === undefined) return undefined;
  const folder = valueOf('node.access_account_dir') as string;
  return {
    ...server,
    caFile: `${folder}/ca.crt`,
    tokenFile: `${folder}/token`,
    audiences: [],
    namespace: valueOf('node.access_namespace') as string,
    cluster: valueOf('node.access_cluster') as string,
  };
}
