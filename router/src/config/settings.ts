// Every setting of the router, once: its key in the file, its flag, its variable, its default, bounds and meaning.
// The loader, `--help`, `--print-config` and docs/reference/configuration.md are made of this table.

/** How a setting's text becomes a value, and what it may be. */
export type SettingType =
  | { readonly kind: 'integer'; readonly min: number; readonly max: number }
  | { readonly kind: 'ratio' }
  | { readonly kind: 'boolean' }
  /** Empty where allowed: none. */
  | { readonly kind: 'text'; readonly maxLength: number; readonly emptyAllowed?: true }
  /** Empty where allowed: none. */
  | { readonly kind: 'path'; readonly emptyAllowed?: true }
  /** `host:port` or `[v6]:port`; `off` where allowed. A bare port in a variable keeps the default's host. */
  | { readonly kind: 'address'; readonly offAllowed: boolean }
  /** `host:port` as others dial it; empty: that of the port it belongs to. */
  | { readonly kind: 'advertised' }
  | { readonly kind: 'peers' }
  | { readonly kind: 'choice'; readonly of: readonly string[] };

export interface Setting {
  /** Key in the file: `section.key`. */
  readonly key: string;
  readonly type: SettingType;
  readonly defaultText: string;
  readonly help: string;
  /** Read and checked, because files of the earlier system have it, and nothing else: setting it is warned about. */
  readonly hasNoEffect?: true;
  /** Flag without dashes; absent: set by file or variable only. */
  readonly flag?: string;
  /** One letter. */
  readonly short?: string;
  /** Other names of the flag. */
  readonly aliases?: readonly string[];
  /** Variables, the first one that is set wins. */
  readonly env?: readonly string[];
}

const count = (min: number, max: number): SettingType => ({ kind: 'integer', min, max });
const noEffect = (instead: string): Pick<Setting, 'help' | 'hasNoEffect'> => ({
  help: `Accepted for compatibility, has no effect: ${instead}.`,
  hasNoEffect: true,
});
const address = (offAllowed: boolean): SettingType => ({ kind: 'address', offAllowed });

/** All settings, in the order of the reference page. */
export const settings: readonly Setting[] = [
  {
    key: 'node.id',
    type: count(1, 2 ** 32),
    defaultText: '1',
    help: 'Number of this member. The default holds only without peers.',
    flag: 'node-id',
    short: 'n',
    env: ['RAFT_NODE_ID'],
  },
  {
    key: 'node.listen_addr',
    type: address(false),
    defaultText: '127.0.0.1:50051',
    help: 'Address of the gRPC API.',
    flag: 'listen-addr',
    short: 'l',
    env: ['ETL_LISTEN_ADDR', 'GRPC_PORT'],
  },
  {
    key: 'node.advertise_addr',
    type: { kind: 'advertised' },
    defaultText: '',
    help: 'Address at which clients reach the gRPC API of this member; the others send them there while it leads. Default: that of node.listen_addr, unless it is a wildcard.',
    flag: 'advertise-addr',
    env: ['ETL_ADVERTISE_ADDR'],
  },
  {
    key: 'node.advertise_http_addr',
    type: { kind: 'advertised' },
    defaultText: '',
    help: 'Address at which clients reach GraphQL on this member. Default: that of node.http_addr, unless it is a wildcard.',
    flag: 'advertise-http-addr',
    env: ['ETL_ADVERTISE_HTTP_ADDR'],
  },
  {
    key: 'node.raft_addr',
    type: address(true),
    defaultText: '127.0.0.1:50052',
    help: 'Address for the other members of the cluster. A router that has none does not open it.',
    flag: 'raft-addr',
    env: ['ETL_RAFT_ADDR'],
  },
  {
    key: 'node.advertise_raft_addr',
    type: { kind: 'advertised' },
    defaultText: '',
    help: 'Address at which the other members reach this one. Default: that at its id in node.peers, else that of node.raft_addr, unless it is a wildcard.',
    flag: 'advertise-raft-addr',
    env: ['ETL_ADVERTISE_RAFT_ADDR'],
  },
  {
    key: 'node.http_addr',
    type: address(true),
    defaultText: '127.0.0.1:8080',
    help: 'Address of GraphQL and /health; `off` closes it.',
    flag: 'http-addr',
    aliases: ['graphql-addr'],
    env: ['ETL_HTTP_ADDR', 'GRAPHQL_PORT'],
  },
  {
    key: 'node.metrics_addr',
    type: address(true),
    defaultText: '127.0.0.1:9090',
    help: 'Address of metrics and probes; `off` closes it.',
    flag: 'metrics-addr',
    env: ['ETL_METRICS_ADDR'],
  },
  {
    key: 'node.peers',
    type: { kind: 'peers' },
    defaultText: '',
    help: 'All members, comma-separated: host:port or id@host:port; this one may be left out. Itself alone: it begins alone, and others can be added. At its own id is where the others reach it, if that is neither node.raft_addr nor node.advertise_raft_addr. With a host under .invalid, such as nobody.invalid:50052, a member without data founds no cluster, and joins one.',
    flag: 'peers',
    env: ['RAFT_PEERS'],
  },
  {
    key: 'node.raft_ca_file',
    type: { kind: 'path', emptyAllowed: true },
    defaultText: '',
    help: 'PEM file with the authority that signs the certificates of the members.',
    flag: 'raft-ca-file',
    env: ['ETL_RAFT_CA_FILE'],
  },
  {
    key: 'node.raft_cert_file',
    type: { kind: 'path', emptyAllowed: true },
    defaultText: '',
    help: 'PEM file with the certificate that names this member.',
    flag: 'raft-cert-file',
    env: ['ETL_RAFT_CERT_FILE'],
  },
  {
    key: 'node.raft_key_file',
    type: { kind: 'path', emptyAllowed: true },
    defaultText: '',
    help: 'PEM file with the key of that certificate.',
    flag: 'raft-key-file',
    env: ['ETL_RAFT_KEY_FILE'],
  },
  {
    key: 'node.insecure',
    type: { kind: 'boolean' },
    defaultText: 'false',
    help: 'Lets members talk without TLS beyond this machine.',
    flag: 'insecure',
    env: ['ETL_INSECURE'],
  },
  {
    key: 'node.tls_ca_file',
    type: { kind: 'path', emptyAllowed: true },
    defaultText: '',
    help: 'PEM file with the authority that signs the certificates of callers of the gRPC API. With it the API demands one of each caller.',
    flag: 'tls-ca-file',
    env: ['ETL_TLS_CA_FILE'],
  },
  {
    key: 'node.tls_cert_file',
    type: { kind: 'path', emptyAllowed: true },
    defaultText: '',
    help: 'PEM file with the certificate of the gRPC API.',
    flag: 'tls-cert-file',
    env: ['ETL_TLS_CERT_FILE'],
  },
  {
    key: 'node.tls_key_file',
    type: { kind: 'path', emptyAllowed: true },
    defaultText: '',
    help: 'PEM file with the key of that certificate.',
    flag: 'tls-key-file',
    env: ['ETL_TLS_KEY_FILE'],
  },
  {
    key: 'node.access',
    type: { kind: 'choice', of: ['open', 'kubernetes'] },
    defaultText: 'open',
    help: 'Who may use GraphQL and backups over HTTP: whoever reaches the port, or whoever shows a bearer token that Kubernetes knows and has a right to `etlrouterclusters/graphql`.',
    flag: 'access',
    env: ['ETL_ACCESS'],
  },
  {
    key: 'node.access_namespace',
    type: { kind: 'text', maxLength: 63, emptyAllowed: true },
    defaultText: '',
    help: 'Namespace of the EtlRouterCluster that this router belongs to.',
    flag: 'access-namespace',
    env: ['ETL_ACCESS_NAMESPACE'],
  },
  {
    key: 'node.access_cluster',
    type: { kind: 'text', maxLength: 253, emptyAllowed: true },
    defaultText: '',
    help: 'Name of that EtlRouterCluster.',
    flag: 'access-cluster',
    env: ['ETL_ACCESS_CLUSTER'],
  },
  {
    key: 'node.access_server',
    type: { kind: 'advertised' },
    defaultText: '',
    help: 'API server that is asked. Default: what Kubernetes tells each pod.',
    flag: 'access-server',
    env: ['ETL_ACCESS_SERVER'],
  },
  {
    key: 'node.access_account_dir',
    type: { kind: 'path' },
    defaultText: '/var/run/secrets/kubernetes.io/serviceaccount',
    help: 'Folder with the token that the API server is asked with (`token`) and the authority of its certificate (`ca.crt`). Both are read again for every question.',
    flag: 'access-account-dir',
    env: ['ETL_ACCESS_ACCOUNT_DIR'],
  },
  {
    key: 'node.data_dir',
    type: { kind: 'path' },
    defaultText: './data',
    help: 'Folder of log, state, dead letters and spill.',
    flag: 'data-dir',
    env: ['ETL_DATA_DIR', 'DATA_DIR'],
  },
  {
    key: 'node.log_level',
    type: { kind: 'choice', of: ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] },
    defaultText: 'info',
    help: 'How much is logged to standard error.',
    flag: 'log-level',
    env: ['ETL_LOG_LEVEL'],
  },
  {
    key: 'cluster.election_timeout_ms',
    type: count(10, 3_600_000),
    defaultText: '1000',
    help: 'Silence of the leader after which a follower campaigns. Below 10 heartbeats is warned about, 2 or less refused.',
  },
  {
    key: 'cluster.heartbeat_interval_ms',
    type: count(5, 60_000),
    defaultText: '100',
    help: 'Pause between two heartbeats of the leader.',
  },
  {
    key: 'cluster.snapshot_interval',
    type: count(100, 100_000_000),
    defaultText: '10000',
    help: 'Log entries between two snapshots.',
  },
  {
    key: 'cluster.log_quota_bytes',
    type: count(16_777_216, 2 ** 40),
    defaultText: '2147483648',
    help: 'Bytes that the files of the log may take. From 90 % of it on only reads and deletes go on, until a snapshot released a part.',
    flag: 'log-quota-bytes',
    env: ['ETL_LOG_QUOTA_BYTES'],
  },
  {
    key: 'cluster.state_check_interval_ms',
    type: count(1000, 86_400_000),
    defaultText: '600000',
    help: 'Pause between two comparisons of what the members hold. One that holds something else than a majority stops.',
  },
  {
    key: 'buffer.max_total_records',
    type: count(1, 100_000_000),
    defaultText: '100000',
    help: 'Records in flight in the engine, all pipelines together. A router without an engine only prints it.',
  },
  {
    key: 'buffer.max_per_stage',
    type: count(1, 100_000_000),
    defaultText: '10000',
    ...noEffect('the limits of each pipeline (`limits.inFlightRecords`) bound it'),
  },
  {
    key: 'buffer.max_per_source',
    type: count(1, 100_000_000),
    defaultText: '5000',
    ...noEffect('its lanes share the limits of a pipeline (`limits.inFlightRecords`)'),
  },
  {
    key: 'buffer.max_total_bytes',
    type: count(1_048_576, 2 ** 40),
    defaultText: '134217728',
    help: 'Bytes in flight in the engine, all pipelines together.',
  },
  {
    key: 'buffer.backpressure_threshold',
    type: { kind: 'ratio' },
    defaultText: '0.8',
    ...noEffect('a source reads only what it was granted within the limits'),
  },
  {
    key: 'buffer.backpressure_resume_threshold',
    type: { kind: 'ratio' },
    defaultText: '0.6',
    ...noEffect('a source reads only what it was granted within the limits'),
  },
  {
    key: 'grpc.max_message_size',
    type: count(65_536, 1_073_741_824),
    defaultText: '16777216',
    help: 'Bytes of one gRPC message, received or sent.',
  },
  {
    key: 'grpc.keepalive_interval_secs',
    type: count(1, 7200),
    defaultText: '30',
    help: 'Pause between two keepalive pings of an idle connection.',
  },
  {
    key: 'grpc.keepalive_timeout_secs',
    type: count(1, 600),
    defaultText: '10',
    help: 'Silence after a ping that closes the connection.',
  },
  {
    key: 'metrics.enabled',
    type: { kind: 'boolean' },
    defaultText: 'true',
    help: 'Whether metrics and probes are served.',
  },
  {
    key: 'metrics.port',
    type: count(1, 65_535),
    defaultText: '9090',
    help: 'Port of node.metrics_addr, where that is not set itself.',
  },
  {
    key: 'metrics.path',
    type: { kind: 'text', maxLength: 256 },
    defaultText: '/metrics',
    help: 'Path of the metrics.',
  },
];
