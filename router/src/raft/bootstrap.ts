// How a cluster begins. Exactly one member founds it, and only after every member that was named has said that it holds
// nothing and was started with the same list; whoever finds a cluster waits to be added to it. Pure: what was answered
// in, what to do out.

import { isNobody } from '../config/parse.ts';

/** What a member says of itself. */
export interface BootstrapMember {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  /** Empty while it belongs to none. */
  readonly clusterId: string;
  /** It holds log entries or a configuration. */
  readonly initialised: boolean;
  /** Names of all members it was started with, its own too, sorted. */
  readonly peers: readonly string[];
}

/** One of the addresses it was started with. */
export interface BootstrapPeer {
  readonly address: string;
  /** Where it was given. */
  readonly name: string | undefined;
  /** Undefined: it did not answer. */
  readonly answer: BootstrapMember | undefined;
  /** What an operator can do about it, where it did not. */
  readonly why?: string;
}

/** A member that takes part in founding. */
export type Founder = Pick<BootstrapMember, 'id' | 'name' | 'address'>;

/**
 * `found`: nobody holds anything, and the member `proposer` proposes the first configuration. `join`: there is a
 * cluster. `wait`: ask again; `why` is for people.
 */
export type BootstrapDecision =
  | { readonly kind: 'found'; readonly proposer: string; readonly members: readonly Founder[] }
  | { readonly kind: 'join'; readonly clusterId: string }
  | { readonly kind: 'wait'; readonly why: string };

export function decideBootstrap(
  self: BootstrapMember,
  peers: readonly BootstrapPeer[],
): BootstrapDecision {
  const answers = peers.flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
  const all = [self, ...answers];
  const clusters = new Set(all.flatMap((one) => (one.initialised ? [one.clusterId] : [])));
  if (clusters.size > 1) {
    return wait(`the peers belong to different clusters: ${[...clusters].toSorted().join(', ')}`);
  }
  const [clusterId] = clusters;
  if (clusterId !== undefined) return { kind: 'join', clusterId };
  const why = reasonToJoin(self, peers, all) ?? trouble(self, peers, all) ?? otherLists(all);
  if (why !== undefined) return wait(why);
  const members = all
    .map(({ id, name, address }) => ({ id, name, address }))
    .toSorted((a, b) => compareNames(a.name, b.name));
  return { kind: 'found', proposer: (members[0] as Founder).name, members };
}

/** For a member that belongs to a cluster: which of the peers it was given are none. What is stored counts. */
export function strayPeers(
  given: readonly Pick<BootstrapPeer, 'address'>[],
  members: readonly Founder[],
): string | undefined {
  const strays = given.filter(
    ({ address }) => !isNobody(address) && !members.some((each) => each.address === address),
  );
  if (members.length === 0 || strays.length === 0) return undefined;
  const known = members.map(({ name, address }) => `${name} at ${address}`).join(', ');
  return `--peers names ${strays.map(({ address }) => address).join(', ')}, where no member of the cluster is; what is stored counts: ${known}. Add who is missing, or correct --peers`;
}

/** Orders names: numbers by their value, before all other names. The same on every member. */
export function compareNames(a: string, b: string): number {
  const [first, second] = [numberOf(a), numberOf(b)];
  if (first !== second) return first < second ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}

function numberOf(name: string): number {
  return /^\d{1,15}$/.test(name) ? Number(name) : Number.POSITIVE_INFINITY;
}

/** One of the peers is nobody: there is a cluster to join, and no second one is to be founded. */
function reasonToJoin(
  self: BootstrapMember,
  peers: readonly BootstrapPeer[],
  all: readonly BootstrapMember[],
): string | undefined {
  const nobody = peers.find(({ address }) => isNobody(address));
  if (nobody === undefined) return undefined;
  const others = peers.filter(({ address }) => !isNobody(address));
  const why = trouble(self, others, all);
  const more = why === undefined ? '' : `: ${why}`;
  return `this member is to join a cluster, as ${nobody.address} among its peers says, and none that answers belongs to one${more}`;
}

/** What is wrong with one of those that are asked, or with two of them. */
function trouble(
  self: BootstrapMember,
  peers: readonly BootstrapPeer[],
  all: readonly BootstrapMember[],
): string | undefined {
  for (const { address, name, answer, why } of peers) {
    if (answer === undefined)
      return `${name ?? 'the peer'} at ${address} does not answer${why === undefined ? '' : `: ${why}`}`;
    if (name !== undefined && answer.name !== name) {
      return `${address} is member ${answer.name}, not member ${name}; check the peers`;
    }
    if (answer.clusterId !== '' && answer.clusterId !== self.clusterId) {
      return `member ${answer.name} waits for cluster ${answer.clusterId}, which does not answer`;
    }
  }
  for (const [at, one] of all.entries()) {
    const twin = all.slice(0, at).find(({ id, name }) => id === one.id || name === one.name);
    if (twin === undefined) continue;
    return `members at ${twin.address} and ${one.address} are both ${one.name === twin.name ? `named ${one.name}` : `of id ${one.id}`}; each needs a --node-id of its own, and no address is given twice`;
  }
  return undefined;
}

/** Somebody was started with other peers than those that there are. */
function otherLists(all: readonly BootstrapMember[]): string | undefined {
  const names = listOf(all.map(({ name }) => name));
  const other = all.find((one) => listOf(one.peers) !== names);
  if (other === undefined) return undefined;
  return `member ${other.name} was started with ${listOf(other.peers)}, there are ${names}; all need the same members`;
}

function listOf(names: readonly string[]): string {
  return names.toSorted(compareNames).join(', ');
}

function wait(why: string): BootstrapDecision {
  return { kind: 'wait', why };
}
