// The cluster as this node sees it.

import type { Consensus, ConsensusStatus } from '../consensus/consensus.ts';

/** What the server needs of consensus. */
export type ServerConsensus = Omit<Consensus, 'start' | 'close' | 'failed'>;

/** The cluster as one member sees it. */
export interface ClusterStatus extends ConsensusStatus {
  /** Name of this member (`--node-id`). */
  readonly nodeName: string;
  /** Name of the leader; undefined while none is known. */
  readonly leaderName: string | undefined;
  /** Revision of the state. */
  readonly revision: number;
  /** Last entry at which this member was found to hold what a majority holds; 0: none yet. */
  readonly checkedIndex: number;
  /** Members that held something else at the last comparison. */
  readonly divergedMembers: number;
}
