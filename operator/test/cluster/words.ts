// What a member of the model says when it is asked.

import type { MemberWord, SeenMember } from '../../src/cluster/view.ts';
import type { GroupMember, Pod, World } from './world.ts';

/** Its word; none when it does not run or has found nobody. */
export function wordsOf(world: World, pod: Pod, ageMs: number): MemberWord[] {
  const { disk } = pod.claim;
  const { group } = disk;
  if (pod.peers === undefined || group === undefined) return [];
  const leads = group.leader === disk.raftId;
  const self = disk.known.find(({ raftId }) => raftId === disk.raftId);
  const leader = group.members.find(({ raftId }) => raftId === group.leader);
  const isPart = group.members.some(({ raftId }) => raftId === disk.raftId);
  const members = leads ? group.members : disk.known;
  const role = leads
    ? 'leader'
    : self === undefined
      ? 'waiting'
      : self.role === 'learner'
        ? 'learner'
        : 'follower';
  return [
    {
      ordinal: pod.ordinal,
      ageMs,
      raftId: disk.raftId,
      clusterId: group.id,
      role,
      leader: isPart ? leader?.name : undefined,
      term: isPart ? group.term : 0,
      commitIndex: isPart ? group.commit : disk.match,
      appliedIndex: disk.match,
      version: '1',
      members: members.map((member) => seenBy(world, pod, member, leads)),
    },
  ];
}

function seenBy(
  world: World,
  by: Pod,
  { name, raftId, role }: GroupMember,
  leads: boolean,
): SeenMember {
  const pod = world.pods.get(Number(name));
  const disk = pod?.claim.disk.raftId === raftId ? pod.claim.disk : undefined;
  const isUp = disk !== undefined && pod?.peers !== undefined;
  return {
    ...{ name, raftId, role },
    healthy: leads ? isUp || pod === by : undefined,
    matchIndex: leads ? (disk?.match ?? 0) : undefined,
  };
}
