// What one member knows, and the moves that every role makes: changing role, sending, handing out effects. The roles
// themselves are in follower.ts, candidate.ts and leader.ts. No clock, randomness, promise or I/O.

import { assert, type ErrorCode, EtlError } from '@etl-router/core';
import type { Entry, HardState, LogPosition, LogReader, LogRecord } from '../storage/log-types.ts';
import { type Configuration, isVoter, membersOf } from './configuration.ts';
import { CoreLog } from './core-log.ts';
import type { InflightLimits } from './inflights.ts';
import type { Message, MessageBody } from './messages.ts';
import { Progress } from './progress.ts';
import { ReadQueue } from './read-queue.ts';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

export interface RaftOptions {
  /** This member's raft id. */
  readonly id: number;
  /** What is in the log, and term and vote; see {@link CoreLog} for what the driver owes. */
  readonly log: LogReader;
  /** As of `applied`. */
  readonly configuration: Configuration;
  /** The last entry that was applied. */
  readonly applied: number;
  /** Ticks without a leader after which an election begins; drawn anew from [E, 2E) each time. Default 10. */
  readonly electionTicks?: number;
  /** Ticks between two heartbeats. Default 1. */
  readonly heartbeatTicks?: number;
  /** Data of the entries of one append. Default 1 MiB. */
  readonly maxAppendBytes?: number;
  /** Appends to one member that are not answered yet. Default 256 messages and 16 MiB. */
  readonly inflight?: InflightLimits;
  /** Proposed and not yet committed. Default 64 MiB. */
  readonly maxUncommittedBytes?: number;
  /** Commits are told with the next entries, or by `tellCommit()`. Default: at once. */
  readonly tellsCommitsLater?: boolean;
  /** Reads that wait for a quorum. Default 4,096. */
  readonly maxPendingReads?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A read that may be answered once everything up to `index` is applied. 0: it was not granted, ask again. */
export interface ReadGrant {
  readonly context: number;
  readonly index: number;
}

/** The leader wants a member to have its latest snapshot. */
export interface SnapshotWish {
  readonly to: number;
  readonly term: number;
  readonly snapshot: LogPosition;
}

/** What the driver has to do, in this order: append the record, send, and later release. */
export interface Ready {
  /** To be appended to the log before the core is called again. */
  readonly record: LogRecord | undefined;
  /** May leave at once. */
  readonly messages: readonly Message[];
  /** Promises: leave, or come back here when they are to this member, once all records so far are durable. */
  readonly afterDurable: readonly Message[];
  readonly snapshots: readonly SnapshotWish[];
  readonly reads: readonly ReadGrant[];
  /** What operators should know of: it was refused, and the core goes on. */
  readonly alarms: readonly EtlError[];
}

export class CoreState {
  readonly id: number;
  readonly log: CoreLog;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly maxAppendBytes: number;
  readonly maxUncommittedBytes: number;
  readonly tellsCommitsLater: boolean;
  readonly reads: ReadQueue;
  readonly #inflight: InflightLimits;
  readonly #random: () => number;

  role: Role = 'follower';
  term: number;
  vote: number;
  leader = 0;
  commit: number;
  applied: number;
  configuration: Configuration;

  /** Ticks since a leader was heard of, or since this leader last counted who is active. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  electionTimeout = 0;
  /** Candidate: who answered, and what. */
  readonly votes = new Map<number, boolean>();
  /** Leader: every member, itself included. */
  readonly progress = new Map<number, Progress>();
  /** Leader: the last entry that may change the configuration; none is proposed before it is applied. */
  pendingConfiguration = 0;
  /** Leader: data of its own entries that are not committed. */
  uncommittedBytes = 0;
  /** Leader: members hear at once of commits up to here, of later ones with entries. */
  tellTo = 0;
  /** Leader: who takes over; 0: nobody. */
  transferee = 0;

  #handedTerm: number;
  #handedVote: number;
  #messages: Message[] = [];
  #afterDurable: Message[] = [];
  #snapshots: SnapshotWish[] = [];
  #grants: ReadGrant[] = [];
  #alarms: EtlError[] = [];

  constructor(options: RaftOptions) {
    const { electionTicks = 10, heartbeatTicks = 1 } = options;
    assert(
      heartbeatTicks >= 1 && electionTicks > heartbeatTicks,
      'elections take longer than beats',
    );
    this.id = options.id;
    this.log = new CoreLog(options.log);
    this.electionTicks = electionTicks;
    this.heartbeatTicks = heartbeatTicks;
    this.maxAppendBytes = options.maxAppendBytes ?? 1024 * 1024;
    this.maxUncommittedBytes = options.maxUncommittedBytes ?? 64 * 1024 * 1024;
    this.tellsCommitsLater = options.tellsCommitsLater ?? false;
    this.#inflight = options.inflight ?? { maxMessages: 256, maxBytes: 16 * 1024 * 1024 };
    this.#random = options.random;
    this.reads = new ReadQueue(options.maxPendingReads ?? 4096);
    const { term, vote, commit } = options.log.hardState;
    this.term = term;
    this.vote = vote;
    this.#handedTerm = term;
    this.#handedVote = vote;
    this.applied = options.applied;
    this.commit = Math.max(Math.min(commit, this.log.lastIndex), options.applied);
    assert(this.commit <= this.log.lastIndex, 'what was applied is in the log');
    this.configuration = options.configuration;
    this.drawTimeout();
  }

  becomeFollower(term: number, leader: number): void {
    this.reset(term);
    this.role = 'follower';
    this.leader = leader;
  }

  /** Forgets what belongs to a term or a role. Reads that wait are refused: their leader may be another now. */
  reset(term: number): void {
    assert(term >= this.term, 'a term never falls');
    if (term !== this.term) {
      this.term = term;
      this.vote = 0;
    }
    this.leader = 0;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.drawTimeout();
    this.votes.clear();
    this.progress.clear();
    this.pendingConfiguration = 0;
    this.uncommittedBytes = 0;
    this.tellTo = 0;
    this.transferee = 0;
    for (const { from, context } of this.reads.clear()) this.refuseRead(from, context);
  }

  /** Uniform in [E, 2E), so that members rarely campaign together (thesis 3.4). */
  drawTimeout(): void {
    this.electionTimeout = this.electionTicks + Math.floor(this.#random() * this.electionTicks);
  }

  /** Whether it counts, and so may campaign. */
  get isVoter(): boolean {
    return isVoter(this.configuration, this.id);
  }

  /** Keeps what is known of those who stay; forgets those who left. */
  trackMembers(): void {
    const members = membersOf(this.configuration);
    for (const id of this.progress.keys()) if (!members.includes(id)) this.progress.delete(id);
    for (const id of members) {
      if (this.progress.has(id)) continue;
      const progress = new Progress(this.log.lastIndex + 1, this.#inflight);
      // It gets the time of an election before it is missed.
      progress.isActive = true;
      this.progress.set(id, progress);
    }
  }

  matchOf(id: number): number {
    return this.progress.get(id)?.match ?? 0;
  }

  /** May leave at once; only what promises nothing. */
  send(to: number, body: MessageBody, term: number = this.term): void {
    assert(to !== this.id, 'what a member tells itself is a promise');
    this.#messages.push({ from: this.id, to, term, ...body });
  }

  /** Leaves once everything that is in the log now is durable. */
  promise(to: number, body: MessageBody, term: number = this.term): void {
    this.#afterDurable.push({ from: this.id, to, term, ...body });
  }

  wishSnapshot(to: number, snapshot: LogPosition): void {
    this.#snapshots.push({ to, term: this.term, snapshot });
  }

  /** Answers a read of this member or of another. */
  grantRead(from: number, context: number, index: number): void {
    if (from === this.id) this.#grants.push({ context, index });
    else this.send(from, { type: 'readIndexReply', context, index });
  }

  refuseRead(from: number, context: number): void {
    if (from === this.id) this.#grants.push({ context, index: 0 });
    else if (this.progress.has(from) || membersOf(this.configuration).includes(from))
      this.send(from, { type: 'readIndexReply', context, index: 0 });
  }

  alarm(code: ErrorCode, message: string): void {
    this.#alarms.push(new EtlError(code, message));
  }

  commitTo(index: number): void {
    if (index <= this.commit) return;
    assert(index <= this.log.lastIndex, 'only what is in the log is committed');
    this.commit = index;
  }

  get hasReady(): boolean {
    return (
      this.#messages.length > 0 ||
      this.#afterDurable.length > 0 ||
      this.#snapshots.length > 0 ||
      this.#grants.length > 0 ||
      this.#alarms.length > 0 ||
      this.#handedTerm !== this.term ||
      this.#handedVote !== this.vote
    );
  }

  takeReady(): Ready {
    const { entries, snapshot } = this.log.take();
    const ready: Ready = {
      record: this.#record(entries, snapshot),
      messages: this.#messages,
      afterDurable: this.#afterDurable,
      snapshots: this.#snapshots,
      reads: this.#grants,
      alarms: this.#alarms,
    };
    this.#messages = [];
    this.#afterDurable = [];
    this.#snapshots = [];
    this.#grants = [];
    this.#alarms = [];
    return ready;
  }

  /** Term and vote go with the entries of that term in one record, or before them. */
  #record(entries: readonly Entry[], snapshot: LogPosition | undefined): LogRecord | undefined {
    const isNew = this.#handedTerm !== this.term || this.#handedVote !== this.vote;
    if (entries.length === 0 && snapshot === undefined && !isNew) return undefined;
    this.#handedTerm = this.term;
    this.#handedVote = this.vote;
    // The commit index covers the entries too: whoever holds a change of members knows, after a restart as well, that
    // the one before it is committed, and does not campaign before that is applied.
    const hardState: HardState = { term: this.term, vote: this.vote, commit: this.commit };
    return {
      hardState,
      ...(snapshot === undefined ? {} : { snapshot }),
      ...(entries.length === 0 ? {} : { entries }),
    };
  }
}
