// EtlRouterCluster: the routers that decide, three of them unless said otherwise. A field is here only when the operator does
// what it says.

import { clusterStatus } from './cluster-status.ts';
import { podTemplate } from './cluster-template.ts';
import type { CustomResource } from './custom-resource.ts';
import {
  choice,
  count,
  duration,
  list,
  map,
  type ObjectSchema,
  object,
  quantity,
  required,
  text,
} from './schema.ts';
import { lastColumns, objectName, readyColumn } from './shared.ts';

const image: ObjectSchema = object(
  'Where the image of the routers comes from. Left out: the one that the operator was installed with.',
  {
    repository: text('Registry and name, without tag and digest, such as example.io/etl/router.', {
      max: 255,
      pattern: '^[a-z0-9]+([._-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*$',
    }),
    digest: text('Digest that pins what the version stands for.', {
      max: 71,
      pattern: '^sha256:[a-f0-9]{64}$',
    }),
    pullPolicy: choice('When a node asks the registry.', ['Always', 'IfNotPresent', 'Never'], {
      fallback: 'IfNotPresent',
    }),
    pullSecretRefs: list(
      'Secrets of the same namespace that open the registry.',
      object('One Secret.', { name: required(objectName('Name of the Secret.')) }),
      { max: 10, by: ['name'] },
    ),
  },
);

const raft: ObjectSchema = object(
  'How the members agree.',
  {
    electionTimeout: duration(
      'Silence of the leader after which another member campaigns. Longer than any pause of the network or of a disk.',
      { min: '100ms', max: '1m', fallback: '1s' },
    ),
    heartbeatInterval: duration('Pause between two signs of life of the leader.', {
      min: '10ms',
      max: '10s',
      fallback: '100ms',
    }),
    snapshotEntries: count('Entries of the log between two snapshots.', {
      min: 100,
      max: 100_000_000,
      fallback: 10_000,
    }),
    logQuota: quantity(
      'Bytes that the log may take on the volume. From nine tenths of it on only reads and deletes go on, until a snapshot released a part. Left out: a quarter of the volume, at most 2Gi.',
      { min: '16Mi', max: '1Ti' },
    ),
    stateCheckInterval: duration('Pause between two comparisons of what the members hold.', {
      min: '1s',
      max: '24h',
      fallback: '10m',
    }),
  },
  {
    fallback: {},
    rules: [
      {
        rule: `!has(self.electionTimeout) || !has(self.heartbeatInterval) || duration(self.electionTimeout) >= ${Array.from({ length: 5 }, () => 'duration(self.heartbeatInterval)').join(' + ')}`,
        message:
          'electionTimeout needs to be at least five times heartbeatInterval, better ten: raise the one or lower the other',
      },
    ],
  },
);

const storage: ObjectSchema = object(
  'The volume of each member.',
  {
    size: quantity('How large it is. It can grow, never shrink.', {
      min: '256Mi',
      max: '16Ti',
      fallback: '10Gi',
      rules: [
        {
          rule: 'quantity(self).compareTo(quantity(oldSelf)) >= 0',
          message: 'can only grow: a volume does not shrink',
        },
      ],
    }),
    storageClassName: text(
      'StorageClass of the volumes. Left out: the default of the Kubernetes cluster. It can not be changed.',
      {
        pattern: objectName('').pattern as string,
        rules: [
          {
            rule: 'self == oldSelf',
            message:
              'can not be changed: back the cluster up, and restore it to a new one with the other class',
          },
        ],
      },
    ),
    retention: object(
      'What becomes of a volume that no member uses any more.',
      {
        whenDeleted: choice('When the EtlRouterCluster is deleted.', ['retain', 'delete'], {
          fallback: 'retain',
        }),
        whenScaled: choice('When its member was removed.', ['retain', 'delete'], {
          fallback: 'delete',
        }),
      },
      { fallback: {} },
    ),
  },
  {
    fallback: {},
    rules: [
      {
        rule: 'has(self.storageClassName) == has(oldSelf.storageClassName)',
        message:
          'storageClassName can not be added or taken away: back the cluster up, and restore it to a new one',
      },
    ],
  },
);

const services: ObjectSchema = object(
  'The Services in front of the members.',
  {
    client: object(
      'The Service with the ports 50051 (gRPC) and 8080 (GraphQL, REST).',
      {
        type: choice('How it can be reached.', ['ClusterIP', 'NodePort', 'LoadBalancer'], {
          fallback: 'ClusterIP',
        }),
        annotations: map(
          'Annotations, for example for a load balancer.',
          text('Value of the annotation.', { min: 0, max: 1024 }),
          { max: 32 },
        ),
      },
      { fallback: {} },
    ),
  },
  { fallback: {} },
);

const tls: ObjectSchema = object(
  'How long the certificates hold that the operator makes. They are renewed in time, and nothing restarts for it.',
  {
    certificateDuration: duration('Life of a certificate of a member.', {
      min: '10m',
      max: '8760h',
      fallback: '2160h',
    }),
    renewBefore: duration('Rest of its life at which it is renewed.', {
      min: '5m',
      max: '8760h',
      fallback: '720h',
    }),
    authorityDuration: duration(
      'Life of the authority that signs them; renewed by the same share.',
      {
        min: '30m',
        max: '87600h',
        fallback: '8760h',
      },
    ),
  },
  {
    fallback: {},
    rules: [
      {
        rule: '!has(self.renewBefore) || !has(self.certificateDuration) || duration(self.renewBefore) + duration(self.renewBefore) <= duration(self.certificateDuration)',
        message:
          'renewBefore needs to be at most half of certificateDuration: lower the one or raise the other',
      },
      {
        rule: '!has(self.certificateDuration) || !has(self.authorityDuration) || duration(self.certificateDuration) + duration(self.certificateDuration) <= duration(self.authorityDuration)',
        message:
          'authorityDuration needs to be at least twice certificateDuration: raise the one or lower the other',
      },
    ],
  },
);

const update: ObjectSchema = object(
  'How a change reaches the members.',
  {
    strategy: choice(
      'automatic: one member after the other, the leader last. supervised: the same, but the leader waits until somebody deletes its pod.',
      ['automatic', 'supervised'],
      { fallback: 'automatic' },
    ),
    memberReadyTimeout: duration(
      'How long a restarted member may take until it is ready, before the cluster is said to be degraded.',
      { min: '10s', max: '24h', fallback: '10m' },
    ),
  },
  { fallback: {} },
);

const spec: ObjectSchema = object(
  'What the cluster is to be.',
  {
    replicas: count('Members that vote: one for trying out, three, five or seven.', {
      min: 1,
      max: 7,
      fallback: 3,
      rules: [
        {
          rule: 'self % 2 == 1',
          message: 'needs to be odd, 1, 3, 5 or 7: an even member adds no safety',
        },
      ],
    }),
    version: text(
      'Tag of the image, which is the version of the routers. Left out: the one that the operator was installed with.',
      {
        max: 128,
        pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]*$',
        rules: [
          {
            rule: "self != 'latest'",
            message: 'needs a fixed version: latest would run different code on each member',
          },
        ],
      },
    ),
    image,
    raft,
    storage,
    template: podTemplate,
    services,
    tls,
    update,
    disruptionBudget: choice(
      'managed: a PodDisruptionBudget lets go of as many pods as a quorum can spare. none: there is no such budget.',
      ['managed', 'none'],
      { fallback: 'managed' },
    ),
    reconciliation: choice(
      'active: the operator makes the cluster as the spec says. paused: it only reports, and renews no certificate.',
      ['active', 'paused'],
      { fallback: 'active' },
    ),
    logLevel: choice(
      'How much the routers log.',
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace'],
      { fallback: 'info' },
    ),
  },
  {
    rules: [
      {
        rule: '!has(self.raft) || !has(self.storage) || !has(self.raft.logQuota) || quantity(self.raft.logQuota).compareTo(quantity(self.storage.size)) < 0',
        message:
          'raft.logQuota needs to be below storage.size: the volume also holds state and snapshots',
      },
    ],
  },
);

/** EtlRouterCluster. */
export const etlRouterCluster: CustomResource = {
  kind: 'EtlRouterCluster',
  plural: 'etlrouterclusters',
  shortNames: ['erc'],
  description:
    'Routers that agree by Raft on what every pipeline does, where and from which position. The operator runs them.',
  spec,
  status: clusterStatus,
  rules: [
    {
      rule: "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
      message:
        'metadata.name needs at most 40 of a-z, 0-9 and -, a letter first and no - last: Services and pods are named after it',
    },
  ],
  columns: [
    readyColumn,
    {
      name: 'Replicas',
      type: 'integer',
      jsonPath: '.status.replicas',
      description: 'Members there are.',
    },
    {
      name: 'Leader',
      type: 'string',
      jsonPath: '.status.leader.name',
      description: 'The member that leads.',
    },
    {
      name: 'Term',
      type: 'integer',
      jsonPath: '.status.term',
      description: 'Number of the leadership.',
    },
    {
      name: 'Version',
      type: 'string',
      jsonPath: '.status.currentVersion',
      description: 'What every member runs.',
    },
    ...lastColumns,
  ],
  selectable: ['.spec.version', '.spec.reconciliation'],
  scale: {
    specReplicas: '.spec.replicas',
    statusReplicas: '.status.replicas',
    selector: '.status.selector',
  },
};
