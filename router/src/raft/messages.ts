// What members of a cluster say to each other, as the core sees it. The wire form is proto/etl/raft/v1; nothing here
// knows it.

import type { Entry } from '../storage/log-types.ts';
import type { Configuration } from './configuration.ts';

/** Asks for a vote, or with `preVote` whether it would be given (thesis 9.6). */
export interface RequestVote {
  readonly type: 'requestVote';
  readonly preVote: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Leadership is being handed to the sender: the lease of the present leader does not count (thesis 3.10). */
  readonly transfer: boolean;
}

export interface RequestVoteReply {
  readonly type: 'requestVoteReply';
  readonly preVote: boolean;
  readonly granted: boolean;
}

export interface AppendEntries {
  readonly type: 'appendEntries';
  readonly previousIndex: number;
  readonly previousTerm: number;
  /** Without gaps; none only probes. */
  readonly entries: readonly Entry[];
  readonly commitIndex: number;
}

export interface AppendEntriesReply {
  readonly type: 'appendEntriesReply';
  readonly rejected: boolean;
  /** Taken: the last entry that is durable and agrees with the leader. Refused: the `previousIndex` that did not. */
  readonly index: number;
  /** Refused: the last entry that may agree, with its term. */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

export interface Heartbeat {
  readonly type: 'heartbeat';
  /** Never above what the receiver is known to hold. */
  readonly commitIndex: number;
  /** The last read request that the reply confirms; 0: none. */
  readonly readContext: number;
}

export interface HeartbeatReply {
  readonly type: 'heartbeatReply';
  readonly readContext: number;
}

/** Campaign at once: leadership is handed over (thesis 3.10). */
export interface TimeoutNow {
  readonly type: 'timeoutNow';
}

export interface ReadIndexRequest {
  readonly type: 'readIndex';
  /** The sender's name of the request. */
  readonly context: number;
}

export interface ReadIndexReply {
  readonly type: 'readIndexReply';
  readonly context: number;
  /** 0: ask again. */
  readonly index: number;
}

/**
 * A snapshot is durable here and can be installed. The receiver's own driver makes it of the header of the stream that
 * brought the file; the core of the leader only wishes for that stream, see `SnapshotWish`.
 */
export interface InstallSnapshot {
  readonly type: 'installSnapshot';
  readonly index: number;
  readonly indexTerm: number;
  /** Members as of the snapshot. */
  readonly configuration: Configuration;
}

export type MessageBody =
  | RequestVote
  | RequestVoteReply
  | AppendEntries
  | AppendEntriesReply
  | Heartbeat
  | HeartbeatReply
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexReply
  | InstallSnapshot;

export interface Envelope {
  readonly from: number;
  readonly to: number;
  /** The sender's term; of a pre-vote and of a granted reply to one the term that would begin. */
  readonly term: number;
}

export type Message = Envelope & MessageBody;
export type MessageOf<Type extends MessageBody['type']> = Envelope &
  Extract<MessageBody, { readonly type: Type }>;
