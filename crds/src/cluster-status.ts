// The status of an EtlRouterCluster: what the operator saw, and what it is about to do.

import { choice, count, flag, list, type ObjectSchema, object, required, text } from './schema.ts';
import { statusFields } from './shared.ts';

const whole = { min: 0, max: Number.MAX_SAFE_INTEGER } as const;
const some = { min: 0, max: 100 } as const;
const memberName = (description: string) => text(description, { max: 63 });
const time = (description: string) => text(description, { max: 40, format: 'date-time' });

const member = object('One member.', {
  name: required(memberName('Name of its pod.')),
  memberID: text('Id that it was given with its volume; another volume, another id.', { max: 40 }),
  ordinal: count('Number of its pod.', { min: 0, max: 1000 }),
  role: choice('Whether it votes.', ['voter', 'learner']),
  state: choice('What it does.', ['leader', 'follower', 'candidate', 'unreachable']),
  ready: flag('Whether its pod is ready.'),
  version: text('What it runs.', { max: 128 }),
  podUID: text('Which pod it was seen in.', { max: 64 }),
});

const operation = object(
  'What is being done, written before it is done. An operator that starts anew finds it here.',
  {
    type: required(
      choice('What it is.', [
        'bootstrap',
        'scaleOut',
        'scaleIn',
        'rollout',
        'replaceMember',
        'recover',
      ]),
    ),
    phase: required(text('How far it is.', { max: 63, pattern: '^[a-z][A-Za-z0-9]*$' })),
    target: text('The member, the version or the number that it is about.', { max: 253 }),
    startedAt: required(time('When it began.')),
    attempt: required(count('How often this phase was begun.', { min: 1, max: 1_000_000 })),
    message: text('What it waits for.', { min: 0, max: 4096 }),
  },
);

export const clusterStatus: ObjectSchema = object('What the cluster is.', {
  ...statusFields,
  clusterID: text('Id that the members founded the cluster with; it never changes.', {
    max: 64,
    rules: [
      {
        rule: 'self == oldSelf',
        message: 'can not be changed: it names the cluster whose data the volumes hold',
      },
    ],
  }),
  bootstrappedAt: time('When the members founded the cluster.'),
  replicas: count('Members there are.', some),
  readyReplicas: count('Members whose pods are ready.', some),
  updatedReplicas: count('Members that run what the spec says.', some),
  selector: text('Labels of the pods, for the scale subresource.', { max: 1024 }),
  currentVersion: text('Version that every member runs.', { max: 128 }),
  targetVersion: text('Version that the members are brought to.', { max: 128 }),
  term: count('Number of the leadership, as Raft counts.', whole),
  leader: object('Who leads.', {
    name: required(memberName('Name of its pod.')),
    since: time('Since when this has been seen.'),
  }),
  members: list('The members, by name.', member, { max: 32, by: ['name'] }),
  operation,
  endpoints: object('Where clients reach the cluster.', {
    grpc: text('host:port of gRPC.'),
    graphql: text('URL of GraphQL.', { max: 300 }),
  }),
  serverCertificateNotAfter: time('When the certificate of the members ends that ends first.'),
});
