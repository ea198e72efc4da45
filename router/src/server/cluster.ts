// The cluster as this node sees it, and what the server needs of consensus. Written down here in plain values, so that
// neither interfaces nor tests need to know how members agree.

import type { Log } from './proposer.ts';

export const memberRoles = ['leader', 'follower', 'candidate', 'learner'] as const;
export type MemberRole = (typeof memberRoles)[number];

/** A member as consensus knows it. */
export interface ClusterStatus {
  /** Name of this member. */
  readonly nodeId: string;
  readonly clusterId: string;
  readonly role: MemberRole;
  readonly term: number;
  /** Undefined while none is known. */
  readonly leaderId: string | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Entries on disk. */
  readonly logLength: number;
}

/** Consensus, as far as the server sees it (router/src/consensus). */
export interface ServerConsensus extends Log {
  /** Resolves when everything that was committed before the call is applied here; what is read then is not stale. */
  readIndex(signal?: AbortSignal): Promise<number>;
  status(): ClusterStatus;
}
