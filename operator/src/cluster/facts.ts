// What follows from a view: who leads, who belongs to the cluster, which of them works. Whatever is not known for sure is
// taken for the worse by those who would disturb something, which is why most answers here are undefined or false then.

import type { EtlRouterCluster, EtlRouterClusterSpec } from '@etl-router/crds';
import { membersMax, podName } from './names.ts';
import {
  type ClaimView,
  type ClusterView,
  type MemberWord,
  type PodView,
  type SeenMember,
  type StatefulSetView,
  toStatefulSetView,
} from './view.ts';

/** A word older than this is none. */
const wordMaxAgeMs = 10_000;

/** Entries that a member may lack and still be said to have caught up, as the routers count. */
export const lagMaxEntries = 1000;

/** A member of the cluster, by the word of the leader. */
export interface Member extends Pick<SeenMember, 'raftId' | 'role'> {
  readonly ordinal: number;
  readonly leads: boolean;
  /** The leader hears from it, and it lacks little. */
  readonly keepsUp: boolean;
  readonly pod: PodView | undefined;
  readonly word: MemberWord | undefined;
  /** Its pod is there and ready, it says so itself, and it keeps up. */
  readonly works: boolean;
  /** Its pod has the disk of somebody else: the member is never seen again. */
  readonly isGone: boolean;
}

export interface Facts {
  readonly view: ClusterView;
  readonly cluster: EtlRouterCluster;
  readonly spec: EtlRouterClusterSpec;
  readonly set: StatefulSetView | undefined;
  /** Words that count. */
  readonly words: readonly MemberWord[];
  /** The word of who leads; undefined: nobody does, or it can not be told who. */
  readonly leader: MemberWord | undefined;
  /** By ordinal, and of one ordinal by id; undefined without a leader. */
  readonly members: readonly Member[] | undefined;
  readonly clusterId: string | undefined;
}

export function readFacts(view: ClusterView): Facts {
  const { cluster } = view;
  const object = view.objects.get(`StatefulSet/${cluster.metadata.name}`);
  const words = view.words.filter(({ ageMs }) => ageMs <= wordMaxAgeMs);
  const clusterId = cluster.status?.clusterID;
  const leader = leaderOf(words, clusterId);
  return {
    view,
    cluster,
    spec: cluster.spec,
    set: object === undefined ? undefined : toStatefulSetView(object),
    words,
    leader,
    members: leader?.members
      .map((seen) => toMember(seen, leader, view.pods, words))
      .toSorted(inOrder),
    clusterId,
  };
}

/** Who says that it leads, unless somebody knows of a later term: a leader that was replaced learns it last. */
function leaderOf(
  words: readonly MemberWord[],
  clusterId: string | undefined,
): MemberWord | undefined {
  const ours = words.filter((word) => clusterId === undefined || word.clusterId === clusterId);
  const term = Math.max(...ours.map((word) => word.term));
  const leaders = ours.filter((word) => word.role === 'leader' && word.term === term);
  return leaders.length === 1 ? leaders[0] : undefined;
}

/** Of members that somebody else added under names that no pod has: nobody is to be there. */
const strangerOrdinal = 2 ** 32;

function toMember(
  seen: SeenMember,
  leader: MemberWord,
  pods: readonly PodView[],
  words: readonly MemberWord[],
): Member {
  const ordinal = ordinalOfMember(seen.name);
  const pod = pods.find((each) => each.ordinal === ordinal);
  const said = words.find((each) => each.ordinal === ordinal);
  const word = said?.raftId === seen.raftId ? said : undefined;
  const leads = seen.raftId === leader.raftId;
  const keepsUp = leads || (seen.healthy === true && lacksLittle(seen.matchIndex ?? 0, leader));
  const isPodWell = pod?.ready === true && !pod.terminating;
  return {
    raftId: seen.raftId,
    role: seen.role,
    ordinal,
    leads,
    keepsUp,
    pod,
    word,
    works: isPodWell && keepsUp && word !== undefined && lacksLittle(word.appliedIndex, leader),
    isGone: said !== undefined && word === undefined && said.role === 'waiting',
  };
}

function ordinalOfMember(name: string): number {
  return /^[1-9]\d{0,9}$/.test(name) ? Number(name) : strangerOrdinal;
}

function lacksLittle(index: number, leader: MemberWord): boolean {
  return index >= leader.commitIndex - lagMaxEntries;
}

function inOrder(a: Member, b: Member): number {
  return a.ordinal - b.ordinal || (a.raftId < b.raftId ? -1 : 1);
}

export function votersOf(facts: Facts): readonly Member[] {
  return facts.members?.filter(({ role }) => role === 'voter') ?? [];
}

export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** Whether the voters but for `without` still are a majority that works; `of` is how many there are to be then. */
export function staysQuorate(facts: Facts, without: Member | undefined, of: number): boolean {
  const rest = votersOf(facts).filter(({ raftId }) => raftId !== without?.raftId);
  return rest.filter(({ works }) => works).length >= majorityOf(of);
}

export function podOf({ view }: Facts, ordinal: number): PodView | undefined {
  return view.pods.find((pod) => pod.ordinal === ordinal);
}

/** Where it stands what somebody has to say of a node that does not come back. */
export const nodesGuide = 'see docs/guides/operating-a-cluster.md, "Nodes"';

/** Of a pod that should have ended by now. */
export function sayNodeGone({ name }: PodView): string {
  return `Pod ${name} should have ended by now: its node does not answer, or something holds the pod (kubectl describe pod). If the node comes back, nothing is to be done; only if node and disk never do, annotate the pod etl.router/unrecoverable=true, ${nodesGuide}.`;
}

/** Which members hold another cluster than ours; undefined: nobody does. */
export function sayOtherCluster(facts: Facts): string | undefined {
  const { words, clusterId } = facts;
  const others = words.filter((word) => word.clusterId !== '' && word.clusterId !== clusterId);
  if (clusterId === undefined || others.length === 0) return undefined;
  const said = others.map(({ ordinal, clusterId: id }) => `${nameOf(facts, ordinal)} holds ${id}`);
  return `The cluster is ${clusterId}, but ${said.join(', ')}: nothing is touched until their volumes are sorted out, see docs/guides/operating-a-cluster.md, "When a volume is of another cluster".`;
}

export function claimOf({ view }: Facts, ordinal: number): ClaimView | undefined {
  return view.claims.find((claim) => claim.ordinal === ordinal);
}

/** Whether the volume is the cluster's; of one that an earlier cluster kept nobody said that this one may delete it. */
export function isClaimOf(cluster: EtlRouterCluster, { owner }: Pick<ClaimView, 'owner'>): boolean {
  return owner === cluster.metadata.uid;
}

/** Whether it is noted on the volume that it does not come back. */
export function isMarked(
  cluster: EtlRouterCluster,
  { givenUpBy }: Pick<ClaimView, 'givenUpBy'>,
): boolean {
  return givenUpBy === cluster.metadata.uid;
}

/** Whether somebody said that pod and volume do not come back; the pod that bore it may be gone by now. */
export function isGivenUp(facts: Facts, ordinal: number): boolean {
  const claim = claimOf(facts, ordinal);
  const isNoted = claim !== undefined && isMarked(facts.cluster, claim);
  return isNoted || podOf(facts, ordinal)?.unrecoverable === true;
}

export function wordOf({ words }: Facts, ordinal: number): MemberWord | undefined {
  return words.find((word) => word.ordinal === ordinal);
}

export function memberOf({ members }: Facts, ordinal: number): Member | undefined {
  return members?.find((member) => member.ordinal === ordinal);
}

export function nameOf({ cluster }: Facts, ordinal: number): string {
  return podName(cluster.metadata.name, ordinal);
}

/** Highest ordinal of a member that has a pod: by the leader's word, else as the status has it. */
export function highestMember({ members, cluster }: Facts): number {
  const ordinals =
    members?.map(({ ordinal }) => ordinal) ??
    cluster.status?.members?.map(({ ordinal }) => ordinal ?? 0);
  return Math.max(0, ...(ordinals ?? []).filter((ordinal) => ordinal <= membersMax));
}

/**
 * Whether a majority says that nobody of this ordinal belongs to the cluster. What the leader alone says may still be
 * undone; what a majority knows was decided.
 */
export function isKnownToBeNone(facts: Facts, ordinal: number): boolean {
  const voters = votersOf(facts);
  if (facts.leader === undefined || voters.length === 0) return false;
  const agree = voters.filter(
    ({ word }) => word?.members.every(({ name }) => name !== String(ordinal)) === true,
  );
  return agree.length >= majorityOf(voters.length);
}

/** A voter of the cluster that volumes hold. */
export interface EarlierVoter {
  readonly raftId: string;
  readonly ordinal: number;
}

/**
 * Voters of the cluster that the volumes hold, as far as members tell of it, while nobody leads it: volumes that an earlier
 * EtlRouterCluster of the name kept. Empty: they tell of none.
 */
export function earlierVoters({ clusterId, words }: Facts): readonly EarlierVoter[] {
  if (clusterId !== undefined) return [];
  const told = words
    .filter((word) => word.clusterId !== '')
    .map(({ members }) => members.filter(({ role }) => role === 'voter'));
  const [most] = told.toSorted((a, b) => b.length - a.length);
  return (most ?? []).map(({ raftId, name }) => ({ raftId, ordinal: ordinalOfMember(name) }));
}

/** Highest ordinal of those that had a pod; 0: there are none. */
export function earlierHighest(facts: Facts): number {
  const ordinals = earlierVoters(facts).map(({ ordinal }) => ordinal);
  return Math.max(0, ...ordinals.filter((ordinal) => ordinal <= membersMax));
}

/** Whether the pod is not what the spec wants, as far as pods are started anew for it. */
export function isOutdated({ set }: Facts, pod: PodView): boolean {
  return set?.revision !== undefined && pod.revision !== set.revision;
}
