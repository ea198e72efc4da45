// What the operator's acts do to the world, and what they must never do. A refused act throws; a forbidden one is a
// violation, though the real routers would refuse some of those, too.

import type { Act } from '../../src/cluster/step.ts';
import {
  type Claim,
  type Group,
  type GroupMember,
  type Pod,
  Violation,
  type World,
} from './world.ts';

/** The act was not made. */
export class Refused extends Error {}

export function perform(world: World, act: Act): void {
  if (world.pausedSince !== undefined && world.step - world.pausedSince > staleMax)
    throw new Violation(`${act.kind} while paused`);
  switch (act.kind) {
    case 'record':
      throw new Violation('record is no call');
    case 'addLearner':
      return addLearner(leadGroup(world), act);
    case 'promote':
      return promote(world, leadGroup(world), act.raftId);
    case 'removeMember':
      return remove(world, leadGroup(world), act.raftId);
    case 'transferLeadership':
      return transfer(world, leadGroup(world), act.toRaftId);
    case 'deletePod':
      return deletePod(world, act);
    case 'setReplicas':
      return setReplicas(world, act);
    case 'deleteClaim':
      return deleteClaim(world, act);
    case 'adoptClaim':
      return adoptClaim(world, act);
    case 'markClaim':
      return markClaim(world, act);
    case 'growClaim':
      return growClaim(world, act.name, act.size);
  }
}

/** Steps that a cache may be late. */
export const staleMax = 5;

function leadGroup(world: World): Group {
  const { group } = world;
  if (group?.leader === undefined) throw new Refused('nobody leads');
  return group;
}

function votersOf(group: Group): readonly GroupMember[] {
  return group.members.filter(({ role }) => role === 'voter');
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

function addLearner(
  group: Group,
  { name, raftId }: { readonly name: string; readonly raftId: string },
): void {
  const same = group.members.find((member) => member.raftId === raftId || member.name === name);
  if (same?.raftId === raftId) return;
  if (same !== undefined) throw new Refused('name is taken');
  if (group.removed.has(raftId)) throw new Refused('was removed');
  if (group.members.some(({ role }) => role === 'learner'))
    throw new Violation('a second learner was added');
  group.members = [...group.members, { name, raftId, role: 'learner' }];
}

function promote(world: World, group: Group, raftId: string): void {
  const member = group.members.find((each) => each.raftId === raftId);
  if (member === undefined) throw new Refused('is no member');
  if (member.role === 'voter') return;
  const voters = votersOf(group);
  const working = world.working(group, [...voters, member]);
  if (!world.isWorking(member, group)) throw new Violation('a learner that lags was promoted');
  if (working < majority(voters.length + 1)) throw new Violation('a promotion cost the majority');
  const disk = world.pods.get(Number(member.name))?.claim.disk;
  if (disk !== undefined) disk.match = group.commit;
  group.members = group.members.map((each) =>
    each === member ? { ...each, role: 'voter' } : each,
  );
}

function remove(world: World, group: Group, raftId: string): void {
  const member = group.members.find((each) => each.raftId === raftId);
  if (member === undefined) return;
  if (member.role === 'voter') {
    const rest = votersOf(group).filter((each) => each !== member);
    if (group.leader === raftId) throw new Violation('the leader was removed');
    if (world.working(group, rest) < majority(rest.length))
      throw new Violation(`removing ${member.name} left no majority`);
  }
  group.members = group.members.filter((each) => each !== member);
  group.removed.add(raftId);
}

function transfer(world: World, group: Group, raftId: string): void {
  const member = votersOf(group).find((each) => each.raftId === raftId);
  if (member === undefined || !world.isWorking(member, group)) throw new Refused('can not lead');
  const disk = world.pods.get(Number(member.name))?.claim.disk;
  if (disk !== undefined) disk.match = group.commit;
  group.leader = raftId;
  group.term++;
}

/** Pods of which the operator wants an end and that are not gone yet. */
function endingByUs(world: World, but: Pod | undefined): readonly Pod[] {
  return [...world.pods.values()].filter(
    (pod) => pod !== but && pod.isOurs && pod.terminatingUntil !== undefined && !pod.nodeLost,
  );
}

function deletePod(
  world: World,
  act: { name: string; uid: string; resourceVersion: string; force: boolean },
): void {
  const pod = [...world.pods.values()].find(({ ordinal }) => `main-${ordinal}` === act.name);
  if (pod === undefined) return;
  if (pod.uid !== act.uid || String(pod.version) !== act.resourceVersion)
    throw new Refused('the pod is another one by now');
  if (!act.force && pod.terminatingUntil !== undefined)
    throw new Violation('a pod was deleted that ends already');
  if (act.force && !pod.unrecoverable) throw new Violation('a pod was deleted by force unasked');
  if (endingByUs(world, pod).length > 0) throw new Violation('two pods were deleted at a time');
  checkPodCanGo(world, pod);
  world.endPod(pod, { isOurs: true, force: act.force });
}

/** A majority that works is never ended by us, nor a leader that others could take over from. */
function checkPodCanGo(world: World, pod: Pod): void {
  const { group } = world;
  if (group === undefined) return;
  const voters = votersOf(group);
  const voter = voters.find(({ raftId }) => raftId === pod.claim.disk.raftId);
  if (voter === undefined || voters.length === 1 || !world.isWorking(voter, group)) return;
  const working = world.working(group, voters);
  if (working >= majority(voters.length) && working - 1 < majority(voters.length))
    throw new Violation(`deleting pod ${pod.ordinal} cost the majority`);
  // Of a cluster that was founded this very moment nobody knows yet who leads.
  const isKnown = world.cluster.status?.clusterID !== undefined;
  if (isKnown && group.leader === voter.raftId) throw new Violation('the leader was restarted');
  if (pod.claim.terminating) throw new Violation('a volume of a voter was lost with its pod');
}

function setReplicas(
  world: World,
  { from, replicas }: { readonly from: number; readonly replicas: number },
): void {
  const before = world.replicas;
  if (before !== from) throw new Refused('the replicas are others by now');
  world.scaleSet(replicas);
  if (replicas >= before) return;
  if (replicas < before - 1) throw new Violation('two pods were taken away at a time');
  const pod = world.pods.get(before);
  if (endingByUs(world, pod).length > 0) throw new Violation('two pods were ended at a time');
  if (world.group?.members.some(({ name }) => Number(name) > replicas) === true)
    throw new Violation('the pod of a member was scaled away');
  if (pod !== undefined) world.endPod(pod, { isOurs: true, force: false });
}

interface ClaimRef {
  readonly name: string;
  readonly uid: string;
}

function claimAt(world: World, { name, uid }: ClaimRef): Claim | undefined {
  const claim = [...world.claims.values()].find(({ ordinal }) => `data-main-${ordinal}` === name);
  if (claim !== undefined && claim.uid !== uid)
    throw new Refused('the claim is another one by now');
  return claim;
}

function adoptClaim(world: World, ref: ClaimRef): void {
  const claim = claimAt(world, ref);
  if (claim !== undefined) claim.owner = world.cluster.metadata.uid;
}

function deleteClaim(world: World, ref: ClaimRef): void {
  const claim = claimAt(world, ref);
  if (claim === undefined) return;
  if (claim.owner !== world.cluster.metadata.uid && !claim.isUnrecoverable)
    throw new Violation('a volume was deleted that an earlier cluster kept');
  const { raftId } = claim.disk;
  const isDeleted = world.cluster.metadata.deletionTimestamp !== undefined;
  if (!isDeleted && world.group?.members.some((member) => member.raftId === raftId) === true)
    throw new Violation('the volume of a member was deleted');
  claim.terminating = true;
}

function markClaim(world: World, ref: ClaimRef): void {
  const claim = claimAt(world, ref);
  if (claim === undefined) throw new Refused('the claim is gone');
  if (!claim.isUnrecoverable) throw new Violation('a volume was given up unasked');
  claim.givenUpBy = world.cluster.metadata.uid;
}

function growClaim(world: World, name: string, size: string): void {
  if (world.refusesGrowth) throw new Refused('the storage class does not let volumes grow');
  const claim = [...world.claims.values()].find(({ ordinal }) => `data-main-${ordinal}` === name);
  if (claim !== undefined) claim.size = size;
}
