// How a change reaches pods that run: one at a time and only while everybody else works; the leader last, after it handed
// over. A pod that does no work is made anew at once, whoever else is away: nobody waits for it.

import { parseDuration } from '@etl-router/core';
import {
  claimOf,
  type Facts,
  isOutdated,
  type Member,
  memberOf,
  nameOf,
  sayNodeGone,
  staysQuorate,
  votersOf,
} from './facts.ts';
import { handOver } from './membership.ts';
import { act, type Intent, type OperationType, type Step, wait } from './step.ts';
import type { PodView } from './view.ts';

/** Makes a pod anew that is not as the spec wants it and does no work. Needs nobody's word. */
export function repairStep(facts: Facts): Step | undefined {
  const { view } = facts;
  if (!isSetReady(facts) || isAnyEnding(facts)) return undefined;
  const idle = view.pods.filter(
    (pod) => !pod.terminating && isOutdated(facts, pod) && isIdle(facts, pod),
  );
  const pod = idle.find(({ name }) => name === targetOf(facts)) ?? idle.at(-1);
  if (pod === undefined || isClaimEnding(facts, pod)) return undefined;
  const why = pod.waitsFor === undefined ? '' : ` (${pod.waitsFor})`;
  return restart(
    pod,
    repairType(facts),
    `Pod ${pod.name}${why} is made anew as the spec wants it.`,
  );
}

/** Restarts the next member that is not as the spec wants it; undefined: all are. */
export function rolloutStep(facts: Facts): Step | undefined {
  const { members, spec } = facts;
  if (members === undefined) return undefined;
  const outdated = members.filter(({ pod }) => pod !== undefined && isOutdated(facts, pod));
  if (!isSetReady(facts)) return waitForSet(facts, outdated.at(-1));
  const idle = members.filter(({ works }) => !works);
  const [first, second] = idle;
  const begun = operationOf(facts)?.type === 'rollout';
  if (outdated.length === 0)
    return begun && first !== undefined ? waitFor(facts, first) : undefined;
  if (first !== undefined && (second !== undefined || !outdated.includes(first)))
    return waitFor(facts, first);
  if (isAnyEnding(facts)) return wait('WaitingForPod', 'Waits for a pod to end.', intentOf(facts));
  const victim = first ?? nextOf(facts, outdated);
  const { pod } = victim;
  if (pod === undefined) return undefined;
  // Deleting it again ends nothing, and with nothing under way it is told as missing and keeps nobody from joining.
  if (pod.terminating) return wait('WaitingForPod', sayNodeGone(pod));
  if (victim.leads && spec.update.strategy === 'supervised') {
    const message = `All members but ${pod.name}, which leads, are as the spec wants them: delete its pod when it suits you.`;
    return wait('WaitingForSupervisor', message, intentOf(facts));
  }
  if (isClaimEnding(facts, pod)) {
    const wayOut =
      votersOf(facts).length > 1
        ? 'while all members work, annotate it etl.router/unrecoverable=true, and its member is replaced'
        : 'raise spec.replicas to 3, and annotate it etl.router/unrecoverable=true when all of them work';
    const message = `The volume of ${pod.name} would be lost with its pod, since its PersistentVolumeClaim is being deleted. Do not delete the pod: ${wayOut}.`;
    return wait('ClaimBeingDeleted', message, intentOf(facts));
  }
  const voters = votersOf(facts).length;
  if (voters > 1 && victim.role === 'voter' && !staysQuorate(facts, victim, voters))
    return waitFor(facts, victim);
  if (victim.leads && voters > 1) return handOver(facts, victim, 'rollout');
  return restart(pod, 'rollout', `Pod ${pod.name} is made anew as the spec wants it.`);
}

/** A learner, then followers from the highest ordinal on, then the leader; but first the one that was begun. */
function nextOf(facts: Facts, outdated: readonly Member[]): Member {
  const rank = ({ role, leads }: Member): number => (leads ? 2 : role === 'voter' ? 1 : 0);
  const begun = outdated.find(({ pod }) => pod?.name === targetOf(facts));
  const [next] = outdated.toSorted((a, b) => rank(a) - rank(b) || b.ordinal - a.ordinal);
  return begun !== undefined && !begun.leads ? begun : (next as Member);
}

function restart(pod: PodView, type: OperationType, message: string): Step {
  const { name, uid, resourceVersion } = pod;
  return act(
    { type, phase: 'restart', target: name },
    { kind: 'deletePod', name, uid, resourceVersion, force: false },
    message,
  );
}

function repairType({ clusterId, leader }: Facts): OperationType {
  if (clusterId === undefined) return 'bootstrap';
  return leader === undefined ? 'recover' : 'rollout';
}

/** Whether the pod is of no use to the cluster, so that nothing is lost with it. In doubt it is of use. */
function isIdle(facts: Facts, pod: PodView): boolean {
  const { members, clusterId, words, view } = facts;
  const isSilent = !words.some(({ ordinal }) => ordinal === pod.ordinal);
  if (members !== undefined) {
    const member = memberOf(facts, pod.ordinal);
    if (member === undefined) return true;
    return !pod.ready && !member.keepsUp && (isSilent || !pod.running);
  }
  if (pod.ready) return false;
  if (clusterId === undefined) return true;
  if (!isSilent) return false;
  const timeoutMs = parseDuration(facts.spec.update.memberReadyTimeout, 'memberReadyTimeout');
  return !pod.running || view.nowMs - pod.unreadySinceMs > timeoutMs;
}

/** A pod that is deleted now would come back as it was. */
function waitForSet(facts: Facts, outdated: Member | undefined): Step | undefined {
  if (outdated === undefined) return undefined;
  const target = nameOf(facts, outdated.ordinal);
  const message = 'Waits for Kubernetes to have seen what the StatefulSet says now.';
  return wait(
    'WaitingForPod',
    message,
    intentOf(facts) ?? { type: 'rollout', phase: 'ready', target },
  );
}

/** Pods that are deleted now come back as the spec wants them. */
function isSetReady({ set }: Facts): boolean {
  return set?.isObserved === true;
}

function isAnyEnding({ view }: Facts): boolean {
  return view.pods.some(({ terminating, isStuck }) => terminating && !isStuck);
}

/** With its pod the volume would go, too, and with it what a voter promised. */
function isClaimEnding(facts: Facts, pod: PodView): boolean {
  const { members, clusterId } = facts;
  const mayVote =
    members === undefined
      ? clusterId !== undefined
      : memberOf(facts, pod.ordinal)?.role === 'voter';
  return mayVote && claimOf(facts, pod.ordinal)?.terminating === true;
}

function waitFor(facts: Facts, { ordinal }: Member): Step {
  return wait(
    'WaitingForMembers',
    `Waits for ${nameOf(facts, ordinal)} to be ready and to catch up.`,
    intentOf(facts),
  );
}

/** The rollout goes on when what was begun is ready; without one nothing was begun. */
function intentOf(facts: Facts): Intent | undefined {
  const operation = operationOf(facts);
  if (operation?.type !== 'rollout') return undefined;
  return { type: 'rollout', phase: 'ready', target: operation.target ?? '' };
}

function operationOf({ cluster }: Facts) {
  return cluster.status?.operation;
}

function targetOf(facts: Facts): string | undefined {
  return operationOf(facts)?.target;
}
