// Consumer groups: members divide partitions among themselves, and each commits positions for what it owns. The
// generation, the revision of the last rebalance, fences members that missed one.

import { create } from '@bufbuild/protobuf';
import { comparePositions, EtlError } from '@etl-router/core';
import {
  type AssignPartitions,
  type CommitGroupPositions,
  CommitResultSchema,
  type DropGroup,
  GroupResultSchema,
  type JoinGroup,
  type LeaveGroup,
  type RefusedItem,
  RefusedItemSchema,
  type SourcePosition,
  type StoredGroup,
  StoredGroupPositionSchema,
  StoredGroupSchema,
  type StoredMember,
  StoredMemberSchema,
} from '@etl-router/proto';
import { maxGroupMembers, maxGroupPartitions, maxItemsPerBatch, maxRows } from './limits.ts';
import {
  checkCount,
  checkId,
  checkOptionalId,
  checkPartition,
  invalid,
  isPosition,
} from './names.ts';
import { checkRoom, conflict, done, notFound, type Outcome } from './refusal.ts';
import { dividePartitions } from './share.ts';
import { joinKey } from './table.ts';
import type { Context } from './tables.ts';

export function joinGroup(context: Context, command: JoinGroup): Outcome {
  checkId('group_id', command.groupId);
  checkId('member_id', command.memberId);
  checkOptionalId('stage', command.stage);
  const group = groupOrNew(context, command.groupId);
  if (command.stage !== '' && group.stage !== '' && group.stage !== command.stage) {
    throw conflict(`group ${group.groupId} is of stage ${group.stage}, not ${command.stage}`);
  }
  const present = group.members.find((member) => member.memberId === command.memberId);
  if (present !== undefined) return groupResult(group, command.memberId);
  checkRoom(`members of group ${group.groupId}`, group.members.length, maxGroupMembers);
  const member = create(StoredMemberSchema, {
    memberId: command.memberId,
    joinedAtNs: context.nowNs,
  });
  const stage = group.stage === '' ? command.stage : group.stage;
  const after = rebalance(context, { ...group, stage, members: [...group.members, member] });
  return groupResult(after, command.memberId);
}

export function leaveGroup(context: Context, command: LeaveGroup): Outcome {
  const group = existingGroup(context, command.groupId);
  const members = group.members.filter((member) => member.memberId !== command.memberId);
  if (members.length === group.members.length) {
    throw notFound(`member of group ${group.groupId}`, command.memberId);
  }
  rebalance(context, { ...group, members });
  return done;
}

/** Takes a member out of every group: the service it was is gone. */
export function leaveAllGroups(context: Context, memberId: string): void {
  for (const groupId of context.tables.groups.keys()) {
    const group = existingGroup(context, groupId);
    const members = group.members.filter((member) => member.memberId !== memberId);
    if (members.length < group.members.length) rebalance(context, { ...group, members });
  }
}

export function assignPartitions(context: Context, command: AssignPartitions): Outcome {
  checkId('group_id', command.groupId);
  checkCount('partitions', command.partitions.length, maxGroupPartitions);
  for (const partition of command.partitions) checkPartition('partition', partition);
  const partitions = command.partitions.toSorted();
  if (new Set(partitions).size < partitions.length) {
    throw invalid('partitions', 'one occurs twice');
  }
  const group = groupOrNew(context, command.groupId);
  const expected = command.expectedGeneration;
  if (expected !== undefined && expected !== group.generation) {
    throw conflict(`group ${group.groupId} is at generation ${group.generation}, not ${expected}`);
  }
  const same =
    group.generation > 0n &&
    group.partitions.length === partitions.length &&
    group.partitions.every((partition, index) => partition === partitions[index]);
  return groupResult(same ? group : rebalance(context, { ...group, partitions }), '');
}

export function commitGroupPositions(context: Context, command: CommitGroupPositions): Outcome {
  checkCount('positions', command.positions.length, maxItemsPerBatch);
  const group = existingGroup(context, command.groupId);
  if (command.generation !== group.generation) {
    throw fenced(
      `group ${group.groupId} is at generation ${group.generation}, not ${command.generation}; join again`,
    );
  }
  const member = group.members.find((candidate) => candidate.memberId === command.memberId);
  if (member === undefined) {
    throw fenced(`${command.memberId} is not a member of group ${group.groupId}; join again`);
  }
  for (const { source } of command.positions) checkId('source', source);
  const owned = new Set(member.partitions);
  const refused: RefusedItem[] = [];
  for (const [index, item] of command.positions.entries()) {
    const code = owned.has(item.partition) ? commitOne(context, group, item) : 'ETL_FENCED';
    if (code === undefined) continue;
    const held = context.tables.groupPositions.get(positionKey(group, item))?.position?.position;
    refused.push(
      create(RefusedItemSchema, {
        index,
        code,
        epoch: group.generation,
        ...(held && { position: held }),
      }),
    );
  }
  return { case: 'commit', value: create(CommitResultSchema, { refused }) };
}

export function dropGroup(context: Context, command: DropGroup): Outcome {
  const { groups, groupPositions } = context.tables;
  const group = existingGroup(context, command.groupId);
  if (group.members.length > 0) {
    throw conflict(
      `group ${group.groupId} has ${group.members.length} members; they must leave first`,
    );
  }
  groups.delete(group.groupId);
  for (const key of groupPositions.group(group.groupId)) groupPositions.delete(key);
  context.revise();
  return done;
}

function commitOne(
  context: Context,
  group: StoredGroup,
  item: SourcePosition,
): 'ETL_INVALID_ARGUMENT' | 'ETL_CONFLICT' | undefined {
  const { groupPositions } = context.tables;
  if (!isPosition(item.position)) return 'ETL_INVALID_ARGUMENT';
  const key = positionKey(group, item);
  const before = groupPositions.get(key)?.position;
  if (before === undefined) {
    checkRoom('group positions', groupPositions.size, maxRows.groupPositions);
  } else {
    const order = comparePositions(item.position, before.position);
    if (order < 0) return 'ETL_CONFLICT';
    if (order === 0) return undefined;
  }
  groupPositions.put(
    key,
    create(StoredGroupPositionSchema, {
      groupId: group.groupId,
      position: item,
      committedAtNs: context.nowNs,
    }),
  );
  return undefined;
}

/** Stores the group with its partitions divided anew, under a new generation. */
function rebalance(context: Context, group: StoredGroup): StoredGroup {
  const joinedAtNs = new Map(group.members.map((member) => [member.memberId, member.joinedAtNs]));
  const members: StoredMember[] = dividePartitions(group.partitions, group.members).map((share) =>
    create(StoredMemberSchema, {
      memberId: share.memberId,
      partitions: [...share.partitions],
      joinedAtNs: joinedAtNs.get(share.memberId) ?? 0n,
    }),
  );
  const after: StoredGroup = { ...group, members, generation: context.revise() };
  context.tables.groups.put(group.groupId, after);
  return after;
}

function existingGroup(context: Context, groupId: string): StoredGroup {
  const group = context.tables.groups.get(groupId);
  if (group === undefined) throw notFound('group', groupId);
  return group;
}

function groupOrNew(context: Context, groupId: string): StoredGroup {
  const { groups } = context.tables;
  const group = groups.get(groupId);
  if (group !== undefined) return group;
  checkRoom('groups', groups.size, maxRows.groups);
  return create(StoredGroupSchema, { groupId });
}

function positionKey(group: StoredGroup, item: SourcePosition): string {
  return joinKey(group.groupId, item.source, item.partition);
}

function fenced(message: string): EtlError {
  return new EtlError('ETL_FENCED', message);
}

function groupResult(group: StoredGroup, memberId: string): Outcome {
  const member = group.members.find((candidate) => candidate.memberId === memberId);
  return {
    case: 'group',
    value: create(GroupResultSchema, {
      generation: group.generation,
      partitions: member?.partitions ?? [],
    }),
  };
}
