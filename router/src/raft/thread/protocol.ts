// What the two threads of a router say to each other. The log's thread has the core of Raft, the log and the network
// between members; the main thread has the state, those who propose, and the data directory with its lock.

import type { ConsensusStatus, Proposed } from '../../consensus/consensus.ts';
import type { SyncEvent } from '../../storage/log.ts';
import type { LogPosition } from '../../storage/log-types.ts';
import type { Founder } from '../bootstrap.ts';
import type { Membership, MembershipChange } from '../membership.ts';
import type { MemberProgress } from '../raft.ts';
import type { ApiAddresses } from '../transport.ts';
import type { Packed } from './packed.ts';
import type { WireCause, WireError } from './wire-error.ts';

/** Proposals of one turn, in order. */
export interface ProposalBatch {
  readonly ids: readonly number[];
  /** Those that make the state smaller. */
  readonly freeing: readonly number[];
  /** Those that may be abandoned. */
  readonly abortable: readonly number[];
  readonly commands: Packed;
}

/** A proposal that nobody waits for any more. */
export interface AbandonedProposal {
  readonly id: number;
  readonly reason: WireCause;
}

/** A proposal that another member answered. */
export interface AnsweredProposal {
  readonly id: number;
  readonly answer: Proposed;
}

/** A proposal that came to nothing, or of which nothing is known. */
export interface RefusedProposal {
  readonly id: number;
  readonly error: WireError;
}

/** Committed entries that follow each other. */
export interface CommittedBatch {
  /** Index of the first. */
  readonly first: number;
  readonly terms: readonly number[];
  readonly data: Packed;
  /** The members from an entry on, by its place here. */
  readonly memberships: readonly (readonly [at: number, membership: Uint8Array])[];
  /** Whose proposals they are, by place; 0: another member's. */
  readonly proposals: readonly number[];
}

/** What the log is, once it is open. */
export interface OpenedLog {
  readonly clusterId: string;
  readonly snapshot: LogPosition;
  readonly compacted: LogPosition;
  readonly lastIndex: number;
  readonly tornBytes: number;
  /** Term of the entry that was asked for; undefined: the log does not have it. */
  readonly term: number | undefined;
}

/** What of a member everyone may ask for at any time, as far as it changed. */
export interface ViewChange {
  readonly status?: Omit<ConsensusStatus, 'failure'>;
  readonly failure?: WireError;
  readonly leads?: boolean;
  readonly membership?: Membership;
  readonly progress?: readonly MemberProgress[];
}

/** How late a thread's turns come, over the last span. */
export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Served by the log's thread. */
export type LogCalls = {
  /** Finds the cluster and opens the log. */
  readonly open: (
    input: { readonly appliedIndex: number },
    signal: AbortSignal,
  ) => Promise<OpenedLog>;
  readonly start: (input: {
    readonly applied: LogPosition;
    readonly membership: Uint8Array | undefined;
  }) => Promise<void>;
  /** Asked for all reads that wait at once, so that nobody ends it. */
  readonly readIndex: (input: null) => Promise<number>;
  readonly changeMembers: (input: MembershipChange, signal: AbortSignal) => Promise<Membership>;
  readonly transferTo: (id: number, signal: AbortSignal) => Promise<void>;
  /** Closes the node, the network and the log. */
  readonly close: (input: null) => Promise<void>;
};

/** Heard by the log's thread. */
export type LogWords = {
  readonly propose: (batch: ProposalBatch) => void;
  /** Where clients reach this member. */
  readonly announce: (own: ApiAddresses) => void;
  readonly abandon: (proposal: AbandonedProposal) => void;
};

/** Served by the main thread: the replicated state, and the data directory. */
export type MainCalls = {
  /** Answers with the results of the entries that are no proposals of the main thread; empty for the others. */
  readonly apply: (batch: CommittedBatch) => Promise<Packed>;
  /** `named`: the snapshot that the log names. */
  readonly snapshot: (input: { readonly named: LogPosition }) => Promise<LogPosition>;
  /** Answers with the members as of it. */
  readonly install: (position: LogPosition) => Promise<Uint8Array | undefined>;
  readonly membershipAt: (position: LogPosition) => Promise<Uint8Array>;
  readonly adopt: (input: {
    readonly clusterId: string;
    readonly founding: readonly Founder[];
  }) => Promise<void>;
  readonly markLogCreated: (input: null) => Promise<void>;
};

/** Heard by the main thread. */
export type MainWords = {
  readonly view: (change: ViewChange) => void;
  readonly answered: (proposal: AnsweredProposal) => void;
  readonly refused: (proposal: RefusedProposal) => void;
  readonly synced: (event: SyncEvent) => void;
  readonly delayed: (delay: LoopDelay) => void;
  /** One line of JSON, as pino writes it. */
  readonly logged: (line: string) => void;
};
