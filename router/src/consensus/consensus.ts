// The one door between those who propose and the state machine. One node stands behind it today and Raft tomorrow;
// neither side can tell. Nobody above may assume that a proposal that failed did not take effect, unless the error
// says that it was refused.

import type { EtlError } from '@etl-router/core';
import type { Membership, MembershipChange } from '../raft/membership.ts';
import type { MemberProgress } from '../raft/raft.ts';
import type { Contact } from '../raft/transport.ts';
import type { LogPosition } from '../storage/log-types.ts';

/** An entry that is committed: it takes effect on every member, in this order. */
export interface CommittedEntry {
  readonly index: number;
  readonly term: number;
  /** The command; empty for an entry that only moves the index, such as the first of a term. */
  readonly data: Uint8Array;
  /** Who belongs to the cluster from here on, encoded; only with an entry that changes it. */
  readonly membership?: Uint8Array;
}

/** What stands below the log: applies committed entries, and makes snapshots of what was applied. */
export interface ReplicatedState {
  /** The last entry that was applied, as of now. */
  readonly applied: LogPosition;
  /** Who belongs to the cluster as of {@link applied}, encoded; undefined: no entry has said it yet. */
  readonly membership: Uint8Array | undefined;
  /** Applies entries in order, without a gap, and resolves with one result each. A rejection is the end. */
  apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]>;
  /** Writes a durable snapshot of all that is applied and resolves with its position. Runs beside apply. */
  snapshot(): Promise<LogPosition>;
  /** Replaces everything by the snapshot of that position, whose file is there. */
  install(position: LogPosition): Promise<void>;
  /** The members as of a snapshot. Throws ETL_STORAGE_CORRUPT where it is gone. */
  membershipAt(position: LogPosition): Promise<Uint8Array>;
}

/** The answer to a proposal. */
export interface Proposed {
  readonly index: number;
  readonly term: number;
  /** What the state machine answered. */
  readonly result: Uint8Array;
}

export interface ProposalOptions {
  /** Stops waiting. A command that is in the log by then takes effect all the same. */
  readonly signal?: AbortSignal | undefined;
  /** It makes the state smaller or stops work: taken also while the log is read-only because of its quota. */
  readonly frees?: boolean | undefined;
}

/** `failed`: stopped by an error and of no use any more; the process is to exit. */
export type ConsensusRole = 'starting' | 'follower' | 'candidate' | 'leader' | 'failed' | 'closed';

export interface ConsensusStatus {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly role: ConsensusRole;
  readonly term: number;
  /** Who leads as far as is known. */
  readonly leaderId: number | undefined;
  readonly commitIndex: number;
  readonly lastApplied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Entries held. */
  readonly logLength: number;
  /** Last entry that the latest snapshot stands for; 0: none. */
  readonly snapshotIndex: number;
  /** Size of the log's files. */
  readonly logBytes: number;
  /** What they may take; at 90 % of it the log is read-only until it is compacted. */
  readonly logQuotaBytes: number;
  /** Where clients reach the members, as far as they told this one; another list when that changes. */
  readonly contacts: readonly Contact[];
  /** Proposals that wait for their answer. */
  readonly pendingProposals: number;
  /** Why it failed. */
  readonly failure: EtlError | undefined;
}

/** Agreement on one order of commands. */
export interface Consensus {
  /** Replays what `state` has not applied yet and begins to serve. To be called once. */
  start(state: ReplicatedState): Promise<void>;
  /**
   * Resolves when the command is committed and applied here, whoever leads. Every error says in its details what became
   * of the command (outcome.ts). Refused are ETL_LIMIT_EXCEEDED (too large, or too many wait, or the log is at its
   * quota; the latter two are retryable), ETL_UNAVAILABLE (not serving, or no leader is reached), ETL_NOT_LEADER where
   * commands are not handed over, and ETL_CANCELLED before it was sent.
   */
  propose(command: Uint8Array, options?: ProposalOptions): Promise<Proposed>;
  /** Resolves, once it is applied here, with an index that covers every proposal answered before the call. */
  readIndex(options?: ProposalOptions): Promise<number>;
  status(): ConsensusStatus;
  /** Who belongs to the cluster, as far as is applied here. */
  readonly membership: Membership;
  /** Leader: how far each member is. Empty elsewhere. */
  readonly progress: readonly MemberProgress[];
  /**
   * Changes who belongs to the cluster; resolves when it is applied here, all of it where it leaves the joint
   * configuration by itself. Throws as propose() does, ETL_INVALID_ARGUMENT for a change that makes no sense, and
   * ETL_CONFLICT while another is under way.
   */
  changeMembers(change: MembershipChange, options?: ProposalOptions): Promise<Membership>;
  /**
   * Hands leadership to another voter; resolves when this member no longer leads. Throws ETL_UNAVAILABLE where the other
   * one did not take over within an election's time.
   */
  transferTo(id: number, signal?: AbortSignal): Promise<void>;
  /** Calls back when this member begins or ceases to lead. Begins: all that was committed before is applied here. */
  watchLeadership(listener: (leads: boolean) => void): () => void;
  /** Resolves with the error that ended it, should one; never after a close. */
  readonly failed: Promise<EtlError>;
  /** Answers what is in the log, refuses the rest, and closes the log. */
  close(): Promise<void>;
}
