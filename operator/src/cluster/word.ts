// What a member answers, as the plan reads it. A member that is not in its own list of members waits to be added. What
// comes from another router than the one that was asked is no answer: nobody is to have two words.

import {
  type ClusterMember,
  type GetClusterStatusResponse,
  MemberRole,
} from '@etl-router/proto/admin';
import type { MemberWord, SeenMember } from './view.ts';

/** Who was asked, and how old the answer is. */
export interface WordSource {
  readonly ordinal: number;
  readonly ageMs: number;
}

/**
 * Undefined: another router answers at the address of the one that was asked. A cache may know an address that went to a
 * sibling meanwhile, and the members' certificate is for all of them.
 */
export function toMemberWord(
  status: GetClusterStatusResponse,
  source: WordSource,
): MemberWord | undefined {
  if (status.name !== String(source.ordinal)) return undefined;
  const { clusterId, leader, term, commitIndex, appliedIndex, version, members } = status;
  const leads = leader !== '' && leader === status.name;
  return {
    ...source,
    raftId: String(status.raftId),
    clusterId,
    role: leads ? 'leader' : roleOf(members.find(({ raftId }) => raftId === status.raftId)),
    leader: leader === '' ? undefined : leader,
    term: Number(term),
    commitIndex: Number(commitIndex),
    appliedIndex: Number(appliedIndex),
    version,
    members: members.map((member) => toSeen(member, leads)),
  };
}

function roleOf(self: ClusterMember | undefined): MemberWord['role'] {
  if (self === undefined) return 'waiting';
  if (self.role === MemberRole.LEARNER) return 'learner';
  return self.role === MemberRole.CANDIDATE ? 'candidate' : 'follower';
}

function toSeen(
  { name, raftId, role, healthy, matchIndex }: ClusterMember,
  leads: boolean,
): SeenMember {
  return {
    name,
    raftId: String(raftId),
    role: role === MemberRole.LEARNER ? 'learner' : 'voter',
    healthy: leads ? healthy : undefined,
    matchIndex: leads ? Number(matchIndex) : undefined,
  };
}
