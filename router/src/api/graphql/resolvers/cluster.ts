// Resolvers of the cluster and of this build.

import type { RouterContext } from './context.ts';

/** `clusterStatus` and `version`. */
export function clusterResolvers({ router, version }: RouterContext): object {
  return {
    Query: {
      clusterStatus: () => {
        const status = router.cluster();
        return {
          nodeId: status.nodeId,
          role: status.role.toUpperCase(),
          currentTerm: BigInt(status.term),
          leaderId: status.leaderId ?? null,
          commitIndex: BigInt(status.commitIndex),
          lastApplied: BigInt(status.appliedIndex),
          logLength: BigInt(status.logLength),
          clusterId: status.clusterId,
        };
      },
      version: () => ({ ...version, node: process.version }),
    },
  };
}
