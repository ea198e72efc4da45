// What is said of a cluster to people and tools: seven conditions, each with a reason of a closed list and a sentence.

import { parseDuration } from '@etl-router/core';
import type { ConditionClaim } from '../runtime/status.ts';
import {
  earlierHighest,
  earlierVoters,
  type Facts,
  isOutdated,
  type Member,
  majorityOf,
  nameOf,
  nodesGuide,
  sayNodeGone,
  sayOtherCluster,
} from './facts.ts';
import type { Outcome } from './plan.ts';
import type { OperationType, WaitReason } from './step.ts';

/** Every reason that a condition may have. */
export const conditionReasons = {
  Accepted: ['Accepted', 'Invalid', 'ResourceConflict'],
  Ready: [
    'Ready',
    'Deleting',
    'Invalid',
    'ResourceConflict',
    'OtherCluster',
    'Founding',
    'NoLeader',
    'MembersNotReady',
    'Changing',
    'Forbidden',
  ],
  Available: [
    'QuorumAvailable',
    'Founding',
    'NoLeader',
    'QuorumLost',
    'MembersUnreachable',
    'OtherCluster',
    'Forbidden',
  ],
  Progressing: [
    'UpToDate',
    'Halted',
    'Founding',
    'ScalingOut',
    'ScalingIn',
    'RollingOut',
    'ReplacingMember',
    'Recovering',
    'WaitingForMembers',
    'WaitingForPod',
    'WaitingForSupervisor',
    'ClaimInTheWay',
    'ClaimBeingDeleted',
    'Forbidden',
  ],
  Degraded: [
    'AllMembersWork',
    'Founding',
    'MembersNotReady',
    'MemberTimedOut',
    'QuorumLost',
    'ActFails',
    'OtherCluster',
    'Forbidden',
  ],
  CertificatesReady: ['Valid', 'Pending', 'Expired'],
  ReconciliationPaused: ['Active', 'Paused'],
} as const;

type Type = keyof typeof conditionReasons;

/** Failures in a row from which on they are told as more than bad luck. */
const failuresMin = 3;

export function conditionsOf(outcome: Outcome): readonly ConditionClaim[] {
  return [
    accepted(outcome),
    ready(outcome),
    available(outcome),
    progressing(outcome),
    degraded(outcome),
    certificates(outcome),
    paused(outcome),
  ];
}

/** Of a cluster whose namespace does not show all that is in it; `kinds` are the plurals of what is missing. */
export function forbiddenConditions(kinds: readonly string[]): readonly ConditionClaim[] {
  const message = `The operator may not list ${kinds.join(', ')} in this namespace, so that it knows nothing and does nothing here. Give it back its Role, as by helm upgrade.`;
  return (['Ready', 'Available', 'Progressing', 'Degraded'] as const).map((type) =>
    claim(type, 'Unknown', 'Forbidden', message),
  );
}

/** The members are those that the spec asks for, run what it says, and work; nothing is left to be done. */
export function isReady({ facts, step, revision }: Outcome): boolean {
  const { members, spec, set } = facts;
  if (members === undefined || set === undefined || set.revision !== revision) return false;
  const isMember = ({ ordinal, role, works, pod }: Member, at: number): boolean =>
    ordinal === at + 1 && role === 'voter' && works && pod !== undefined && !isOutdated(facts, pod);
  const isWhole = members.length === spec.replicas && set.replicas === spec.replicas;
  return isWhole && members.every(isMember) && step === undefined;
}

function claim<T extends Type>(
  type: T,
  status: ConditionClaim['status'],
  reason: (typeof conditionReasons)[T][number],
  message: string,
): ConditionClaim {
  return { type, status, reason, message };
}

function accepted({ halt }: Outcome): ConditionClaim {
  if (halt?.reason === 'Invalid' || halt?.reason === 'ResourceConflict')
    return claim('Accepted', 'False', halt.reason, `${halt.message} What runs is left as it is.`);
  return claim('Accepted', 'True', 'Accepted', 'The spec can be followed.');
}

function ready(outcome: Outcome): ConditionClaim {
  const { facts, halt, step } = outcome;
  if (halt !== undefined && halt.reason !== 'Paused')
    return claim('Ready', 'False', halt.reason, halt.message);
  if (facts.clusterId === undefined) return claim('Ready', 'False', 'Founding', sayFounding(facts));
  if (facts.members === undefined)
    return claim('Ready', 'False', 'NoLeader', 'No member that leads answers.');
  if (isReady(outcome)) {
    const { length } = facts.members;
    const message =
      length === 1
        ? 'The member works and is as the spec wants it.'
        : `All ${length} members work and are as the spec wants them.`;
    return claim('Ready', 'True', 'Ready', message);
  }
  const idle = idleOf(facts);
  if (idle.length > 0) return claim('Ready', 'False', 'MembersNotReady', sayIdle(facts, idle));
  const message = step?.message ?? halt?.message ?? 'The spec has not reached every member yet.';
  return claim('Ready', 'False', 'Changing', message);
}

function available(outcome: Outcome): ConditionClaim {
  const { facts } = outcome;
  const { clusterId, leader } = facts;
  if (clusterId === undefined) return claim('Available', 'False', 'Founding', sayFounding(facts));
  if (leader !== undefined) {
    const message = `${nameOf(facts, leader.ordinal)} leads in term ${leader.term}.`;
    return claim('Available', 'True', 'QuorumAvailable', message);
  }
  const other = sayOtherCluster(facts);
  if (other !== undefined) return claim('Available', 'False', 'OtherCluster', other);
  return withoutLeader(outcome);
}

function sayFounding(facts: Facts): string {
  const lost = sayEarlierLost(facts);
  if (lost !== undefined) return lost;
  const { spec, set } = facts;
  const voters = earlierVoters(facts);
  const started = Math.max(spec.replicas, set?.replicas ?? 0);
  const startedVoters = voters.filter(({ ordinal }) => ordinal <= started);
  if (voters.length === 0 || startedVoters.length >= majorityOf(voters.length))
    return 'The members have not founded the cluster yet.';
  // Only odd numbers are let in.
  const replicas = earlierHighest(facts) | 1;
  return `The volumes hold a cluster of ${voters.length}, of which no majority is started: set spec.replicas to ${replicas}.`;
}

/** All pods answer, and fewer than a majority of those that the volumes tell of came back with theirs. */
function sayEarlierLost(facts: Facts): string | undefined {
  const { words, set } = facts;
  const voters = earlierVoters(facts);
  const replicas = set?.replicas ?? 0;
  const isHeard = words.filter(({ ordinal }) => ordinal <= replicas).length >= replicas;
  if (!isHeard || earlierHighest(facts) > replicas) return undefined;
  const back = voters.filter(({ raftId }) => words.some((word) => word.raftId === raftId));
  if (voters.length === 0 || back.length >= majorityOf(voters.length)) return undefined;
  return quorumLostMessage(voters.length);
}

/** A majority that is away is not one that is not heard of: the one is told by pods, the other by nothing. */
function withoutLeader({ facts, halt }: Outcome): ConditionClaim {
  const { cluster, words, view } = facts;
  const known = cluster.status?.members?.filter(({ role }) => role === 'voter') ?? [];
  const isUp = ({ ordinal }: (typeof known)[number]): boolean =>
    view.pods.some((pod) => pod.ordinal === ordinal && pod.ready && !pod.terminating);
  // Under the id of its volume: who came back without it has no vote.
  const heard = known.filter((each) =>
    words.some(({ ordinal, raftId }) => ordinal === each.ordinal && raftId === each.memberID),
  );
  const needed = majorityOf(known.length);
  if (heard.length >= needed)
    return claim('Available', 'False', 'NoLeader', 'The members are choosing who leads.');
  if (known.filter(isUp).length >= needed) {
    const message = `${heard.length} of ${known.length} members answer the operator, and their pods are ready.`;
    return claim('Available', 'Unknown', 'MembersUnreachable', message);
  }
  if (view.certificates.outOfDates === true) {
    const wayOut =
      halt?.reason === 'Paused' ? 'set spec.reconciliation to active' : 'see CertificatesReady';
    const message = `Certificates have expired or are not valid yet, so that members refuse each other, which alone loses nothing: ${wayOut}.`;
    return claim('Available', 'False', 'NoLeader', message);
  }
  return claim('Available', 'False', 'QuorumLost', quorumLostMessage(known.length));
}

/** The same of all who are away: a pod on a node without power looks as one without a network, or one that starts. */
function quorumLostMessage(voters: number): string {
  return `Fewer than ${majorityOf(voters)} of ${voters} members answer as those that they were: nothing is deleted and nothing founded anew. The others may be starting, on a node that is away, cut off (ports 50051 and 50052), or without their volumes: see docs/guides/operating-a-cluster.md, "When a majority is lost", before you delete anything.`;
}

const operationReasons: {
  readonly [Name in OperationType]: (typeof conditionReasons)['Progressing'][number];
} = {
  bootstrap: 'Founding',
  scaleOut: 'ScalingOut',
  scaleIn: 'ScalingIn',
  rollout: 'RollingOut',
  replaceMember: 'ReplacingMember',
  recover: 'Recovering',
};

/** Waits that only somebody else ends. */
const stuckReasons: readonly WaitReason[] = [
  'WaitingForSupervisor',
  'ClaimInTheWay',
  'ClaimBeingDeleted',
];

function progressing({ facts, halt, step, revision }: Outcome): ConditionClaim {
  if (halt !== undefined) return claim('Progressing', 'False', 'Halted', halt.message);
  if (step === undefined) {
    if (facts.set?.revision !== revision)
      return claim('Progressing', 'True', 'RollingOut', 'The objects are being applied.');
    return claim('Progressing', 'False', 'UpToDate', 'Nothing is left to be done.');
  }
  if (step.kind === 'wait' && (step.intent === undefined || stuckReasons.includes(step.reason)))
    return claim('Progressing', 'False', step.reason, step.message);
  const type = step.intent?.type ?? 'recover';
  return claim('Progressing', 'True', operationReasons[type], step.message);
}

function degraded(outcome: Outcome): ConditionClaim {
  const { facts, halt } = outcome;
  const { clusterId, members, view } = facts;
  if (halt?.reason === 'OtherCluster')
    return claim('Degraded', 'True', 'OtherCluster', halt.message);
  const { status, reason, message } = available(outcome);
  if (reason === 'QuorumLost') return claim('Degraded', 'True', 'QuorumLost', message ?? '');
  const lost = clusterId === undefined ? sayEarlierLost(facts) : undefined;
  if (lost !== undefined) return claim('Degraded', 'True', 'QuorumLost', lost);
  const { failure } = view;
  const failing =
    failure !== undefined && failure.count >= failuresMin ? failure.message : undefined;
  const late = lateOf(facts);
  if (late !== undefined) {
    const told = failing === undefined ? late : `${late} The operator is refused, too: ${failing}`;
    return claim('Degraded', 'True', 'MemberTimedOut', told);
  }
  if (failing !== undefined) return claim('Degraded', 'True', 'ActFails', failing);
  if (clusterId === undefined)
    return claim('Degraded', 'False', 'Founding', 'There is no cluster yet.');
  if (members === undefined) {
    const is = status === 'Unknown' ? 'Unknown' : 'True';
    return claim('Degraded', is, 'MembersNotReady', message ?? '');
  }
  const idle = idleOf(facts).filter(({ ordinal }) => !isExpected(facts, ordinal));
  if (idle.length > 0) return claim('Degraded', 'True', 'MembersNotReady', sayIdle(facts, idle));
  return claim('Degraded', 'False', 'AllMembersWork', 'Nobody is missing who should be there.');
}

/** A pod that takes longer than the spec allows. */
function lateOf(facts: Facts): string | undefined {
  const { view, spec } = facts;
  const text = spec.update?.memberReadyTimeout ?? '10m';
  const late = view.pods.find(
    ({ ready, unreadySinceMs }) => !ready && view.nowMs - unreadySinceMs > timeoutOf(text),
  );
  if (late === undefined) return undefined;
  if (late.isStuck) return sayNodeGone(late);
  const why = late.waitsFor === undefined ? '' : ` (${late.waitsFor})`;
  return `Pod ${late.name}${why} is not ready after ${text}. A spec that works replaces it at once; where its node or disk does not come back, ${nodesGuide}.`;
}

/** What a stored spec says may be nonsense; that is told by Accepted. */
function timeoutOf(text: string): number {
  return /^(\d{1,5}(h|ms|m|s)){1,4}$/.test(text) ? parseDuration(text) : Number.POSITIVE_INFINITY;
}

/** The operation is about this very member: it may be away for a while. */
function isExpected(facts: Facts, ordinal: number): boolean {
  return facts.cluster.status?.operation?.target === nameOf(facts, ordinal);
}

function idleOf({ members }: Facts): readonly Member[] {
  return members?.filter(({ works }) => !works) ?? [];
}

function sayIdle(facts: Facts, idle: readonly Member[]): string {
  const said = idle.map(({ ordinal, pod, word }) => {
    const state =
      pod === undefined
        ? 'has no pod'
        : !pod.ready
          ? 'is not ready'
          : word === undefined
            ? 'does not answer'
            : 'lags behind';
    return `${nameOf(facts, ordinal)} ${state}${pod?.waitsFor === undefined ? '' : ` (${pod.waitsFor})`}`;
  });
  return `${said.join(', ')}.`;
}

function certificates({ facts, halt }: Outcome): ConditionClaim {
  const { state, message } = facts.view.certificates;
  if (state === 'expired' && halt?.reason === 'Paused') {
    const halted =
      'A certificate has expired, and is not replaced while spec.reconciliation is paused.';
    return claim('CertificatesReady', 'False', 'Expired', halted);
  }
  if (state === 'valid')
    return claim('CertificatesReady', 'True', 'Valid', message ?? 'Certificates are valid.');
  if (state === 'expired')
    return claim('CertificatesReady', 'False', 'Expired', message ?? 'A certificate has expired.');
  return claim('CertificatesReady', 'False', 'Pending', message ?? 'Certificates are being made.');
}

function paused({ facts, halt }: Outcome): ConditionClaim {
  if (halt?.reason === 'Paused') {
    const { notAfterMs } = facts.view.certificates;
    const end = notAfterMs === undefined ? 'in time' : `on ${dayOf(notAfterMs)}`;
    const message = `${halt.message} Certificates are not renewed meanwhile, and end ${end}.`;
    return claim('ReconciliationPaused', 'True', 'Paused', message);
  }
  return claim('ReconciliationPaused', 'False', 'Active', 'The spec is followed.');
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
