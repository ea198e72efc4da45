// Whether a cluster of the model is what its spec says, by what is so and by what the operator says of it.

import type { Operator } from './operator.ts';
import type { World } from './world.ts';

export function isReady(world: World, operator: Operator): boolean {
  const { spec, status } = world.cluster;
  const { group } = world;
  const ready = operator.lastPlan?.conditions.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True' || group?.leader === undefined) return false;
  const wanted = Array.from({ length: spec.replicas }, (_, at) => at + 1);
  const isMember = (ordinal: number): boolean => {
    const pod = world.pods.get(ordinal);
    const member = group.members.find(({ name }) => name === String(ordinal));
    return (
      pod?.peers !== undefined &&
      !pod.isBad &&
      member?.role === 'voter' &&
      member.raftId === pod.claim.disk.raftId
    );
  };
  return (
    wanted.every(isMember) &&
    group.members.length === spec.replicas &&
    world.replicas === spec.replicas &&
    world.claims.size === spec.replicas &&
    world.pods.size === spec.replicas &&
    status?.operation === undefined &&
    status?.clusterID === group.id
  );
}
