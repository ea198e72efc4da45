// The status of a cluster: what was seen, and the intent. Words of members that are away are left out, not made up.

import type {
  EtlRouterClusterStatus,
  EtlRouterClusterStatusMember,
  EtlRouterClusterStatusOperation,
} from '@etl-router/crds';
import { type Facts, isOutdated, type Member, nameOf } from './facts.ts';
import { membersMax, ports } from './names.ts';
import type { Outcome } from './plan.ts';
import { selectorOf, versionOf } from './pod-template.ts';
import type { Intent } from './step.ts';
import type { MemberWord } from './view.ts';

export function statusOf(outcome: Outcome): EtlRouterClusterStatus {
  const { facts } = outcome;
  const { view, cluster, leader, set } = facts;
  const { metadata, status: known } = cluster;
  // Members that have no pod here are told by Progressing, while they are removed.
  const members =
    facts.members
      ?.filter(({ ordinal }) => ordinal <= membersMax)
      .map((member) => toStatus(facts, member)) ?? known?.members;
  // By the tags of their images, as the version that they are brought to; what a member calls itself is with the member.
  const versions = new Set(facts.members?.map(({ pod }) => pod?.version));
  const [onlyVersion] = versions;
  const clusterID = known?.clusterID ?? (leader?.clusterId === '' ? undefined : leader?.clusterId);
  const pods = view.pods.filter(({ terminating }) => !terminating);
  const { notAfterMs } = view.certificates;
  return withoutAbsent({
    observedGeneration: metadata.generation,
    clusterID,
    bootstrappedAt:
      known?.bootstrappedAt ?? (clusterID === undefined ? undefined : timeOf(view.nowMs)),
    replicas: counted(set?.replicas ?? 0),
    readyReplicas: counted(pods.filter(({ ready }) => ready).length),
    updatedReplicas: counted(
      pods.filter((pod) => set !== undefined && !isOutdated(facts, pod)).length,
    ),
    selector: Object.entries(selectorOf(metadata.name))
      .map(([name, value]) => `${name}=${value}`)
      .join(','),
    currentVersion: (versions.size === 1 ? onlyVersion : undefined) ?? known?.currentVersion,
    targetVersion: versionOf(cluster, view.installed),
    term: leader?.term ?? known?.term,
    leader: leaderStatus(facts),
    members,
    operation: operationOf(outcome),
    endpoints: {
      grpc: `${metadata.name}.${metadata.namespace}.svc:${ports.grpc}`,
      graphql: `http://${metadata.name}.${metadata.namespace}.svc:${ports.http}/graphql`,
    },
    serverCertificateNotAfter: notAfterMs === undefined ? undefined : timeOf(notAfterMs),
  });
}

function leaderStatus({
  leader,
  cluster,
  view,
  ...facts
}: Facts): EtlRouterClusterStatus['leader'] {
  if (leader === undefined) return undefined;
  const name = nameOf({ leader, cluster, view, ...facts }, leader.ordinal);
  const known = cluster.status?.leader;
  return known?.name === name ? known : { name, since: timeOf(view.nowMs) };
}

function toStatus(facts: Facts, member: Member): EtlRouterClusterStatusMember {
  const { ordinal, raftId, role, word, pod } = member;
  return withoutAbsent({
    name: nameOf(facts, ordinal),
    memberID: raftId,
    ordinal,
    role,
    state: stateOf(word),
    ready: pod?.ready === true && !pod.terminating,
    version: word?.version.slice(0, versionMaxLength) ?? pod?.version,
    podUID: pod?.uid,
  });
}

function stateOf(word: MemberWord | undefined): EtlRouterClusterStatusMember['state'] {
  if (word === undefined) return 'unreachable';
  return word.role === 'leader' || word.role === 'candidate' ? word.role : 'follower';
}

/** The intent as it is kept: its time stays while its type and target do, and a failure is said with it. */
function operationOf(outcome: Outcome): EtlRouterClusterStatusOperation | undefined {
  const { facts, step, halt } = outcome;
  const { view, cluster } = facts;
  const known = cluster.status?.operation;
  // Who is told to touch nothing goes on later from where it was.
  if (halt !== undefined || (step === undefined && outcome.revision !== facts.set?.revision))
    return known;
  const intent = step?.intent;
  if (step === undefined || intent === undefined) return undefined;
  const attempt = (view.failure?.count ?? 0) + 1;
  const message =
    view.failure === undefined ? step.message : `${step.message} ${view.failure.message}`;
  return {
    ...intent,
    startedAt: isSame(known, intent) ? known.startedAt : timeOf(view.nowMs),
    attempt,
    message: message.slice(0, messageMaxLength),
  };
}

/** Bounds of the schema: a status that the server refuses would stop all work on the cluster. */
const messageMaxLength = 4096;
const versionMaxLength = 128;
const countMax = 100;

function counted(pods: number): number {
  return Math.min(pods, countMax);
}

function isSame(
  known: EtlRouterClusterStatusOperation | undefined,
  { type, target }: Intent,
): known is EtlRouterClusterStatusOperation {
  return known?.type === type && known.target === target;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

function withoutAbsent<Fields extends object>(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Fields;
}
