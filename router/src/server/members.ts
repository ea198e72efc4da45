// The members of the cluster as an operator sees and changes them. Consensus decides whether a change is one; here is
// refused what would be one and still cost the cluster its majority. What was done already is done again without effect.

import { EtlError, toEtlError } from '@etl-router/core';
import { parseAdvertised } from '../config/parse.ts';
import { isJoint, isVoter } from '../raft/configuration.ts';
import type { MembershipStep } from '../raft/membership.ts';
import type { ApiAddresses, Peer } from '../raft/transport.ts';
import type { ServerConsensus } from './cluster.ts';
import { checkLeads } from './leader-hint.ts';

/** A member as the one that is asked knows it. */
export interface MemberStatus extends Peer, ApiAddresses {
  readonly role: 'leader' | 'voter' | 'learner';
  /** The leader heard from it lately; undefined: only the leader knows. */
  readonly healthy: boolean | undefined;
  /** The last entry that it is known to hold; undefined: only the leader knows. */
  readonly matchIndex: number | undefined;
}

export interface ChangeOptions {
  /** Stops waiting; a change that is in the log by then takes effect all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface MembersOptions {
  readonly consensus: ServerConsensus;
  /** Whether this member talks to others at all; one that does not stays alone. */
  readonly isNetworked: boolean;
}

/** Entries that a member may lack and still be said to keep up. */
const lagMaxEntries = 1000;

/** Every change is refused with ETL_NOT_LEADER where this member does not lead. */
export class Members {
  readonly #consensus: ServerConsensus;
  readonly #isNetworked: boolean;

  constructor({ consensus, isNetworked }: MembersOptions) {
    this.#consensus = consensus;
    this.#isNetworked = isNetworked;
  }

  /** All members, by name. */
  list(): readonly MemberStatus[] {
    const { membership, progress } = this.#consensus;
    const { nodeId, role, leaderId, lastIndex, contacts } = this.#consensus.status();
    const known = new Map(progress.map((each) => [each.id, each]));
    return membership.members
      .map((member): MemberStatus => {
        const { match, isActive } = known.get(member.id) ?? {};
        const isSelf = member.id === nodeId;
        const votes = isVoter(membership.configuration, member.id) ? 'voter' : 'learner';
        return {
          ...member,
          ...contacts.find(({ id }) => id === member.id),
          role: member.id === leaderId ? 'leader' : votes,
          healthy: isSelf ? leaderId !== undefined : role === 'leader' ? isActive : undefined,
          matchIndex: isSelf ? lastIndex : match,
        };
      })
      .toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  }

  /** The member's name; undefined: there is none of that id. */
  nameOf(id: number | undefined): string | undefined {
    return this.#consensus.membership.members.find((member) => member.id === id)?.name;
  }

  /** The member for people; one that is not known by its id alone. */
  shown(id: number): string {
    const name = this.nameOf(id);
    return name === undefined ? `member with id ${id}` : shown({ name, id });
  }

  /**
   * `degraded`: there is a leader, and a member is away or behind. `unhealthy`: no leader is known. `unknown`: there is
   * one, and only it knows more.
   */
  health(): 'healthy' | 'degraded' | 'unhealthy' | 'unknown' {
    const { role, leaderId } = this.#consensus.status();
    if (leaderId === undefined) return 'unhealthy';
    if (role !== 'leader') return 'unknown';
    const isWell = (member: MemberStatus): boolean =>
      member.healthy === true && !this.#lags(member);
    return this.list().every(isWell) ? 'healthy' : 'degraded';
  }

  /**
   * Adds a member that receives the log and does not vote. No-op where it belongs to the cluster already; one that gives
   * another address has moved there, and keeps its role. Throws ETL_CONFLICT where its id, name or address is another's,
   * ETL_INVALID_ARGUMENT where no member can have that name, or be reached at that address.
   */
  async addLearner(peer: Peer, options: ChangeOptions = {}): Promise<readonly MemberStatus[]> {
    this.#checkLeads();
    checkPeer(peer);
    const known = this.list().find(({ id, name }) => id === peer.id && name === peer.name);
    if (known?.address === peer.address) return this.list();
    this.#checkIsNew(peer);
    if (known !== undefined) {
      const step = known.role === 'learner' ? 'addLearner' : 'addVoter';
      return this.#change([{ step, ...peer }], options);
    }
    if (!this.#isNetworked) {
      throw new EtlError(
        'ETL_UNSUPPORTED',
        `member ${peer.name} can not be added: this router was started alone and talks to no other member; start it with --peers, then add it`,
      );
    }
    return this.#change([{ step: 'addLearner', ...peer }], options);
  }

  /**
   * Lets a learner vote; with `replaces` a voter is removed in the same step, so that no majority is smaller in
   * between. No-op where that is so already. Throws ETL_UNSAFE while the learner lags or is not heard of.
   */
  async promote(
    raftId: number,
    { replaces, ...options }: ChangeOptions & { readonly replaces?: number | undefined } = {},
  ): Promise<readonly MemberStatus[]> {
    this.#checkLeads();
    const member = this.#member(raftId);
    if (replaces === raftId)
      throw invalid(member, 'can not replace itself; name the voter it takes the place of');
    const isGone = replaces === undefined || this.#wasRemoved(replaces);
    if (member.role !== 'learner') {
      if (isGone) return this.list();
      throw invalid(member, 'votes already; remove the other one, it replaces nobody');
    }
    this.#checkKeepsUp(member);
    const { id, name, address } = member;
    const promotion: MembershipStep = { step: 'addVoter', id, name, address };
    if (isGone) return this.#change([promotion], options);
    const replaced = this.#member(replaces);
    if (replaced.role === 'learner')
      throw invalid(replaced, `is a learner, which nobody replaces; promote ${name} without it`);
    return this.#change([promotion, removalOf(replaced)], options);
  }

  /**
   * Removes a member; its id never comes back. No-op where it was removed. Throws ETL_UNSAFE for the last voter, and
   * unless forced where fewer voters would be healthy than a majority needs.
   */
  async remove(
    raftId: number,
    { force, ...options }: ChangeOptions & { readonly force?: boolean | undefined } = {},
  ): Promise<readonly MemberStatus[]> {
    this.#checkLeads();
    if (this.#wasRemoved(raftId)) return this.list();
    const member = this.#member(raftId);
    if (member.role !== 'learner') this.#checkLeavesMajority(member, force === true);
    return this.#change([removalOf(member)], options);
  }

  /** Hands leadership to a voter, or to the one that is furthest, and resolves with the name of who leads then. */
  async transfer(to?: number, { signal }: ChangeOptions = {}): Promise<string> {
    this.#checkLeads();
    const target = to === undefined ? this.#furthest() : this.#member(to);
    if (target.role === 'leader') return target.name;
    if (target.role === 'learner')
      throw unsafe(target, 'is a learner and can not lead; promote it first');
    if (target.healthy !== true)
      throw unsafe(target, 'is not heard of and could not take over; see that it runs');
    await naming(target, this.#consensus.transferTo(target.id, signal));
    // A read needs a leader that is confirmed, whoever it is.
    await this.#consensus.readIndex({ signal });
    return this.nameOf(this.#consensus.status().leaderId) ?? target.name;
  }

  async #change(
    steps: readonly [MembershipStep, ...MembershipStep[]],
    { signal }: ChangeOptions,
  ): Promise<readonly MemberStatus[]> {
    const [first] = steps;
    if (isJoint(this.#consensus.membership.configuration)) {
      throw new EtlError(
        'ETL_CONFLICT',
        `${shown(first)}: another change of members is under way; try again in a moment`,
        { retryable: true },
      );
    }
    await naming(first, this.#consensus.changeMembers({ steps, autoLeave: true }, { signal }));
    return this.list();
  }

  #checkLeads(): void {
    checkLeads(this.#consensus, 'change the members');
  }

  #lags({ matchIndex = 0 }: MemberStatus): boolean {
    return matchIndex < this.#consensus.status().commitIndex - lagMaxEntries;
  }

  /** No other member has any of it. */
  #checkIsNew(peer: Peer): void {
    const isSelf = ({ id, name }: Peer): boolean => id === peer.id && name === peer.name;
    for (const other of this.list().filter((each) => !isSelf(each))) {
      const { id, name, address } = other;
      const same =
        (id === peer.id && 'id') ||
        (name === peer.name && 'name') ||
        (address === peer.address && 'address');
      if (same === false) continue;
      throw new EtlError(
        'ETL_CONFLICT',
        `${shown(other)} at ${address} has that ${same} already; give ${peer.name} one of its own, or remove member ${name} first`,
        { details: { member: name, raftId: id } },
      );
    }
  }

  #checkKeepsUp(member: MemberStatus): void {
    if (member.healthy !== true)
      throw unsafe(member, 'is not heard of; see that it runs and that its address is right');
    if (!this.#lags(member)) return;
    const { commitIndex } = this.#consensus.status();
    throw unsafe(
      member,
      `holds entry ${member.matchIndex} of ${commitIndex}; promote it when it lacks at most ${lagMaxEntries}`,
    );
  }

  #checkLeavesMajority(member: MemberStatus, force: boolean): void {
    const left = this.list().filter(({ id, role }) => role !== 'learner' && id !== member.id);
    if (left.length === 0)
      throw unsafe(member, 'is the last voter, without which there is no cluster; promote another');
    const away = left.filter(({ healthy }) => healthy !== true);
    const needed = majorityOf(left.length);
    if (force || left.length - away.length >= needed) return;
    throw unsafe(
      member,
      `can not go: ${left.length} voters would be left, ${needed} must be healthy, and ${listOf(away)} ${away.length === 1 ? 'is' : 'are'} not; bring back or remove first who is not, or use force`,
    );
  }

  #furthest(): MemberStatus {
    const [target] = this.list()
      .filter(({ role, healthy }) => role === 'voter' && healthy === true)
      .toSorted((a, b) => (b.matchIndex ?? 0) - (a.matchIndex ?? 0));
    if (target !== undefined) return target;
    const { nodeId } = this.#consensus.status();
    throw new EtlError(
      'ETL_UNSAFE',
      `member ${this.nameOf(nodeId) ?? nodeId} has no other voter that is healthy to hand leadership to; add and promote one, or bring one back`,
    );
  }

  #member(id: number): MemberStatus {
    const all = this.list();
    const member = all.find((each) => each.id === id);
    if (member !== undefined) return member;
    const state = this.#wasRemoved(id) ? 'was removed' : 'does not belong to the cluster';
    throw new EtlError('ETL_NOT_FOUND', `member with id ${id} ${state}; there are ${listOf(all)}`, {
      details: { raftId: id },
    });
  }

  #wasRemoved(id: number): boolean {
    return this.#consensus.membership.removed.includes(id);
  }
}

/** Voters that must agree, of so many. */
function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** What consensus refuses names ids or none: whoever asked knows members by name. */
async function naming<Result>(member: Peer, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (cause) {
    const { code, message, retryable, details } = toEtlError(cause);
    throw new EtlError(code, `${shown(member)}: ${message}`, { retryable, details, cause });
  }
}

function removalOf({ id, name, address }: Peer): MembershipStep {
  return { step: 'remove', id, name, address };
}

function shown({ name, id }: Pick<Peer, 'name' | 'id'>): string {
  return `member ${name} (id ${id})`;
}

function listOf(members: readonly Peer[]): string {
  return members.map(shown).join(', ');
}

/** Nobody would ever answer there under that name, and the mistake would stay in the log. */
function checkPeer({ name, address }: Peer): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `name: ${JSON.stringify(name.slice(0, 64))} is no name of a member, which is the number it was started with (--node-id)`,
    );
  }
  const parsed = parseAdvertised(address);
  if ('fault' in parsed) {
    const { fault } = parsed;
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `address: ${JSON.stringify(address.slice(0, 255))} is not where member ${name} is reached; ${fault}`,
    );
  }
}

function invalid(member: Peer, why: string): EtlError {
  const { name, id: raftId } = member;
  return new EtlError('ETL_INVALID_ARGUMENT', `${shown(member)} ${why}`, {
    details: { member: name, raftId },
  });
}

function unsafe(member: Peer, why: string): EtlError {
  const { name, id: raftId } = member;
  return new EtlError('ETL_UNSAFE', `${shown(member)} ${why}`, {
    details: { member: name, raftId },
  });
}
