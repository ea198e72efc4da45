// From what was seen of a cluster to the next thing to do. Pure, so that every order in which the world can fail is tried
// in a model. What was begun is found in the status, never remembered here: a new operator goes on where the last one
// was. At most one act comes out, and only one whose intent is in the status already.

import { parseQuantity } from '@etl-router/core';
import type { EtlRouterClusterStatus } from '@etl-router/crds';
import type { EventClaim } from '../runtime/events.ts';
import type { UntypedObject } from '../runtime/kube-object.ts';
import { controllerUid } from '../runtime/ownership.ts';
import type { ConditionClaim } from '../runtime/status.ts';
import { checkSpec } from './check-spec.ts';
import { conditionsOf, isReady } from './conditions.ts';
import {
  earlierHighest,
  type Facts,
  highestMember,
  majorityOf,
  readFacts,
  sayOtherCluster,
  votersOf,
} from './facts.ts';
import { adoptStep, joinStep, markStep, settleStep, waitForLastPod } from './membership.ts';
import { objectKey, objectsOf } from './objects.ts';
import { repairStep, rolloutStep } from './rollout.ts';
import { statusOf } from './status.ts';
import { type Act, act, type Intent, type Step, wait } from './step.ts';
import type { ClusterView } from './view.ts';

/** What one run of the controller does, in this order. */
export interface Plan {
  /** Written first when it differs, bound to the resource version that was seen; conditions are merged into it. */
  readonly status: EtlRouterClusterStatus;
  readonly conditions: readonly ConditionClaim[];
  /** Applied in this order. When one of them was not so already, the act has to wait for the next run. */
  readonly objects: readonly UntypedObject[];
  /** Objects of the cluster that the spec does not ask for any more: deleted, as they were seen. */
  readonly unwanted: readonly UntypedObject[];
  readonly act: Act | undefined;
  /** Said when the act was made. */
  readonly events: readonly EventClaim[];
  readonly requeueAfterMs: number;
}

/** Why nothing is to be touched. */
export interface Halt {
  readonly reason: 'Deleting' | 'Invalid' | 'Paused' | 'ResourceConflict' | 'OtherCluster';
  readonly message: string;
}

/** All that conditions and status are made from. */
export interface Outcome {
  readonly facts: Facts;
  readonly halt: Halt | undefined;
  readonly step: Step | undefined;
  /** The revision that pods are to have; undefined: the spec does not say one. */
  readonly revision: string | undefined;
}

const soonMs = 1000;
const waitMs = 2000;
const unwellMs = 15_000;
const wellMs = 60_000;

export function plan(view: ClusterView): Plan {
  const facts = readFacts(view);
  const faults = checkSpec(view.cluster);
  const desired = faults.length > 0 ? undefined : desiredObjects(facts);
  const halt = haltOf(facts, faults, desired?.objects ?? []);
  const isCurrent = desired !== undefined && facts.set?.revision === desired.revision;
  const step = halt === undefined ? decide(facts, isCurrent) : undefined;
  const outcome: Outcome = { facts, halt, step, revision: desired?.revision };
  const isIntended = step?.kind === 'act' && isRecorded(facts, step.intent);
  const made = step?.kind !== 'act' ? undefined : isIntended ? step.act : recordAct;
  return {
    status: statusOf(outcome),
    conditions: conditionsOf(outcome),
    objects: halt === undefined ? (desired?.objects ?? []) : [],
    unwanted: halt === undefined ? unwantedObjects(facts) : [],
    act: made,
    events: isIntended ? eventsOf(facts, step) : [],
    requeueAfterMs: pauseOf(outcome, made, isCurrent),
  };
}

const recordAct: Act = { kind: 'record' };

/** The children as they are to be now. Replicas only follow: they are raised for members, and lowered by an act. */
function desiredObjects(facts: Facts) {
  const { view, cluster, spec, set, clusterId, members } = facts;
  const highest = highestMember(facts);
  const founders = set?.founders ?? spec.replicas;
  // More of an earlier cluster's members may be needed than this one began with.
  const begun = earlierHighest(facts) > founders ? Math.max(founders, spec.replicas) : founders;
  const least = clusterId === undefined ? begun : Math.max(1, highest);
  const replicas = Math.max(set?.replicas ?? 0, least);
  const voters = votersOf(facts).length;
  return objectsOf({
    cluster,
    installed: view.installed,
    replicas,
    highest: Math.max(spec.replicas, replicas),
    founders,
    unavailableMax: members === undefined ? undefined : voters - majorityOf(voters),
    claimSize: set?.claimSize ?? spec.storage.size,
  });
}

/** The budget, where there is to be none. Where only the voters are not known it stays. */
function unwantedObjects({ cluster, view }: Facts): readonly UntypedObject[] {
  const budget = view.objects.get(`PodDisruptionBudget/${cluster.metadata.name}`);
  const isOurs = budget !== undefined && controllerUid(budget) === cluster.metadata.uid;
  return isOurs && cluster.spec.disruptionBudget === 'none' ? [budget] : [];
}

function haltOf(
  facts: Facts,
  faults: readonly string[],
  objects: readonly UntypedObject[],
): Halt | undefined {
  const { cluster, view } = facts;
  if (cluster.metadata.deletionTimestamp !== undefined) {
    const why = view.failure === undefined ? '.' : `, which fails: ${view.failure.message}`;
    return { reason: 'Deleting', message: `The cluster is being deleted${why}` };
  }
  if (faults.length > 0) return { reason: 'Invalid', message: `${faults.join('; ')}.` };
  if (cluster.spec.reconciliation === 'paused')
    return { reason: 'Paused', message: 'Set spec.reconciliation to active to go on.' };
  const foreign = objects.find((object) => isForeign(view.objects.get(objectKey(object)), object));
  if (foreign !== undefined) {
    const message = `${foreign.kind} ${foreign.metadata.name} is there and belongs to somebody else: delete it, or give the EtlRouterCluster another name.`;
    return { reason: 'ResourceConflict', message };
  }
  const other = sayOtherCluster(facts);
  return other === undefined ? undefined : { reason: 'OtherCluster', message: other };
}

function isForeign(live: UntypedObject | undefined, wanted: UntypedObject): boolean {
  return live !== undefined && controllerUid(live) !== controllerUid(wanted);
}

/** What comes first. `isCurrent`: pods that are made now are as the spec wants them. */
function decide(facts: Facts, isCurrent: boolean): Step | undefined {
  if (!isCurrent) return undefined;
  const mark = markStep(facts);
  if (mark === undefined) return proceed(facts);
  // A volume that can not be marked holds up nothing that can be done.
  const next = facts.view.failure === undefined ? undefined : proceed(facts);
  return next?.kind === 'act' ? next : mark;
}

/** What comes once all that somebody said of pods is noted. */
function proceed(facts: Facts): Step | undefined {
  const repair = repairStep(facts);
  if (repair !== undefined) return repair;
  if (facts.clusterId === undefined) return founding(facts);
  const hasFailed = facts.view.failure !== undefined;
  const settle = settleStep(facts);
  if (settle?.kind === 'wait') return settle;
  const adopt = adoptStep(facts);
  if (adopt !== undefined && !hasFailed) return adopt;
  if (settle !== undefined) return settle;
  const chore = adopt ?? growStep(facts);
  if (chore === undefined) return moveOn(facts);
  // Many storage classes let no volume grow: one that can not be helped holds up nothing that can be done.
  const next = hasFailed ? moveOn(facts) : undefined;
  return next?.kind === 'act' ? next : chore;
}

/** Brings the members to what the spec says. */
function moveOn(facts: Facts): Step | undefined {
  const rollout = rolloutStep(facts);
  if (rollout?.kind === 'act' || isInRestart(facts)) return rollout;
  return joinStep(facts) ?? rollout ?? waitForLastPod(facts) ?? unfinished(facts);
}

/** Whoever waits for a member that is away may get another one meanwhile, but not in the middle of a restart. */
function isInRestart({ cluster, members }: Facts): boolean {
  const isRollout = cluster.status?.operation?.type === 'rollout';
  return isRollout && members?.some(({ works }) => !works) === true;
}

function founding({ set }: Facts): Step {
  const target = String(set?.founders ?? '');
  const intent: Intent = { type: 'bootstrap', phase: 'founding', target };
  return wait('WaitingForPod', `Waits for all ${target} members to find each other.`, intent);
}

/** Without the members' word an operation is neither over nor goes on. */
function unfinished({ members, cluster }: Facts): Step | undefined {
  const { operation } = cluster.status ?? {};
  if (members !== undefined || operation === undefined) return undefined;
  const intent = { ...operation, target: operation.target ?? '' } as Intent;
  return wait('WaitingForMembers', 'Waits for a member that leads to answer.', intent);
}

function growStep(facts: Facts): Step | undefined {
  const { view, spec, set } = facts;
  const bytes = parseQuantity(spec.storage.size);
  // What an earlier cluster kept and nobody uses stays as it is.
  const highest = Math.max(set?.replicas ?? 0, highestMember(facts));
  const claim = view.claims.find(
    ({ ordinal, size, terminating }) =>
      ordinal <= highest && !terminating && parseQuantity(size) < bytes,
  );
  if (claim === undefined) return undefined;
  const { size } = spec.storage;
  const { name } = claim;
  const intent: Intent = { type: 'rollout', phase: 'claim', target: name };
  return act(intent, { kind: 'growClaim', name, size }, `${name} grows to ${size}.`);
}

function isRecorded({ cluster }: Facts, { type, phase, target }: Intent): boolean {
  const known = cluster.status?.operation;
  return known?.type === type && known.phase === phase && known.target === target;
}

/** Reasons and actions of events, by act. */
const eventWords: { readonly [Kind in Act['kind']]: readonly [reason: string, action: string] } = {
  record: ['Recorded', 'Record'],
  addLearner: ['LearnerAdded', 'AddLearner'],
  promote: ['MemberPromoted', 'Promote'],
  removeMember: ['MemberRemoved', 'RemoveMember'],
  transferLeadership: ['LeadershipTransferred', 'TransferLeadership'],
  deletePod: ['PodRestarted', 'DeletePod'],
  setReplicas: ['Scaled', 'SetReplicas'],
  deleteClaim: ['ClaimDeleted', 'DeleteClaim'],
  adoptClaim: ['ClaimAdopted', 'AdoptClaim'],
  markClaim: ['MemberGivenUp', 'MarkClaim'],
  growClaim: ['ClaimGrown', 'GrowClaim'],
};

function eventsOf(facts: Facts, step: Step & { readonly kind: 'act' }): readonly EventClaim[] {
  const [reason, action] = eventWords[step.act.kind];
  const alone = step.act.kind === 'deletePod' && votersOf(facts).length === 1;
  const note = alone
    ? `${step.message} It is the only voter: nothing can be written meanwhile.`
    : step.message;
  return [{ type: alone ? 'Warning' : 'Normal', reason, action, note }];
}

function pauseOf(outcome: Outcome, made: Act | undefined, isCurrent: boolean): number {
  if (outcome.halt !== undefined) return unwellMs;
  if (made !== undefined || !isCurrent) return made?.kind === 'record' ? 0 : soonMs;
  if (outcome.step !== undefined) return waitMs;
  return isReady(outcome) ? wellMs : unwellMs;
}
