// CheckpointService over positions, groups and checkpoints. Of a batch each item is judged on its own, so a malformed
// one is refused in its place and holds back no other.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { EtlError, isEtlError, type Timestamp } from '@etl-router/core';
import { fromTimestamp, toCount, toLane, toPosition, toTimestamp } from '@etl-router/proto';
import type {
  CheckpointSchema,
  CheckpointService,
  CommitGroupPositionRequest,
  CommitGroupPositionResponseSchema,
  LaneStateSchema,
  RefusedItemSchema,
  SourcePosition,
} from '@etl-router/proto/checkpoint';
import type { Implementation } from '@etl-router/proto/grpc';
import type { KeptCheckpoint, ServiceCheckpoint } from '../../server/checkpoints.ts';
import type { LaneState, RefusedItem } from '../../server/positions.ts';
import { maxCheckpointPositions, maxItemsPerBatch } from '../../state/limits.ts';
import type { GrpcContext } from './context.ts';
import {
  atMost,
  fromMs,
  optional,
  pipelineId,
  proposal,
  required,
  requiredTime,
} from './fields.ts';
import { beforeRead } from './reads.ts';

const lanesMax = 10_000;
const partitionsMax = 1000;

type RefusedMessage = MessageInitShape<typeof RefusedItemSchema>;

/** The handlers of etl.checkpoint.v1.CheckpointService. */
export function createCheckpointService(
  context: GrpcContext,
): Implementation<typeof CheckpointService> {
  const { router } = context;
  const { positions } = router;
  return {
    commitPositions: async ({ items }, { signal }) => {
      const refused = await applyEach(
        items,
        ({ lane, epoch, position, watermark }) => ({
          lane: toLane(lane, 'lane'),
          epoch: toCount(epoch, 'epoch'),
          position: required('position', toPosition(position, 'position')),
          watermark: toTimestamp(watermark, 'watermark'),
        }),
        (good) => positions.commit(good, { signal }),
      );
      return { refused, revision: BigInt(router.revision) };
    },
    getPositions: async ({ pipeline, source, partitions }, call) => {
      pipelineId('pipeline', pipeline);
      atMost('partitions', partitions.length, partitionsMax);
      await beforeRead(context, call);
      const wanted = new Set(partitions);
      const lanes = lanesOf(context, pipeline, source).filter(
        ({ lane }) => wanted.size === 0 || wanted.has(lane.partition),
      );
      return { lanes: bounded(lanes).map(fromLaneState), revision: BigInt(router.revision) };
    },
    reportWatermarks: async ({ items }, { signal }) => {
      const refused = await applyEach(
        items,
        ({ lane, epoch, watermark }) => ({
          lane: toLane(lane, 'lane'),
          epoch: toCount(epoch, 'epoch'),
          watermark: requiredTime('watermark', watermark),
        }),
        (good) => positions.advanceWatermarks(good, { signal }),
      );
      return { refused };
    },
    getWatermarks: async ({ pipeline, source }, call) => {
      pipelineId('pipeline', pipeline);
      await beforeRead(context, call);
      const lanes = bounded(lanesOf(context, pipeline, source));
      return {
        ...leastWatermark(context, pipeline, lanes),
        lanes: lanes.map(({ lane, epoch, watermark }) => ({
          lane: { ...lane },
          epoch: BigInt(epoch),
          ...(watermark && { watermark: fromTimestamp(watermark) }),
        })),
      };
    },
    ...keptMethods(context),
  };
}

function keptMethods(
  context: GrpcContext,
): Omit<
  Implementation<typeof CheckpointService>,
  'commitPositions' | 'getPositions' | 'reportWatermarks' | 'getWatermarks'
> {
  const { router } = context;
  return {
    saveCheckpoint: async ({ checkpoint, requestId }, { signal }) => {
      const said = required('checkpoint', checkpoint);
      const { createdAtMs } = await router.checkpoints.save(
        toCheckpoint(said),
        proposal(requestId, signal),
      );
      return { createdAt: fromMs(createdAtMs) };
    },
    getCheckpoint: async ({ serviceId }, call) => {
      required('service_id', serviceId);
      await beforeRead(context, call);
      const kept = router.checkpoints.get(serviceId);
      return kept === undefined ? {} : { checkpoint: fromCheckpoint(kept) };
    },
    getGroupPositions: async ({ groupId, source }, call) => {
      required('group_id', groupId);
      await beforeRead(context, call);
      const found = bounded(router.groups.positions(groupId, optional(source)));
      const generation = BigInt(router.groups.get(groupId)?.generation ?? 0);
      return { generation, positions: found.map(fromSourcePosition) };
    },
    commitGroupPosition: (request, { signal }) => commitGroup(context, request, signal),
    getPipelineCheckpoints: async ({ pipeline }, call) => {
      pipelineId('pipeline', pipeline);
      await beforeRead(context, call);
      const lanes = bounded(lanesOf(context, pipeline, ''));
      return {
        checkpoints: checkpointsOf(context, pipeline),
        lanes: lanes.map(fromLaneState),
        ...leastWatermark(context, pipeline, lanes),
      };
    },
  };
}

/** Sends the items that are well-formed and lists those that had no effect, by index. */
async function applyEach<Message, Item>(
  messages: readonly Message[],
  parse: (message: Message) => Item,
  send: (items: readonly Item[]) => Promise<readonly RefusedItem[]>,
): Promise<RefusedMessage[]> {
  atMost('items', messages.length, maxItemsPerBatch);
  const refused: RefusedMessage[] = [];
  const items: Item[] = [];
  const places: number[] = [];
  for (const [index, message] of messages.entries()) {
    const item = orInvalid(() => parse(message));
    if (item === undefined) {
      refused.push({ index, code: 'ETL_INVALID_ARGUMENT' });
    } else {
      items.push(item);
      places.push(index);
    }
  }
  if (items.length > 0) {
    for (const { index, code, currentEpoch, currentPosition } of await send(items)) {
      refused.push({
        index: places[index] as number,
        code,
        currentEpoch: BigInt(currentEpoch),
        ...(currentPosition && { currentPosition: Uint8Array.from(currentPosition) }),
      });
    }
  }
  return refused.sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
}

function orInvalid<Item>(parse: () => Item): Item | undefined {
  try {
    return parse();
  } catch (error) {
    if (isEtlError(error) && error.code === 'ETL_INVALID_ARGUMENT') return undefined;
    throw error;
  }
}

async function commitGroup(
  { router }: GrpcContext,
  request: CommitGroupPositionRequest,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof CommitGroupPositionResponseSchema>> {
  const groupId = required('group_id', request.groupId);
  const memberId = required('member_id', request.memberId);
  const generation = toCount(request.generation, 'generation');
  atMost('positions', request.positions.length, maxItemsPerBatch);
  const { positions } = request;
  const refused = await router.groups.commit(
    { groupId, memberId, generation, positions },
    { signal },
  );
  const group = router.groups.get(groupId);
  const currentEpoch = BigInt(group?.generation ?? 0);
  const held = group === undefined || refused.length === 0 ? [] : router.groups.positions(groupId);
  return {
    refused: refused.map(({ index, code }) => {
      const at = positions[index];
      const known = held.find(
        ({ source, partition }) => source === at?.source && partition === at.partition,
      );
      const currentPosition = Uint8Array.from(known?.position ?? []);
      return { index, code, currentEpoch, currentPosition };
    }),
  };
}

/** Throws ETL_NOT_FOUND where there is neither such a pipeline nor a lane of it. */
function lanesOf({ router }: GrpcContext, id: string, source: string): readonly LaneState[] {
  const lanes = router.positions.list(id, { source: optional(source) });
  if (lanes.length > 0 || router.pipelines.get(id) !== undefined) return lanes;
  throw new EtlError('ETL_NOT_FOUND', `there is no pipeline ${id}`);
}

function bounded<Item>(items: readonly Item[]): readonly Item[] {
  if (items.length <= lanesMax) return items;
  throw new EtlError(
    'ETL_LIMIT_EXCEEDED',
    `${items.length} lanes match, at most ${lanesMax} are given at once; name a source or partitions`,
    { details: { count: items.length, limit: lanesMax } },
  );
}

/** Least watermark of the lanes that have not ended; none where one of them is unknown. */
function leastWatermark(
  { router }: GrpcContext,
  id: string,
  lanes: readonly LaneState[],
): { readonly watermark?: { seconds: bigint; nanos: number } } {
  const ended = new Set(
    router.live
      .get(id)
      ?.report.lanes.filter((lane) => lane.ended)
      .map(({ source, partition }) => `${source}\u0000${partition}`),
  );
  const open = lanes.filter(({ lane }) => !ended.has(`${lane.source}\u0000${lane.partition}`));
  let least: Timestamp | undefined;
  for (const { watermark } of open) {
    if (watermark === undefined) return {};
    if (least === undefined || isBefore(watermark, least)) least = watermark;
  }
  return least === undefined ? {} : { watermark: { ...fromTimestamp(least) } };
}

function isBefore(a: Timestamp, b: Timestamp): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanos < b.nanos);
}

/** What the services behind a pipeline's stages keep, in order of their ids. */
function checkpointsOf(
  { router }: GrpcContext,
  id: string,
): MessageInitShape<typeof CheckpointSchema>[] {
  const pipeline = router.pipelines.get(id)?.pipeline;
  const names = new Set<string>();
  for (const { connector, kind, ref } of pipeline?.stages ?? []) {
    if (connector?.type !== 'grpc') continue;
    const { service } = connector.config;
    names.add(`${kind}/${typeof service === 'string' ? service : ref}`);
  }
  return router.registry
    .list({ namespace: pipeline?.namespace ?? '' })
    .filter(({ type, name }) => names.has(`${type}/${name}`))
    .flatMap(({ serviceId }) => {
      const kept = router.checkpoints.get(serviceId);
      return kept === undefined ? [] : [fromCheckpoint(kept)];
    });
}

function toCheckpoint(message: {
  readonly serviceId: string;
  readonly checkpointId: string;
  readonly data: Uint8Array;
  readonly positions: readonly SourcePosition[];
}): ServiceCheckpoint {
  const { data, positions } = message;
  atMost('checkpoint.positions', positions.length, maxCheckpointPositions);
  return {
    serviceId: required('checkpoint.service_id', message.serviceId),
    checkpointId: required('checkpoint.checkpoint_id', message.checkpointId),
    data,
    positions,
  };
}

function fromCheckpoint(kept: KeptCheckpoint): MessageInitShape<typeof CheckpointSchema> {
  const { serviceId, checkpointId, data, positions, createdAtMs } = kept;
  return {
    serviceId,
    checkpointId,
    data: Uint8Array.from(data),
    positions: positions.map(fromSourcePosition),
    createdAt: fromMs(createdAtMs),
  };
}

function fromSourcePosition(at: {
  readonly source: string;
  readonly partition: string;
  readonly position: Uint8Array;
}): { source: string; partition: string; position: Uint8Array<ArrayBuffer> } {
  const { source, partition, position } = at;
  return { source, partition, position: Uint8Array.from(position) };
}

function fromLaneState(state: LaneState): MessageInitShape<typeof LaneStateSchema> {
  const { lane, epoch, position, watermark, committedAtMs, sidecarId } = state;
  return {
    position: {
      lane: { ...lane },
      epoch: BigInt(epoch),
      ...(position && { position: Uint8Array.from(position) }),
      ...(watermark && { watermark: fromTimestamp(watermark) }),
    },
    sidecarId,
    ...(committedAtMs === undefined ? {} : { committedAt: fromMs(committedAtMs) }),
  };
}
