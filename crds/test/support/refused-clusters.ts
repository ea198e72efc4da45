// Specs of an EtlRouterCluster that no API server takes. They are shown to our own admission and to a real one.

export type Spec = { readonly [name: string]: unknown };

/** A spec and what is said of it. */
export const refused: readonly (readonly [string, Spec, RegExp])[] = [
  ['an unknown field', { replicaz: 3 }, /^spec\.replicaz: unknown field$/],
  [
    'an unknown field far down',
    { raft: { electon: '1s' } },
    /^spec\.raft\.electon: unknown field$/,
  ],
  ['text for a number', { replicas: '3' }, /^spec\.replicas: must be of type integer$/],
  ['a list for a map', { raft: [] }, /^spec\.raft: must be of type object$/],
  ['a map for a list', { template: { env: {} } }, /^spec\.template\.env: must be of type array$/],
  ['a number for a duration', { raft: { electionTimeout: 1000 } }, /must be of type string$/],
  ['no member', { replicas: 0 }, /^spec\.replicas: must be from 1 to 7$/],
  ['two members', { replicas: 2 }, /^spec\.replicas: needs to be odd, 1, 3, 5 or 7/],
  ['four members', { replicas: 4 }, /odd/],
  ['fewer than none', { replicas: -1 }, /from 1 to 7/],
  ['eight members', { replicas: 8 }, /from 1 to 7/],
  ['a billion members', { replicas: 1e9 }, /from 1 to 7/],
  ['half a member', { replicas: 2.5 }, /integer/],
  [
    'an empty repository',
    { image: { repository: '' } },
    /^spec\.image\.repository: should be at least/,
  ],
  [
    'a tag in the repository',
    { image: { repository: 'etl/router:1' } },
    /repository: should match/,
  ],
  ['a repository in capitals', { image: { repository: 'ETL/Router' } }, /repository: should match/],
  ['latest', { version: 'latest' }, /^spec\.version: needs a fixed version/],
  ['an empty version', { version: '' }, /^spec\.version: should be at least/],
  ['a digest of another algorithm', { image: { digest: 'md5:00' } }, /digest: should match/],
  ['a short digest', { image: { digest: 'sha256:0a' } }, /digest: should match/],
  [
    'a limit below its request',
    { template: { resources: { requests: { memory: '2Gi' }, limits: { memory: '1Gi' } } } },
    /^spec\.template\.resources: limits\.memory is below requests\.memory: raise/,
  ],
  [
    'a limit below its request, as numbers',
    { template: { resources: { requests: { cpu: 2 }, limits: { cpu: 1 } } } },
    /limits\.cpu is below/,
  ],
  [
    'a limit below its request, a number and text',
    { template: { resources: { requests: { cpu: '1500m' }, limits: { cpu: 1 } } } },
    /limits\.cpu is below/,
  ],
  [
    'a limit below its request, text and a number',
    { template: { resources: { requests: { cpu: 2 }, limits: { cpu: '1500m' } } } },
    /limits\.cpu is below/,
  ],
  [
    'a disk limit below its request',
    {
      template: {
        resources: {
          requests: { 'ephemeral-storage': '2Gi' },
          limits: { 'ephemeral-storage': '1Gi' },
        },
      },
    },
    /limits\.ephemeral-storage is below/,
  ],
  ['1mm of a CPU', { template: { resources: { limits: { cpu: '1mm' } } } }, /cpu: should match/],
  [
    'an election shorter than a heartbeat',
    { raft: { electionTimeout: '100ms', heartbeatInterval: '200ms' } },
    /^spec\.raft: electionTimeout needs to be at least five times heartbeatInterval/,
  ],
  [
    'an election of the default heartbeat',
    { raft: { electionTimeout: '400ms' } },
    /at least five times/,
  ],
  ['an election of 5 ms', { raft: { electionTimeout: '5ms' } }, /from 100ms to 1m/],
  ['an election of an hour', { raft: { electionTimeout: '1h' } }, /from 100ms to 1m/],
  [
    'a log as large as its volume',
    { raft: { logQuota: '1Gi' }, storage: { size: '1Gi' } },
    /^spec: raft\.logQuota needs to be below storage\.size/,
  ],
  ['a negative duration', { raft: { electionTimeout: '-1s' } }, /should match/],
  ['a duration without unit', { raft: { electionTimeout: '1000' } }, /should match/],
  ['a volume of nothing', { storage: { size: '0' } }, /size: needs a size from 256Mi to 16Ti/],
  ['a volume of half a byte', { storage: { size: '0.5' } }, /size: needs a size/],
  ['a size in words', { storage: { size: 'big' } }, /size: should match/],
  ['a StorageClass in capitals', { storage: { storageClassName: 'Fast' } }, /should match/],
  [
    'another word for retention',
    { storage: { retention: { whenDeleted: 'Retain' } } },
    /must be one/,
  ],
  [
    'a label value of 256 KiB',
    { template: { metadata: { labels: { team: 'a'.repeat(262_144) } } } },
    /labels\.team: may not be longer than 63$/,
  ],
  [
    'an annotation of 256 KiB',
    { template: { metadata: { annotations: { note: 'a'.repeat(262_144) } } } },
    /annotations\.note: may not be longer than 4096$/,
  ],
  [
    'an annotation with control characters',
    { template: { metadata: { annotations: { note: 'a\u001b[31m' } } } },
    /annotations\.note: should match/,
  ],
  [
    'a label with a line break',
    { template: { metadata: { labels: { team: 'a\nb' } } } },
    /labels\.team: should match/,
  ],
  [
    'a label whose key is no name',
    { template: { metadata: { labels: { 'a b': 'x' } } } },
    /^spec\.template\.metadata\.labels: has a key that is no name/,
  ],
  [
    'a label of ours',
    { template: { metadata: { labels: { 'etl.router/cluster': 'other' } } } },
    /are the operator’s: use another prefix/,
  ],
  [
    'an annotation of ours',
    { template: { metadata: { annotations: { 'etl.router/hash': 'x' } } } },
    /are the operator’s: use another prefix/,
  ],
  [
    'a hundred labels',
    {
      template: {
        metadata: {
          labels: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`a${i}`, ''])),
        },
      },
    },
    /labels: must have 0 to 32 properties/,
  ],
  [
    'a variable of ours',
    { template: { env: [{ name: 'ETL_DATA_DIR', value: '/tmp' }] } },
    /^spec\.template\.env\[0\]\.name: is set by the operator/,
  ],
  [
    'the name of the pod, which the operator says already',
    { template: { env: [{ name: 'POD_NAME', value: 'x' }] } },
    /^spec\.template\.env\[0\]\.name: is set by the operator/,
  ],
  [
    'a variable twice',
    {
      template: {
        env: [
          { name: 'A', value: '1' },
          { name: 'A', value: '2' },
        ],
      },
    },
    /env: duplicate value/,
  ],
  [
    'a variable of nothing',
    { template: { env: [{ name: 'A' }] } },
    /exactly one of value and valueFrom/,
  ],
  [
    'a variable of two things',
    {
      template: {
        env: [{ name: 'A', value: '1', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      },
    },
    /exactly one of value and valueFrom/,
  ],
  [
    'a renewal that never rests',
    { tls: { certificateDuration: '1h', renewBefore: '50m' } },
    /^spec\.tls: renewBefore needs to be at most half/,
  ],
  [
    'an authority that ends before what it signed',
    { tls: { authorityDuration: '2161h' } },
    /^spec\.tls: authorityDuration needs to be at least twice/,
  ],
  ['a log level that is none', { logLevel: 'verbose' }, /must be one of fatal, error/],
  ['a strategy in another case', { update: { strategy: 'Automatic' } }, /must be one of automatic/],
  ['another word for paused', { reconciliation: 'Paused' }, /must be one of active, paused/],
];
