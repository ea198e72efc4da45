// RouterAdmin's methods of the cluster: who belongs to it, how it does, and how that is changed.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { toCount } from '@etl-router/proto';
import {
  ClusterHealth,
  type ClusterMemberSchema,
  type GetClusterStatusResponseSchema,
  MemberRole,
  type RouterAdmin,
} from '@etl-router/proto/admin';
import type { Implementation } from '@etl-router/proto/grpc';
import type { ClusterStatus } from '../../server/cluster.ts';
import type { MemberStatus } from '../../server/members.ts';
import { invalid } from '../../state/names.ts';
import type { GrpcContext } from './context.ts';
import { proposal, required } from './fields.ts';

type Admin = Implementation<typeof RouterAdmin>;
type MemberMessage = MessageInitShape<typeof ClusterMemberSchema>;

/** A change repeated under any request id finds that it was made: the ids are only checked. */
export function createClusterMethods(
  context: GrpcContext,
): Pick<
  Admin,
  'getClusterStatus' | 'addLearner' | 'promoteMember' | 'removeMember' | 'transferLeadership'
> {
  const { members } = context.router;
  const answer = (all: readonly MemberStatus[]): { members: MemberMessage[] } => ({
    members: all.map((member) => fromMember(member, context.router.cluster())),
  });
  return {
    getClusterStatus: () => clusterStatus(context),
    addLearner: async ({ name, raftId, address, requestId }, { signal }) => {
      const peer = {
        id: toRaftId('raft_id', raftId),
        name: required('name', name),
        address: required('address', address),
      };
      return answer(await members.addLearner(peer, proposal(requestId, signal)));
    },
    promoteMember: async ({ raftId, replacesRaftId, requestId }, { signal }) => {
      const id = toRaftId('raft_id', raftId);
      const replaces =
        replacesRaftId === 0n ? undefined : toRaftId('replaces_raft_id', replacesRaftId);
      return answer(await members.promote(id, { ...proposal(requestId, signal), replaces }));
    },
    removeMember: async ({ raftId, force, requestId }, { signal }) => {
      const id = toRaftId('raft_id', raftId);
      return answer(await members.remove(id, { ...proposal(requestId, signal), force }));
    },
    transferLeadership: async ({ toRaftId: to }, { signal }) => {
      const id = to === 0n ? undefined : toRaftId('to_raft_id', to);
      return { leader: await members.transfer(id, { signal }) };
    },
  };
}

function toRaftId(field: string, id: bigint): number {
  if (id > 0n) return toCount(id, field);
  throw invalid(field, 'is missing; etlctl cluster members shows the ids');
}

function clusterStatus({
  router,
  member,
  version,
}: GrpcContext): MessageInitShape<typeof GetClusterStatusResponseSchema> {
  const status = router.cluster();
  const all = router.members.list();
  return {
    clusterId: status.clusterId,
    name: status.nodeName,
    leader: status.leaderName ?? '',
    leaderAddress: status.role === 'leader' ? member.address() : addressOf(status),
    term: BigInt(status.term),
    commitIndex: BigInt(status.commitIndex),
    appliedIndex: BigInt(status.lastApplied),
    revision: BigInt(status.revision),
    members: all.map((each) => fromMember(each, status)),
    health: healths[router.members.health()],
    version,
    raftId: BigInt(status.nodeId),
    operatorEpoch: BigInt(router.operators.epoch),
  };
}

function addressOf({ leaderId, contacts }: ClusterStatus): string {
  return contacts.find(({ id }) => id === leaderId)?.grpcAddress ?? '';
}

const healths = {
  healthy: ClusterHealth.HEALTHY,
  degraded: ClusterHealth.DEGRADED,
  unhealthy: ClusterHealth.UNHEALTHY,
  unknown: ClusterHealth.UNSPECIFIED,
} as const;

const roles = {
  leader: MemberRole.LEADER,
  voter: MemberRole.FOLLOWER,
  learner: MemberRole.LEARNER,
} as const;

/** Only the member itself knows that it asks for votes. */
function fromMember(
  { id, name, address, grpcAddress, httpAddress, role, healthy, matchIndex }: MemberStatus,
  self: Pick<ClusterStatus, 'nodeId' | 'role'>,
): MemberMessage {
  const campaigns = id === self.nodeId && self.role === 'candidate';
  return {
    name,
    raftId: BigInt(id),
    address,
    grpcAddress: grpcAddress ?? '',
    httpAddress: httpAddress ?? '',
    role: campaigns ? MemberRole.CANDIDATE : roles[role],
    healthy: healthy === true,
    matchIndex: BigInt(matchIndex ?? 0),
  };
}
