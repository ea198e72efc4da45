// Who joins and who leaves, one at a time: a learner first, a voter once it has caught up; who leaves goes from the
// members before his pod does, and his pod before his volume. No step is taken that costs the members their majority.

import {
  claimOf,
  type Facts,
  highestMember,
  isClaimOf,
  isGivenUp,
  isKnownToBeNone,
  isMarked,
  type Member,
  majorityOf,
  memberOf,
  nameOf,
  podOf,
  staysQuorate,
  votersOf,
  wordOf,
} from './facts.ts';
import { raftAddressOf } from './names.ts';
import { act, type Intent, type OperationType, type Step, wait } from './step.ts';
import type { ClaimView, MemberWord, PodView, StatefulSetView } from './view.ts';

/** Ends what is half done and takes out who does not belong there; undefined: the members are as they should be. */
export function settleStep(facts: Facts): Step | undefined {
  const { members, spec } = facts;
  if (members === undefined) return undefined;
  const learner = members.find(({ role }) => role === 'learner');
  if (learner !== undefined) return settleLearner(facts, learner);
  const lost = members.find((member) => isLost(facts, member));
  if (lost !== undefined) return leave(facts, lost, 'replaceMember');
  // With no more members than there are to be, one that is to stay is missing: it joins before another one goes.
  const surplus = members.findLast(({ ordinal }) => ordinal > spec.replicas);
  if (surplus !== undefined && members.length > spec.replicas)
    return leave(facts, surplus, 'scaleIn');
  return disposeOfLost(facts) ?? lowerReplicas(facts) ?? dropClaim(facts);
}

/** Adds the next member that the spec asks for. */
export function joinStep(facts: Facts): Step | undefined {
  const { members, spec, set } = facts;
  if (members === undefined || set === undefined) return undefined;
  const ordinal = Array.from({ length: spec.replicas }, (_, at) => at + 1).find(
    (each) => memberOf(facts, each) === undefined,
  );
  if (ordinal === undefined) return undefined;
  return set.replicas < ordinal ? makeRoom(facts, set, ordinal) : admit(facts, ordinal);
}

/** Who could lead instead: one that works, best one that stays and is as the spec wants it. */
export function successorOf(facts: Facts, leader: Member): Member | undefined {
  const revision = facts.set?.revision;
  const rank = ({ ordinal, pod }: Member): number =>
    (ordinal > facts.spec.replicas ? 2 : 0) + (pod?.revision === revision ? 0 : 1);
  return votersOf(facts)
    .filter((each) => each.works && each.raftId !== leader.raftId)
    .toSorted((a, b) => rank(a) - rank(b))[0];
}

/**
 * Notes on a volume what somebody said of its pod, before anything is done about it: Kubernetes collects the pods of a node
 * that was deleted, while what was said may have to wait for others, and the next pod of the name bears none of it.
 */
export function markStep(facts: Facts): Step | undefined {
  const { view, cluster } = facts;
  const claim = view.claims.find(
    (each) =>
      podOf(facts, each.ordinal)?.unrecoverable === true &&
      !each.terminating &&
      !isMarked(cluster, each),
  );
  if (claim === undefined) return undefined;
  const { name, uid, ordinal } = claim;
  const target = nameOf(facts, ordinal);
  const intent: Intent = { type: 'replaceMember', phase: 'claim', target };
  return act(intent, { kind: 'markClaim', name, uid }, `${target} was said not to come back.`);
}

/** Its disk is another one now, or somebody said that it does not come back. */
function isLost(facts: Facts, { isGone, ordinal }: Member): boolean {
  return isGone || isGivenUp(facts, ordinal);
}

function settleLearner(facts: Facts, learner: Member): Step {
  const { ordinal, raftId } = learner;
  if (ordinal > facts.spec.replicas) return leave(facts, learner, 'scaleIn');
  if (isLost(facts, learner)) return leave(facts, learner, 'replaceMember');
  const target = nameOf(facts, ordinal);
  const type = joinType(facts, ordinal);
  const voters = votersOf(facts);
  const working = voters.filter(({ works }) => works).length + 1;
  if (learner.works && working >= majorityOf(voters.length + 1)) {
    const message = `${target} has caught up and is to vote.`;
    return act({ type, phase: 'promote', target }, { kind: 'promote', raftId }, message);
  }
  const what = learner.works ? 'a majority of the voters to work' : `${target} to catch up`;
  const reason = learner.works ? 'WaitingForMembers' : 'WaitingForPod';
  return wait(reason, `Waits for ${what}.`, { type, phase: 'catchUp', target });
}

function leave(facts: Facts, member: Member, type: OperationType): Step {
  const { raftId, ordinal } = member;
  const target = nameOf(facts, ordinal);
  const voters = votersOf(facts).length;
  const intent: Intent = { type, phase: 'remove', target };
  if (member.role === 'voter' && !staysQuorate(facts, member, voters - 1)) {
    const left = `of the ${voters - 1} voters that would be left`;
    const message = `Waits to remove ${target} until ${majorityOf(voters - 1)} ${left} work.`;
    return wait('WaitingForMembers', message, intent);
  }
  if (member.leads) return handOver(facts, member, type);
  return act(intent, { kind: 'removeMember', raftId }, `${target} (id ${raftId}) is removed.`);
}

/** Has another member lead. */
export function handOver(facts: Facts, leader: Member, type: OperationType): Step {
  const target = nameOf(facts, leader.ordinal);
  const intent: Intent = { type, phase: 'transfer', target };
  const successor = successorOf(facts, leader);
  if (successor === undefined) {
    const message = `Waits for a member that works to take over from ${target}.`;
    return wait('WaitingForMembers', message, intent);
  }
  return act(
    intent,
    { kind: 'transferLeadership', toRaftId: successor.raftId },
    `${target} hands leadership to ${nameOf(facts, successor.ordinal)}.`,
  );
}

/**
 * The volume and the pod of a member that does not come back, once a majority knows that it is none; and of a disk whose
 * member was removed, where the policy gives such disks away.
 */
function disposeOfLost(facts: Facts): Step | undefined {
  const { view, spec } = facts;
  const lost = [...view.pods, ...view.claims.filter(({ terminating }) => !terminating)].find(
    ({ ordinal }) =>
      isGivenUp(facts, ordinal) || (ordinal <= spec.replicas && hasRemovedDisk(facts, ordinal)),
  );
  if (lost === undefined || !isKnownToBeNone(facts, lost.ordinal)) return undefined;
  const { ordinal } = lost;
  const target = nameOf(facts, ordinal);
  const claim = claimOf(facts, ordinal);
  const isKept = spec.storage.retention.whenScaled === 'retain';
  const isThere = claim?.terminating === false;
  if (!isGivenUp(facts, ordinal) && isThere && (isKept || !isClaimOf(facts.cluster, claim))) {
    const intent: Intent = { type: 'replaceMember', phase: 'claim', target };
    return wait('ClaimInTheWay', sayInTheWay(facts, claim), intent);
  }
  if (claim !== undefined && !claim.terminating) {
    const { name, uid } = claim;
    const message = `The volume of ${target} is given up.`;
    const intent: Intent = { type: 'replaceMember', phase: 'claim', target };
    return act(intent, { kind: 'deleteClaim', name, uid }, message);
  }
  const pod = podOf(facts, ordinal);
  return pod === undefined ? undefined : giveUpPod(facts, pod);
}

function giveUpPod({ view }: Facts, pod: PodView): Step {
  const { name, uid, resourceVersion, terminating, isStuck, unrecoverable } = pod;
  const intent: Intent = { type: 'replaceMember', phase: 'restart', target: name };
  const ending = view.pods.find((each) => each.terminating && !each.isStuck);
  if (ending !== undefined)
    return wait('WaitingForPod', `Waits for pod ${ending.name} to end.`, intent);
  // By force goes only the very pod that somebody spoke of: another one may still be running somewhere.
  if (terminating && !unrecoverable) {
    const message = `Waits for pod ${name} to end, or to be said not to come back.`;
    return wait('WaitingForPod', message, intent);
  }
  if (pod.isForced === true) {
    const message = `Pod ${name} was deleted by force and is still there: a finalizer of somebody else holds it (kubectl get pod ${name} -o yaml).`;
    return wait('WaitingForPod', message, intent);
  }
  return act(
    intent,
    { kind: 'deletePod', name, uid, resourceVersion, force: terminating && isStuck },
    `Pod ${name} is made anew with an empty volume.`,
  );
}

/** It knows who belongs to the cluster, as only members do, and is none any more. Ids that were removed never come back. */
function hasRemovedDisk(facts: Facts, ordinal: number): boolean {
  const word = wordOf(facts, ordinal);
  return word !== undefined && word.members.length > 0 && memberOf(facts, ordinal) === undefined;
}

/** Takes the pod of the highest ordinal away, once a majority knows that it is no member's. */
function lowerReplicas(facts: Facts): Step | undefined {
  const { set, spec, view } = facts;
  if (set === undefined) return undefined;
  const live = set.replicas;
  if (live <= Math.max(highestMember(facts), spec.replicas)) return undefined;
  const target = nameOf(facts, live);
  const intent: Intent = { type: 'scaleIn', phase: 'replicas', target };
  const ending = view.pods.find(
    ({ ordinal, terminating, isStuck }) => (ordinal > live || terminating) && !isStuck,
  );
  if (ending !== undefined)
    return wait('WaitingForPod', `Waits for pod ${ending.name} to end.`, intent);
  if (!isKnownToBeNone(facts, live)) {
    const message = `Waits until a majority knows that ${target} is no member.`;
    return wait('WaitingForMembers', message, intent);
  }
  return act(
    intent,
    { kind: 'setReplicas', from: live, replicas: live - 1 },
    `Pod ${target} is not needed.`,
  );
}

/** The claim of a pod that is gone for good. */
function dropClaim(facts: Facts): Step | undefined {
  const { view, set, spec } = facts;
  if (set === undefined || spec.storage.retention.whenScaled === 'retain') return undefined;
  const claim = view.claims.findLast(
    ({ ordinal, terminating, owner }) =>
      !terminating &&
      isClaimOf(facts.cluster, { owner }) &&
      ordinal > Math.max(set.replicas, spec.replicas) &&
      podOf(facts, ordinal) === undefined &&
      isKnownToBeNone(facts, ordinal),
  );
  if (claim === undefined) return undefined;
  const { name, uid, ordinal } = claim;
  const intent: Intent = { type: 'scaleIn', phase: 'claim', target: nameOf(facts, ordinal) };
  return act(intent, { kind: 'deleteClaim', name, uid }, `${name} is not needed any more.`);
}

/** A volume that an earlier cluster kept is this one's as soon as a member has it that is to stay. */
export function adoptStep(facts: Facts): Step | undefined {
  const claim = facts.view.claims.find(
    ({ ordinal, terminating, owner }) =>
      !terminating &&
      ordinal <= facts.spec.replicas &&
      !isClaimOf(facts.cluster, { owner }) &&
      memberOf(facts, ordinal)?.word !== undefined,
  );
  if (claim === undefined) return undefined;
  const { name, uid } = claim;
  const intent: Intent = { type: 'bootstrap', phase: 'claim', target: name };
  return act(intent, { kind: 'adoptClaim', name, uid }, `${name} is taken over with its member.`);
}

/** The volume of a pod that is on its way out is not forgotten, though it can only go after the pod. */
export function waitForLastPod(facts: Facts): Step | undefined {
  const { view, set, spec, members } = facts;
  if (set === undefined || members === undefined) return undefined;
  const highest = Math.max(set.replicas, spec.replicas);
  const last = view.pods.find(
    ({ ordinal, terminating, isStuck }) => ordinal > highest && terminating && !isStuck,
  );
  const claim = last && claimOf(facts, last.ordinal);
  if (last === undefined || claim?.terminating !== false || !isClaimOf(facts.cluster, claim))
    return undefined;
  if (spec.storage.retention.whenScaled === 'retain') return undefined;
  const intent: Intent = { type: 'scaleIn', phase: 'claim', target: last.name };
  return wait('WaitingForPod', `Waits for pod ${last.name} to end.`, intent);
}

function joinType(facts: Facts, ordinal: number): OperationType {
  const { operation } = facts.cluster.status ?? {};
  if (operation?.target === nameOf(facts, ordinal) && operation.type === 'replaceMember')
    return 'replaceMember';
  const highest = Math.max(0, ...votersOf(facts).map((voter) => voter.ordinal));
  return ordinal < highest ? 'replaceMember' : 'scaleOut';
}

/** One pod more; but not over the disk of a member that was removed, which would come back as what it was. */
function makeRoom(facts: Facts, set: StatefulSetView, ordinal: number): Step {
  const target = nameOf(facts, ordinal);
  const type = joinType(facts, ordinal);
  const claim = claimOf(facts, ordinal);
  if (claim === undefined) {
    const change = { kind: 'setReplicas', from: set.replicas, replicas: ordinal } as const;
    return act({ type, phase: 'pod', target }, change, `Pod ${target} is started.`);
  }
  const { name, uid, terminating } = claim;
  const intent: Intent = { type, phase: 'claim', target };
  if (terminating || !isKnownToBeNone(facts, ordinal))
    return wait('WaitingForPod', `Waits for PersistentVolumeClaim ${name} to go.`, intent);
  if (facts.spec.storage.retention.whenScaled === 'delete' && isClaimOf(facts.cluster, claim))
    return act(
      intent,
      { kind: 'deleteClaim', name, uid },
      `${name} of a former member goes first.`,
    );
  return wait('ClaimInTheWay', sayInTheWay(facts, claim), intent);
}

function sayInTheWay(facts: Facts, held: ClaimView): string {
  const { name } = held;
  const why = isClaimOf(facts.cluster, held)
    ? 'holds a member that was removed, and spec.storage.retention.whenScaled is retain'
    : 'was kept by an earlier cluster of this name';
  return `PersistentVolumeClaim ${name} ${why}: copy what you need of it, then delete it, or lower spec.replicas.`;
}

function admit(facts: Facts, ordinal: number): Step {
  const target = nameOf(facts, ordinal);
  const type = joinType(facts, ordinal);
  const pod = podOf(facts, ordinal);
  const word = wordOf(facts, ordinal);
  const isUp = pod !== undefined && !pod.terminating && word !== undefined;
  if (!isUp || !isWaitingFor(facts, word)) {
    const why = pod?.waitsFor === undefined ? '' : ` (${pod.waitsFor})`;
    const message = `Waits for pod ${target}${why} to start and to find the cluster.`;
    return wait('WaitingForPod', message, { type, phase: 'pod', target });
  }
  if (isGivenUp(facts, ordinal)) {
    const message = `Waits until a majority knows that ${target} is no member.`;
    return wait('WaitingForMembers', message, { type, phase: 'claim', target });
  }
  // It would lose its volume with its next restart, when it votes.
  if (claimOf(facts, ordinal)?.terminating === true) return giveUpPod(facts, pod);
  const { name, namespace } = facts.cluster.metadata;
  const address = raftAddressOf(name, namespace, ordinal);
  const { raftId } = word;
  return act(
    { type, phase: 'learner', target },
    { kind: 'addLearner', name: String(ordinal), raftId, address },
    `${target} (id ${raftId}) is added as a learner.`,
  );
}

function isWaitingFor({ clusterId }: Facts, word: MemberWord): boolean {
  return word.role === 'waiting' && word.clusterId === clusterId;
}
