// Resolvers of positions: sources, consumer groups, checkpoints, watermarks. A source is named by its stage, and its
// lanes of every pipeline are shown; where several pipelines read it, a commit has to name one.

import { EtlError, type Timestamp, timestampOfMs, timestampToMs } from '@etl-router/core';
import type { GraphQLResolveInfo } from 'graphql';
import type { LaneState } from '../../../server/positions.ts';
import { answer, fromPosition, type MutationResult, toPosition } from './answers.ts';
import type { RouterContext } from './context.ts';
import { type Call, proposal } from './request.ts';

interface CommitOffsetInput {
  readonly sourceId: string;
  readonly partition: string;
  readonly offset: string;
}

/** Offsets, groups, checkpoints and watermarks with their mutations. */
export function positionResolvers(context: RouterContext): object {
  const { router } = context;
  return {
    Query: {
      sourceOffsets: (_: unknown, { sourceId }: { sourceId: string }) =>
        lanesOf(context, sourceId)
          .filter(({ position }) => position !== undefined)
          .map(({ lane, position }) => ({
            sourceId,
            partition: lane.partition,
            offset: fromPosition(position as Uint8Array),
          })),
      watermarks: (_: unknown, { sourceId }: { sourceId: string }) =>
        lanesOf(context, sourceId).map(({ lane, position, watermark }) => ({
          sourceId,
          partition: lane.partition,
          position: position === undefined ? '' : fromPosition(position),
          eventTime: watermark === undefined ? null : timestampToMs(watermark),
        })),
      groupOffsets: (
        _: unknown,
        { groupId, sourceId }: { groupId: string; sourceId?: string | null },
      ) => groupOffsets(context, groupId, sourceId ?? undefined),
      consumerGroups: () => router.groups.list().map(toGroup),
      consumerGroup: (_: unknown, { groupId }: { groupId: string }) => {
        const group = router.groups.get(groupId);
        return group === undefined ? null : toGroup(group);
      },
      serviceCheckpoint: (_: unknown, { serviceId }: { serviceId: string }) => {
        const kept = router.checkpoints.get(serviceId);
        if (kept === undefined) return null;
        return {
          serviceId,
          checkpointId: kept.checkpointId,
          createdAt: kept.createdAtMs,
          sourceOffsets: kept.positions.map(({ source, partition, position }) => ({
            sourceId: source,
            partition,
            offset: fromPosition(position),
          })),
        };
      },
    },
    Mutation: positionMutations(context),
  };
}

function positionMutations(context: RouterContext): object {
  const { router } = context;
  return {
    commitOffset: (
      _: unknown,
      { input }: { input: CommitOffsetInput },
      call: Call,
      info: GraphQLResolveInfo,
    ) =>
      answer(async () => {
        const { lane, epoch } = oneLane(context, input);
        const [refused] = await router.positions.commit(
          [{ lane, epoch, position: toPosition(input.offset) }],
          proposal(call, info),
        );
        if (refused !== undefined) {
          throw new EtlError(
            refused.code,
            `offset: ${input.offset} of ${input.sourceId}/${input.partition} is not after the committed one`,
          );
        }
        return undefined;
      }),
    commitGroupOffset: commitGroupOffset(context),
    advanceWatermark: (
      _: unknown,
      {
        input,
      }: {
        input: { sourceId: string; partition: string; position: string; eventTime?: number | null };
      },
      call: Call,
      info: GraphQLResolveInfo,
    ) =>
      answer(async () => {
        if (input.eventTime === undefined || input.eventTime === null) {
          throw new EtlError('ETL_INVALID_ARGUMENT', 'eventTime: is needed');
        }
        const { lane, epoch } = oneLane(context, input);
        const watermark: Timestamp = timestampOfMs(input.eventTime);
        const [refused] = await router.positions.advanceWatermarks(
          [{ lane, epoch, watermark }],
          proposal(call, info),
        );
        if (refused !== undefined)
          throw new EtlError(refused.code, 'eventTime: is not after the present watermark');
        return undefined;
      }),
  };
}

type CommitGroupOffsetInput = CommitOffsetInput & {
  readonly groupId: string;
  readonly generation?: bigint | null;
  readonly memberId?: string | null;
};

/** Refuses a commit that does not say who makes it, and tells when it was refused as a former member's. */
function commitGroupOffset({ router }: RouterContext) {
  return (
    _: unknown,
    { input }: { input: CommitGroupOffsetInput },
    call: Call,
    info: GraphQLResolveInfo,
  ): Promise<MutationResult> =>
    answer(async () => {
      const { groupId, generation, memberId, sourceId, partition, offset } = input;
      if (!generation || !memberId) {
        throw new EtlError(
          'ETL_INVALID_ARGUMENT',
          'generation, memberId: say who commits, so that a former member can be refused',
        );
      }
      const position = { source: sourceId, partition, position: toPosition(offset) };
      const [refused] = await router.groups.commit(
        { groupId, memberId, generation: Number(generation), positions: [position] },
        proposal(call, info),
      );
      if (refused !== undefined) {
        throw new EtlError(
          refused.code,
          `offset: ${offset} of ${sourceId}/${partition} is not after the committed one`,
        );
      }
      return undefined;
    });
}

function lanesOf({ router }: RouterContext, sourceId: string): readonly LaneState[] {
  return router.objects.list({ kind: 'EtlPipeline' }).flatMap(({ manifest }) =>
    router.positions.list(`${manifest.metadata.namespace}/${manifest.metadata.name}`, {
      source: sourceId,
    }),
  );
}

function oneLane(
  context: RouterContext,
  input: { readonly sourceId: string; readonly partition: string },
): LaneState {
  const lanes = lanesOf(context, input.sourceId).filter(
    ({ lane }) => lane.partition === input.partition,
  );
  const [lane] = lanes;
  if (lane === undefined) {
    throw new EtlError(
      'ETL_NOT_FOUND',
      `no lane ${input.sourceId}/${input.partition} was ever opened`,
    );
  }
  if (lanes.length > 1) {
    const names = lanes.map((found) => found.lane.pipeline).join(', ');
    throw new EtlError(
      'ETL_CONFLICT',
      `sourceId: ${input.sourceId} is a stage of several pipelines (${names})`,
    );
  }
  return lane;
}

function groupOffsets(
  { router }: RouterContext,
  groupId: string,
  sourceId: string | undefined,
): object[] {
  const bySource = new Map<string, { partition: string; offset: string }[]>();
  for (const { source, partition, position } of router.groups.positions(groupId, sourceId)) {
    const offsets = bySource.get(source) ?? [];
    offsets.push({ partition, offset: fromPosition(position) });
    bySource.set(source, offsets);
  }
  return Array.from(bySource, ([source, partitions]) => ({
    groupId,
    sourceId: source,
    partitions,
  }));
}

function toGroup(group: ReturnType<RouterContext['router']['groups']['list']>[number]): object {
  return {
    groupId: group.groupId,
    stageId: group.stage,
    members: group.members.map(({ memberId }) => memberId),
    generation: BigInt(group.generation),
    partitionAssignments: group.members.map(({ memberId, partitions }) => ({
      memberId,
      partitions: partitions.map(Number).filter(Number.isInteger),
    })),
  };
}
