// What a member's driver is made of: its log, its network, its bounds. Types only.

import type { Clock, Logger, Random } from '@etl-router/core';
import type { ProposalBounds } from '../consensus/pending-proposals.ts';
import type { RaftLog } from '../storage/log-types.ts';
import type { Forwarder } from './forwarding.ts';
import type { SnapshotRules } from './snapshots.ts';
import type { Peer, RaftTransport } from './transport.ts';

export interface RaftNodeOptions extends SnapshotRules {
  /** Open, and this object's from now on. */
  readonly log: RaftLog & { readonly bytes: number; readonly diskBytes: number };
  readonly clusterId: string;
  readonly nodeId: number;
  /**
   * Who the cluster begins with, if this member is to write that down: in an empty log it becomes the first entry, for
   * every member the same. None: the log has it, or it comes from others.
   */
  readonly founders: readonly Peer[];
  readonly transport: RaftTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Default 100. */
  readonly heartbeatMs?: number;
  /** Shortest time without a leader before an election. Default 1,000. */
  readonly electionMs?: number;
  /** What the log's files may take. Default: no bound. */
  readonly logQuotaBytes?: number;
  /** Default 4,096 proposals and 64 MiB; as many again may wait for another member that leads. */
  readonly proposals?: ProposalBounds;
  /** Hands commands to the member that leads. Default: they are refused where this one does not. */
  readonly forwarder?: Forwarder;
  /** Makes what another member stamped a command with this one's. Default: it stays. */
  readonly restamp?: (command: Uint8Array) => Uint8Array;
}
