// The core of Raft (Ongaro, "Consensus: Bridging Theory and Practice", 2014; below "thesis"): ticks, messages and
// proposals in, effects out by ready(). Synchronous and pure: it reads the log and asks for random numbers, nothing
// else. Roles are in follower.ts, candidate.ts and leader.ts; docs/specs/0007-raft.md says what a driver owes.

import { assert, EtlError } from '@etl-router/core';
import { answerVote, campaign, stepAsCandidate } from './candidate.ts';
import {
  type Configuration,
  type ConfigurationChange,
  changeConfiguration,
  isJoint,
  isVoter,
} from './configuration.ts';
import { CoreState, type RaftOptions, type Ready, type Role } from './core-state.ts';
import { stepAsFollower } from './follower.ts';
import {
  advanceCommit,
  announceReads,
  appendOwn,
  askRead,
  broadcastAppend,
  broadcastHeartbeat,
  checkQuorum,
  grantReads,
  owesCommit,
  sendEntries,
  stepAsLeader,
  tellCommit,
  transferTo,
} from './leader.ts';
import type { Message, MessageOf } from './messages.ts';
import type { ProgressState } from './progress.ts';

/** Where a proposal stands in the log, if it gets committed. */
export interface Proposal {
  readonly index: number;
  readonly term: number;
}

/** What the leader knows of a member. */
export interface MemberProgress {
  readonly id: number;
  readonly match: number;
  readonly state: ProgressState;
  /** It was heard of within the last two counts of a quorum: the present one has only begun. */
  readonly isActive: boolean;
}

export interface RaftStatus {
  readonly id: number;
  readonly role: Role;
  readonly term: number;
  readonly vote: number;
  /** 0: none is known. */
  readonly leader: number;
  readonly commitIndex: number;
  readonly applied: number;
  readonly lastIndex: number;
  readonly configuration: Configuration;
  /** 0: leadership is not being handed over. */
  readonly transferee: number;
  /** Of a leader; empty otherwise. */
  readonly progress: readonly MemberProgress[];
}

const noData: Uint8Array = new Uint8Array(0);

export class Raft {
  readonly #state: CoreState;

  constructor(options: RaftOptions) {
    this.#state = new CoreState(options);
  }

  /** Time passes by one unit of the driver's choice. */
  tick(): void {
    const state = this.#state;
    state.electionElapsed++;
    if (state.role !== 'leader') {
      if (!state.isVoter || state.electionElapsed < state.electionTimeout) return;
      state.electionElapsed = 0;
      return campaign(state, false);
    }
    if (state.electionElapsed >= state.electionTicks) {
      state.electionElapsed = 0;
      // A transfer that took longer than an election is given up, so that proposals go on.
      state.transferee = 0;
      this.#leaveJointWhenDue();
      checkQuorum(state);
    }
    // Counting may have ended its leadership.
    if (this.role !== 'leader' || ++state.heartbeatElapsed < state.heartbeatTicks) return;
    state.heartbeatElapsed = 0;
    broadcastHeartbeat(state);
  }

  /** Takes a message of another member, or a promise to itself that is durable now. */
  step(message: Message): void {
    const state = this.#state;
    assert(message.to === state.id, 'a message reaches whom it is for');
    if (message.term > state.term) {
      if (!this.#meetHigherTerm(message)) return;
    } else if (message.term < state.term) return this.#answerLowerTerm(message);
    switch (message.type) {
      case 'requestVote':
        return answerVote(state, message);
      case 'requestVoteReply':
        if (state.role === 'candidate' || state.role === 'preCandidate')
          stepAsCandidate(state, message);
        return;
      case 'appendEntries':
      case 'heartbeat':
      case 'installSnapshot':
        return this.#follow(message);
      case 'appendEntriesReply':
      case 'heartbeatReply':
        if (state.role === 'leader') stepAsLeader(state, message);
        return;
      case 'readIndex':
        if (state.role === 'leader') stepAsLeader(state, message);
        else state.refuseRead(message.from, message.context);
        return;
      case 'readIndexReply':
        // A refusal only makes the asker ask again; a grant is believed of nobody but the leader.
        if (message.index === 0 || message.from === state.leader)
          state.grantRead(state.id, message.context, message.index);
        return;
      case 'timeoutNow':
        if (state.role === 'follower' && message.from === state.leader) campaign(state, true);
        return;
    }
  }

  /** Adds commands to the log. Throws ETL_NOT_LEADER, ETL_UNAVAILABLE or ETL_LIMIT_EXCEEDED; then nothing was added. */
  propose(commands: readonly Uint8Array[]): Proposal {
    const state = this.#state;
    this.checkProposing();
    const bytes = commands.reduce((sum, { length }) => sum + length, 0);
    if (state.uncommittedBytes > 0 && state.uncommittedBytes + bytes > state.maxUncommittedBytes) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `${state.uncommittedBytes} bytes are proposed and not committed, at most ${state.maxUncommittedBytes} may be; try again`,
        { retryable: true },
      );
    }
    const index = appendOwn(
      state,
      commands.map((data) => ({ type: 'normal', data })),
    );
    broadcastAppend(state);
    return { index: index - commands.length + 1, term: state.term };
  }

  /**
   * Proposes a change of members; `data` is its encoded form. Throws as propose() does, ETL_INVALID_ARGUMENT where the
   * change makes no sense, and ETL_CONFLICT while another is under way.
   */
  proposeConfiguration(change: ConfigurationChange, data: Uint8Array): Proposal {
    const state = this.#state;
    this.checkProposing();
    changeConfiguration(state.configuration, change);
    if (state.pendingConfiguration > state.applied) {
      throw new EtlError(
        'ETL_CONFLICT',
        'members: another change may be under way; try again when it is applied',
        { retryable: true },
      );
    }
    const index = appendOwn(state, [{ type: 'configuration', data }]);
    state.pendingConfiguration = index;
    broadcastAppend(state);
    return { index, term: state.term };
  }

  /** Asks for a linearizable read; ready() grants or refuses it under its context. Throws as propose() does. */
  readIndex(context: number): void {
    const state = this.#state;
    if (state.role === 'leader') return askRead(state, state.id, context);
    if (state.leader === 0) throw noLeader();
    state.send(state.leader, { type: 'readIndex', context });
  }

  /** Whether a commit is told later and someone still has to hear of it; see {@link tellCommit}. */
  get owesCommit(): boolean {
    return this.role === 'leader' && owesCommit(this.#state);
  }

  /** Tells now what was to be told later. */
  tellCommit(): void {
    if (this.role === 'leader') tellCommit(this.#state);
  }

  /** Hands leadership to a voter. Throws ETL_NOT_LEADER, ETL_INVALID_ARGUMENT. */
  transferTo(to: number): void {
    if (this.role !== 'leader') throw this.#notLeader();
    transferTo(this.#state, to);
  }

  /** Campaigns now; for tests and for the first leader of a cluster. */
  campaign(): void {
    campaign(this.#state, false);
  }

  /** A follower that knows its leader to be gone may vote at once. */
  forgetLeader(): void {
    if (this.role === 'follower') this.#state.leader = 0;
  }

  /** Entries up to `index` are applied. A leader then leaves a joint configuration that asks for it. */
  appliedTo(index: number): void {
    const state = this.#state;
    assert(index <= state.commit, 'only what is committed is applied');
    // A snapshot that came meanwhile may have gone further.
    if (index <= state.applied) return;
    state.applied = index;
    this.#leaveJointWhenDue();
  }

  /**
   * A committed change of members is being applied. One that does not fit the configuration as it is now changes
   * nothing, on every member alike. Returns the configuration from here on.
   */
  applyConfiguration(change: ConfigurationChange): Configuration {
    const state = this.#state;
    try {
      state.configuration = changeConfiguration(state.configuration, change);
    } catch (error) {
      if (error instanceof EtlError) return state.configuration;
      throw error;
    }
    if (state.role === 'leader') this.#leadNewMembers();
    return state.configuration;
  }

  /** A message to a member was lost for certain. */
  reportUnreachable(id: number): void {
    const progress = this.#state.progress.get(id);
    if (progress?.state === 'replicate') progress.toProbe();
  }

  /** A snapshot that was wished for has arrived, or has not. */
  reportSnapshot(id: number, arrived: boolean): void {
    const progress = this.#state.progress.get(id);
    if (progress?.state !== 'snapshot') return;
    if (arrived) progress.toProbe();
    else progress.snapshotFailed();
    // Its answer, or that to the next heartbeat, opens the stream again.
    progress.isPaused = true;
  }

  get hasReady(): boolean {
    return this.#state.hasReady || this.#state.reads.hasUnannounced;
  }

  /** The effects since the last call. The driver appends the record before it calls anything here again. */
  ready(): Ready {
    announceReads(this.#state);
    return this.#state.takeReady();
  }

  get role(): Role {
    return this.#state.role;
  }

  /** Who leads as far as is known; 0: nobody. */
  get leader(): number {
    return this.#state.leader;
  }

  /** Whom leadership is being handed to; 0: nobody. */
  get transferee(): number {
    return this.#state.transferee;
  }

  get term(): number {
    return this.#state.term;
  }

  get commitIndex(): number {
    return this.#state.commit;
  }

  status(): RaftStatus {
    const { id, role, term, vote, leader, commit, applied, log, configuration, transferee } =
      this.#state;
    return {
      id,
      role,
      term,
      vote,
      leader,
      commitIndex: commit,
      applied,
      lastIndex: log.lastIndex,
      configuration,
      transferee,
      progress: Array.from(this.#state.progress, ([member, each]) => ({
        id: member,
        match: each.match,
        state: each.state,
        isActive: member === id || each.isActive || each.wasActive,
      })),
    };
  }

  /** Raises the term where the message means that. False: the message is ignored. */
  #meetHigherTerm(message: Message): boolean {
    const state = this.#state;
    const { type, term, from } = message;
    if (type === 'requestVote') {
      // Thesis 4.2.3: who hears of a leader disturbs no one, unless that leader hands over.
      const hearsLeader = state.leader !== 0 && state.electionElapsed < state.electionTicks;
      if (hearsLeader && !message.transfer) return false;
      if (message.preVote) return true;
    }
    if (type === 'requestVoteReply' && message.preVote && message.granted) return true;
    const leads = type === 'appendEntries' || type === 'heartbeat' || type === 'installSnapshot';
    state.becomeFollower(term, leads ? from : 0);
    return true;
  }

  #answerLowerTerm({ type, from, ...rest }: Message): void {
    const state = this.#state;
    if (from === state.id) return;
    if (type === 'appendEntries' || type === 'heartbeat') {
      // A leader that was cut off learns the term; without this it would disturb, or wait, for ever.
      const body = { type: 'appendEntriesReply', rejected: true } as const;
      state.promise(from, { ...body, index: 0, hintIndex: 0, hintTerm: 0 });
    } else if (type === 'requestVote' && 'preVote' in rest && rest.preVote) {
      state.promise(from, { type: 'requestVoteReply', preVote: true, granted: false });
    }
  }

  /** A message that only the leader of the term sends (MoreThanOneLeaderInv: there is one). */
  #follow(
    message: MessageOf<'appendEntries'> | MessageOf<'heartbeat'> | MessageOf<'installSnapshot'>,
  ): void {
    const state = this.#state;
    const { from, term } = message;
    const known = state.role === 'leader' ? state.id : state.leader;
    if (known !== 0 && known !== from) {
      const who = `members ${known} and ${from}`;
      return state.alarm('ETL_STORAGE_CORRUPT', `${who} both lead term ${term}; one was restored`);
    }
    if (state.role !== 'follower') state.becomeFollower(term, from);
    stepAsFollower(state, message);
  }

  /** Not while leadership is being handed over: who takes over could lack the entry, and does it then. */
  #leaveJointWhenDue(): void {
    const state = this.#state;
    const { role, configuration, applied, pendingConfiguration, transferee } = state;
    const isDue = isJoint(configuration) && configuration.autoLeave;
    if (role !== 'leader' || !isDue || applied < pendingConfiguration || transferee !== 0) return;
    state.pendingConfiguration = appendOwn(state, [{ type: 'configuration', data: noData }]);
    broadcastAppend(state);
  }

  #leadNewMembers(): void {
    const state = this.#state;
    if (!isVoter(state.configuration, state.id)) return state.becomeFollower(state.term, 0);
    state.trackMembers();
    if (!isVoter(state.configuration, state.transferee)) state.transferee = 0;
    // The quorum may be smaller now, and there may be someone to send to.
    advanceCommit(state);
    grantReads(state);
    for (const id of state.progress.keys()) if (id !== state.id) sendEntries(state, id);
  }

  /** Throws why nothing can be proposed here now: ETL_NOT_LEADER or ETL_UNAVAILABLE. */
  checkProposing(): void {
    const { role, transferee } = this.#state;
    if (role !== 'leader') throw this.#notLeader();
    if (transferee === 0) return;
    throw new EtlError('ETL_UNAVAILABLE', 'leadership is being handed over; try again', {
      retryable: true,
    });
  }

  #notLeader(): EtlError {
    const { leader } = this.#state;
    if (leader === 0) return noLeader();
    return new EtlError('ETL_NOT_LEADER', `member ${leader} leads`, {
      details: { leader },
      retryable: true,
    });
  }
}

function noLeader(): EtlError {
  return new EtlError('ETL_UNAVAILABLE', 'no leader is known; try again in a moment', {
    retryable: true,
  });
}
