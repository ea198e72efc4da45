// Resolvers of the cluster and of this build.

import type { RouterContext } from './context.ts';

/** What a member that starts or has failed does is to follow nobody yet. */
const roles: readonly string[] = ['leader', 'follower', 'candidate'];

/** `clusterStatus` and `version`. */
export function clusterResolvers({ router, version }: RouterContext): object {
  return {
    Query: {
      clusterStatus: () => {
        const status = router.cluster();
        return {
          nodeId: status.nodeName,
          role: roles.includes(status.role) ? status.role.toUpperCase() : 'FOLLOWER',
          currentTerm: BigInt(status.term),
          leaderId: status.leaderName ?? null,
          commitIndex: BigInt(status.commitIndex),
          lastApplied: BigInt(status.lastApplied),
          logLength: BigInt(status.logLength),
          clusterId: status.clusterId,
        };
      },
      version: () => ({ ...version, node: process.version }),
    },
  };
}
