// Resolvers of the cluster, of its members and of this build.

import { EtlError } from '@etl-router/core';
import { toCount } from '@etl-router/proto';
import type { ClusterStatus } from '../../../server/cluster.ts';
import type { MemberStatus } from '../../../server/members.ts';
import { answer } from './answers.ts';
import type { RouterContext } from './context.ts';

/** What a member that starts or has failed does is to follow nobody yet. */
const roles: readonly string[] = ['leader', 'follower', 'candidate'];

/** `clusterStatus` and `version`, and the mutations of members. */
export function clusterResolvers(context: RouterContext): object {
  const { router, version } = context;
  return {
    Query: {
      clusterStatus: () => {
        const status = router.cluster();
        const members = router.members.list();
        const self = members.find(({ id }) => id === status.nodeId);
        return {
          nodeId: status.nodeName,
          raftId: BigInt(status.nodeId),
          role: self === undefined ? ownRole(status) : roleOf(self, status),
          currentTerm: BigInt(status.term),
          leaderId: status.leaderName ?? null,
          commitIndex: BigInt(status.commitIndex),
          lastApplied: BigInt(status.lastApplied),
          logLength: BigInt(status.logLength),
          clusterId: status.clusterId,
          health: router.members.health().toUpperCase(),
          members: members.map((member) => ({
            name: member.name,
            raftId: BigInt(member.id),
            address: member.address,
            grpcAddress: member.grpcAddress ?? null,
            httpAddress: member.httpAddress ?? null,
            role: roleOf(member, status),
            healthy: member.healthy ?? null,
            matchIndex: member.matchIndex === undefined ? null : BigInt(member.matchIndex),
          })),
        };
      },
      version: () => ({ ...version, node: process.version }),
    },
    Mutation: memberMutations(context),
  };
}

function ownRole({ role }: ClusterStatus): string {
  return roles.includes(role) ? role.toUpperCase() : 'FOLLOWER';
}

function roleOf({ id, role }: MemberStatus, status: ClusterStatus): string {
  if (role === 'learner') return 'LEARNER';
  if (id === status.nodeId) return ownRole(status);
  return role === 'leader' ? 'LEADER' : 'FOLLOWER';
}

interface AddLearner {
  readonly name: string;
  readonly raftId: bigint;
  readonly address: string;
}

interface PromoteMember {
  readonly raftId: bigint;
  readonly replacesRaftId?: bigint | null;
}

interface RemoveMember {
  readonly raftId: bigint;
  readonly force: boolean;
}

function memberMutations({ router: { members } }: RouterContext): object {
  return {
    addLearner: (_: unknown, { name, raftId, address }: AddLearner) =>
      answer(async () => {
        const id = toRaftId('raftId', raftId);
        await members.addLearner({ id, name, address });
        return `${members.shown(id)} belongs to the cluster`;
      }),
    promoteMember: (_: unknown, { raftId, replacesRaftId }: PromoteMember) =>
      answer(async () => {
        const id = toRaftId('raftId', raftId);
        const replaces = toOptionalRaftId('replacesRaftId', replacesRaftId);
        await members.promote(id, { replaces });
        const instead =
          replaces === undefined ? '' : ` in the place of the one with id ${replaces}`;
        return `${members.shown(id)} votes${instead}`;
      }),
    removeMember: (_: unknown, { raftId, force }: RemoveMember) =>
      answer(async () => {
        const id = toRaftId('raftId', raftId);
        const member = members.shown(id);
        await members.remove(id, { force });
        return `${member} removed; its data directory is of no use any more`;
      }),
    transferLeadership: (_: unknown, { toRaftId: to }: { toRaftId?: bigint | null }) =>
      answer(async () => {
        const name = await members.transfer(toOptionalRaftId('toRaftId', to));
        return `member ${name} leads`;
      }),
  };
}

function toOptionalRaftId(field: string, id: bigint | null | undefined): number | undefined {
  return id === null || id === undefined ? undefined : toRaftId(field, id);
}

function toRaftId(field: string, id: bigint): number {
  if (id > 0n) return toCount(id, field);
  throw new EtlError('ETL_INVALID_ARGUMENT', `${field}: must be at least 1`, {
    details: { field },
  });
}
