import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import { loadConfig } from '../../src/config/config.ts';

const sample = `cluster:
  election_timeout_ms: 300
  heartbeat_interval_ms: 100
  snapshot_interval: 10000

buffer:
  max_total_records: 100000
  max_per_stage: 10000
  backpressure_threshold: 0.8

grpc:
  max_message_size: 16777216
  keepalive_interval_secs: 30
`;

function load(parts: {
  flags?: object;
  env?: object;
  text?: string;
}): ReturnType<typeof loadConfig> {
  return loadConfig({
    flags: { ...parts.flags },
    env: { ...parts.env },
    file: parts.text === undefined ? undefined : { name: 'router.yaml', text: parts.text },
  });
}

function faultsOf(parts: Parameters<typeof load>[0]): string {
  try {
    load(parts);
  } catch (error) {
    assert.ok(isEtlError(error) && error.code === 'ETL_CONFIG_INVALID');
    return error.message;
  }
  assert.fail('the configuration was taken');
}

test('the sample file of the earlier system loads, takes effect and is warned about', () => {
  const { config, warnings } = load({ text: sample });
  assert.equal(config.cluster.electionTimeoutMs, 300);
  assert.equal(config.buffer.maxTotalRecords, 100_000);
  assert.equal(config.grpc.keepaliveIntervalMs, 30_000);
  assert.deepEqual(
    warnings.map((warning) => warning.split(':')[0]),
    ['cluster.election_timeout_ms', 'buffer.max_per_stage', 'buffer.backpressure_threshold'],
  );
});

test('a setting without effect is warned about when it is set, whatever its value, and names what has one', () => {
  const values = {
    'buffer.max_per_stage': '10000',
    'buffer.max_per_source': '7',
    'buffer.backpressure_threshold': '0.9',
    'buffer.backpressure_resume_threshold': '0.5',
  };
  for (const [key, value] of Object.entries(values)) {
    const { warnings } = load({ text: `buffer: {${key.split('.')[1]}: ${value}}` });
    assert.equal(warnings.length, 1, key);
    assert.match(
      warnings[0] as string,
      new RegExp(`^${key}: Accepted for compatibility, has no effect: .*limits`),
    );
  }
  const wired = 'buffer: {max_total_records: 20000, max_total_bytes: 2097152}';
  assert.deepEqual(load({ text: wired }).warnings, []);
  assert.deepEqual(load({}).warnings, []);
});

test('a flag beats a variable, a variable beats the file, the file beats the default', () => {
  const text = 'node: {listen_addr: "127.0.0.1:3"}';
  const env = { GRPC_PORT: '2' };
  const portOf = (parts: Parameters<typeof load>[0]): number =>
    load(parts).config.listenAddress.port;
  assert.equal(portOf({ flags: { 'listen-addr': '127.0.0.1:1' }, env, text }), 1);
  assert.equal(portOf({ env, text }), 2);
  assert.equal(portOf({ text }), 3);
  assert.equal(portOf({}), 50051);
});

test('the documented variables are honoured', () => {
  const { config } = load({
    env: {
      GRPC_PORT: '6001',
      GRAPHQL_PORT: '6002',
      RAFT_NODE_ID: '7',
      RAFT_PEERS: '127.0.0.1:50053,9@[::1]:50054',
    },
  });
  assert.deepEqual(config.listenAddress, { host: '127.0.0.1', port: 6001 });
  assert.deepEqual(config.httpAddress, { host: '127.0.0.1', port: 6002 });
  assert.equal(config.nodeId, 7);
  assert.deepEqual(config.peers, [
    { nodeId: undefined, address: { host: '127.0.0.1', port: 50053 } },
    { nodeId: 9, address: { host: '::1', port: 50054 } },
  ]);
});

test('--graphql-addr is --http-addr, and off closes it', () => {
  assert.equal(load({ flags: { 'graphql-addr': 'off' } }).config.httpAddress, undefined);
});

test('what members tell of each other is where they listen, or what is given in its place', () => {
  assert.equal(load({}).config.advertisedAddress, undefined);
  const { config } = load({
    flags: { 'advertise-addr': 'r1.example:50051' },
    env: { ETL_ADVERTISE_HTTP_ADDR: '[2001:db8::1]:443' },
  });
  assert.deepEqual(config.advertisedAddress, { host: 'r1.example', port: 50051 });
  assert.deepEqual(config.advertisedHttpAddress, { host: '2001:db8::1', port: 443 });
  const text = 'node: {advertise_addr: "r2.example:1", advertise_http_addr: ""}';
  assert.deepEqual(load({ text }).config.advertisedAddress, { host: 'r2.example', port: 1 });
  for (const wrong of ['r1.example', 'r1.example:0', '0.0.0.0:50051', '[::]:50051', 'off']) {
    assert.match(
      faultsOf({ flags: { 'advertise-addr': wrong } }),
      /--advertise-addr: needs /,
      wrong,
    );
  }
});

test('a member of several that listens everywhere is told to say where', () => {
  const flags = {
    'node-id': '1',
    peers: '127.0.0.1:1,127.0.0.1:2',
    'listen-addr': '0.0.0.0:50051',
  };
  const { warnings } = load({ flags });
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] as string,
    /^node\.listen_addr: 0\.0\.0\.0:50051 .*node\.advertise_addr/,
  );
  assert.deepEqual(load({ flags: { ...flags, 'advertise-addr': 'r1:50051' } }).warnings, []);
  assert.deepEqual(load({ flags: { 'listen-addr': '0.0.0.0:50051' } }).warnings, []);
});

test('every fault is told at once, each with its place', () => {
  const message = faultsOf({
    flags: { 'node-id': '0' },
    env: { GRAPHQL_PORT: 'http' },
    text: 'cluster: {electon_timeout_ms: 5}\nbuffer: {max_per_stage: "many"}\nraft: {}',
  });
  for (const part of [
    '5 faults',
    '--node-id',
    'GRAPHQL_PORT',
    'cluster.electon_timeout_ms',
    'buffer.max_per_stage',
    'raft: there is no such section',
  ]) {
    assert.ok(message.includes(part), `${part} in ${message}`);
  }
});

test('a fault of the file names its line', () => {
  const text =
    '# a comment\ncluster:\n  heartbeat_interval_ms: 100\n  "snapshot_interval" : 5\n\nnode: {log_level: loud}\ngrpc:\n  max_mesage_size: 1\n';
  const message = faultsOf({ text });
  for (const part of [
    'router.yaml, line 4: cluster.snapshot_interval: needs a whole number from 100',
    'router.yaml, line 6: node.log_level: needs one of silent',
    'router.yaml, line 8: grpc.max_mesage_size: there is no such key',
  ]) {
    assert.ok(message.includes(part), `${part} in ${message}`);
  }
});

test('what a file of secrets holds is not shown', () => {
  const secret = '-----BEGIN PRIVATE KEY-----MIGHAgEA';
  const message = faultsOf({ text: `node: {raft_key_file: "${secret}"}` });
  assert.match(message, /node.raft_key_file: needs the path of a file, not what the file holds$/);
});

test('every member may be given the same list of peers', () => {
  const all = '1@127.0.0.1:50052,2@127.0.0.1:50053,127.0.0.1:50054';
  for (const [id, port] of [
    ['1', 50_052],
    ['2', 50_053],
    ['3', 50_054],
  ] as const) {
    const flags = { 'node-id': id, 'raft-addr': `127.0.0.1:${port}`, peers: all };
    const { config, warnings } = load({ flags });
    assert.deepEqual(
      config.peers.map(({ address }) => address.port),
      [50_052, 50_053, 50_054].filter((other) => other !== port),
    );
    assert.deepEqual(warnings, []);
  }
});

test('a list of peers that names this member alone says where it is reached', () => {
  const { config } = load({
    flags: { 'node-id': '1', 'raft-addr': '0.0.0.0:50052', peers: '1@a:1', insecure: 'true' },
  });
  assert.deepEqual(config.peers, []);
  assert.deepEqual(config.ownPeerAddress, { host: 'a', port: 1 });
});

const review = { access: 'kubernetes', 'access-namespace': 'shop', 'access-cluster': 'main' };

test('TLS of the API needs all of its files, and is off without any', () => {
  assert.equal(load({}).config.apiTls, undefined);
  const text = 'node: {tls_ca_file: ca, tls_cert_file: cert, tls_key_file: key}';
  const files = { caFile: 'ca', certFile: 'cert', keyFile: 'key' };
  assert.deepEqual(load({ text }).config.apiTls, files);
  assert.match(
    faultsOf({ env: { ETL_TLS_KEY_FILE: 'key' } }),
    /node.tls_ca_file, node.tls_cert_file: missing/,
  );
});

test('access by Kubernetes asks the API server that a pod is told of, or the one that is given', () => {
  assert.equal(load({}).config.access, undefined);
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
  const access = {
    ...{ host: 'fd00::1', port: 443, audiences: [], namespace: 'shop', cluster: 'main' },
    ...{ caFile: `${folder}/ca.crt`, tokenFile: `${folder}/token` },
  };
  assert.deepEqual(load({ flags: review, env }).config.access, access);
  const flags = { ...review, 'access-server': 'api:6443', 'access-account-dir': 'sa' };
  assert.deepEqual(load({ flags, env }).config.access, {
    ...{ ...access, host: 'api', port: 6443 },
    ...{ caFile: 'sa/ca.crt', tokenFile: 'sa/token' },
  });
  assert.match(faultsOf({ flags: review }), /node.access_server: missing; .*KUBERNETES_SERVICE_/);
});

test('a member says where its peers reach it by its own entry among them, or as it was told', () => {
  const flags = {
    ...{ 'node-id': '4', 'raft-addr': '0.0.0.0:50052', insecure: 'true' },
    peers: '1@a:1,2@b:1,3@c:1',
  };
  const config = (more: { readonly [flag: string]: string }) =>
    load({ flags: { ...flags, ...more } }).config;
  const told = { 'advertise-raft-addr': 'd:50052' };
  assert.deepEqual(config(told).ownPeerAddress, { host: 'd', port: 50052 });
  assert.equal(config({}).ownPeerAddress, undefined);
  assert.deepEqual(config({ 'node-id': '3' }).ownPeerAddress, { host: 'c', port: 1 });
  assert.equal(config({ ...told, peers: '' }).ownPeerAddress, undefined);
  // One list for all, without ids: it is left out of it.
  const { peers } = config({ ...told, peers: 'a:50052,b:50052,d:50052' });
  assert.deepEqual(
    peers.map(({ address }) => address.host),
    ['a', 'b'],
  );
});

test('an even number of members is warned about', () => {
  const flags = { 'node-id': '1', peers: '127.0.0.1:1,127.0.0.1:2,127.0.0.1:3' };
  const { warnings } = load({ flags });
  assert.match(warnings.join(), /^node.peers: 4 members go on without 1, as 3 would/);
  const two = { ...flags, peers: '127.0.0.1:1,127.0.0.1:2,nobody.invalid:3' };
  assert.deepEqual(load({ flags: two }).warnings, [], 'nobody is no member, and not elsewhere');
});

const bad: readonly (readonly [string, Parameters<typeof load>[0]])[] = [
  ['peers without a node id', { flags: { peers: '127.0.0.1:50053' } }],
  ['a peer without a port', { flags: { 'node-id': '1', peers: 'localhost' } }],
  ['a peer named twice', { flags: { 'node-id': '1', peers: 'a:1,a:1' } }],
  [
    'the own address under the id of another',
    { flags: { 'node-id': '1', peers: '3@127.0.0.1:50052,127.0.0.1:50053' } },
  ],
  [
    'nine peers',
    { flags: { 'node-id': '1', peers: Array.from('abcdefghi', (c) => `${c}:1`).join() } },
  ],
  ['an empty peer', { flags: { 'node-id': '1', peers: 'a:1,,b:1' } }],
  ['a peer at port 0', { flags: { 'node-id': '1', peers: 'a:0' } }],
  ['a URL for a peer', { flags: { 'node-id': '1', peers: 'http://a:1' } }],
  ['node id 0', { flags: { 'node-id': '0' } }],
  ['a negative node id', { flags: { 'node-id': '-1' } }],
  ['a node id beyond 2^53', { flags: { 'node-id': '9007199254740993' } }],
  ['a node id in words', { flags: { 'node-id': 'one' } }],
  ['members beyond this machine without TLS', { flags: { 'node-id': '1', peers: '10.0.0.1:1' } }],
  ['a certificate without its key', { flags: { 'raft-cert-file': 'cert.pem' } }],
  ['a certificate of the API without its key', { flags: { 'tls-cert-file': 'cert.pem' } }],
  ['access in other words', { flags: { access: 'none' } }],
  ['access by Kubernetes to nothing', { flags: { access: 'kubernetes' } }],
  ['access to a cluster without a judge', { flags: { 'access-cluster': 'main' } }],
  ['an API server at every address', { flags: { ...review, 'access-server': '0.0.0.0:443' } }],
  ['an empty file', { text: '' }],
  ['two documents', { text: 'cluster: {}\n---\ncluster: {}' }],
  ['a tab for indentation', { text: 'cluster:\n\tsnapshot_interval: 200' }],
  ['nesting of 5,000 lists', { text: `cluster: ${'['.repeat(5000)}` }],
  ['aliases that grow', { text: 'a: &a [1]\nb: &b [*a, *a]\ncluster: {snapshot_interval: *b}' }],
  ['an alias to itself', { text: 'cluster: &a {snapshot_interval: *a}' }],
  ['a key of the prototype', { text: '__proto__: {a: 1}' }],
  ['a number with underscores', { text: 'cluster: {snapshot_interval: 1_000}' }],
  ['a number with a leading zero', { text: 'cluster: {snapshot_interval: "0800"}' }],
  ['not a number', { text: 'buffer: {backpressure_threshold: .nan}' }],
  ['an infinite number', { text: 'cluster: {snapshot_interval: .inf}' }],
  ['no value', { text: 'cluster: {snapshot_interval: ~}' }],
  ['a snapshot interval of 1', { text: 'cluster: {snapshot_interval: 1}' }],
  ['an election timeout of a heartbeat', { text: 'cluster: {election_timeout_ms: 100}' }],
  ['a message size of 0', { text: 'grpc: {max_message_size: 0}' }],
  ['a variable in a path', { text: 'node: {data_dir: "${UNSET}"}' }],
  ['an empty path', { flags: { 'data-dir': '' } }],
  ['a path with NUL', { flags: { 'data-dir': 'a\0b' } }],
  ['an empty variable', { env: { RAFT_NODE_ID: '' } }],
  ['an id named twice', { flags: { 'node-id': '1', peers: '2@a:1,2@b:1' } }],
  ['an election timeout of two heartbeats', { text: 'cluster: {election_timeout_ms: 200}' }],
  ['two APIs on one port', { flags: { 'http-addr': '127.0.0.1:50051' } }],
  ['IPv6 without brackets', { flags: { 'listen-addr': '::1:50051' } }],
  ['a port above 65535', { flags: { 'listen-addr': '127.0.0.1:65536' } }],
  ['a duplicate key', { text: 'cluster: {snapshot_interval: 200, snapshot_interval: 300}' }],
  ['a number written as text', { text: 'cluster: {snapshot_interval: "200"}' }],
  ['a fraction for a whole number', { text: 'cluster: {snapshot_interval: 200.5}' }],
  ['a threshold above 1', { text: 'buffer: {backpressure_threshold: 1.5}' }],
  ['a threshold of 0', { text: 'buffer: {backpressure_threshold: 0}' }],
  ['a stage larger than all stages', { text: 'buffer: {max_per_stage: 200000}' }],
  ['a message size of 3 GiB', { text: 'grpc: {max_message_size: 3221225472}' }],
  ['a list at the top', { text: '- cluster' }],
  ['text that is no YAML', { text: 'cluster: {' }],
  ['a custom tag', { text: 'cluster: !!js/function "x"' }],
  ['a file above 1 MiB', { text: `#${'x'.repeat(1_048_600)}` }],
  ['an unknown log level', { flags: { 'log-level': 'loud' } }],
];

for (const [what, parts] of bad) {
  test(`${what} is refused`, () => {
    assert.ok(faultsOf(parts).length > 20);
  });
}
