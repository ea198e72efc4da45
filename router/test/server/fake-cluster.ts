// A cluster as its leader sees it, for tests of what is refused and what is done: changes take effect at once, and the
// test says who is heard of and how far everyone is.

import type { ConsensusStatus, Proposed } from '../../src/consensus/consensus.ts';
import {
  changeMembership,
  type Membership,
  type MembershipChange,
  noMembership,
} from '../../src/raft/membership.ts';
import type { MemberProgress } from '../../src/raft/raft.ts';
import type { Contact, Peer } from '../../src/raft/transport.ts';
import type { ServerConsensus } from '../../src/server/cluster.ts';

/** Member 1 is `node-1` at `10.0.0.1:50052`, and so on. */
export function peerOf(id: number): Peer {
  return { id, name: `node-${id}`, address: `10.0.0.${id}:50052` };
}

export class FakeCluster implements ServerConsensus {
  /** The member that is asked. */
  nodeId = 1;
  leaderId: number | undefined = 1;
  membership: Membership;
  contacts: readonly Contact[] = [];
  readonly changes: MembershipChange[] = [];
  readonly transfers: number[] = [];
  readonly away = new Set<number>();
  /** The last entry of members that lack something. */
  readonly match = new Map<number, number>();
  readonly lastIndex = 5000;

  /** Voters 1 to `voters`, then `learners` more. */
  constructor(voters: number, learners = 0) {
    const ids = (from: number, count: number): number[] =>
      Array.from({ length: count }, (_, at) => from + at);
    const [voting, learning] = [ids(1, voters), ids(voters + 1, learners)];
    this.membership = {
      configuration: { ...noMembership.configuration, voters: voting, learners: learning },
      members: [...voting, ...learning].map(peerOf),
      removed: [],
    };
  }

  get progress(): readonly MemberProgress[] {
    if (this.leaderId !== this.nodeId) return [];
    return this.membership.members.map(({ id }) => ({
      id,
      match: this.match.get(id) ?? this.lastIndex,
      state: 'replicate',
      isActive: !this.away.has(id),
    }));
  }

  async changeMembers(change: MembershipChange): Promise<Membership> {
    await Promise.resolve();
    this.membership = changeMembership(this.membership, change);
    this.changes.push(change);
    if (change.steps.length > 1)
      this.membership = changeMembership(this.membership, { steps: [], autoLeave: false });
    return this.membership;
  }

  transferTo(id: number): Promise<void> {
    this.transfers.push(id);
    this.leaderId = id;
    return Promise.resolve();
  }

  readIndex(): Promise<number> {
    return Promise.resolve(this.lastIndex);
  }

  propose(): Promise<Proposed> {
    return Promise.resolve({ index: this.lastIndex, term: 1, result: new Uint8Array(0) });
  }

  watchLeadership(): () => void {
    return () => {
      // Nothing was begun.
    };
  }

  status(): ConsensusStatus {
    const { nodeId, leaderId, lastIndex } = this;
    return {
      clusterId: 'test',
      nodeId,
      role: leaderId === nodeId ? 'leader' : 'follower',
      term: 1,
      leaderId,
      commitIndex: lastIndex,
      lastApplied: lastIndex,
      firstIndex: 1,
      lastIndex,
      logLength: lastIndex,
      snapshotIndex: 0,
      logBytes: 0,
      logQuotaBytes: Number.POSITIVE_INFINITY,
      contacts: this.contacts,
      pendingProposals: 0,
      failure: undefined,
    };
  }
}
