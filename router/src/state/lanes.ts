// Lanes: who may move them (epochs) and how far they are (positions, watermarks). An epoch is the revision at which
// the lane was last opened, so a lane that is dropped and made again never gets an epoch it had. Positions of a
// running pipeline only go forward, and only for the holder of the present epoch.

import { create } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { comparePositions } from '@etl-router/core';
import {
  type AdvanceWatermarks,
  type CommitPositions,
  CommitResultSchema,
  type DropLanes,
  DroppedLanesResultSchema,
  type LaneName,
  type LanePosition,
  type LaneWatermark,
  type OpenedLane,
  OpenedLaneSchema,
  type OpenLanes,
  OpenLanesResultSchema,
  type RefusedItem,
  RefusedItemSchema,
  type SetPositions,
  type SourcePosition,
  type StoredLane,
  StoredLaneSchema,
  StoredPipelineState,
} from '@etl-router/proto';
import { checkHolder } from './assignments.ts';
import { existingPipeline, laneRowKey } from './keys.ts';
import { maxItemsPerBatch, maxLanesPerOpen, maxRows } from './limits.ts';
import {
  checkCount,
  checkLabel,
  checkPartition,
  checkPosition,
  invalid,
  isPosition,
} from './names.ts';
import { checkRoom, conflict, notFound, type Outcome } from './refusal.ts';
import { joinKey } from './table.ts';
import type { Context } from './tables.ts';

const earliestSecond = -62_135_596_800n;
const latestSecond = 253_402_300_799n;

export function openLanes(context: Context, command: OpenLanes): Outcome {
  const { pipeline, sidecarId } = command;
  checkCount('lanes', command.lanes.length, maxLanesPerOpen);
  checkHolder(context, command);
  checkNames(command.lanes);
  const opened = command.lanes.map((name) => {
    const before = context.tables.lanes.get(laneRowKey(pipeline, name));
    return reopen(context, { pipeline, name, sidecarId, position: before?.position });
  });
  return openedResult(opened);
}

export function setPositions(context: Context, command: SetPositions): Outcome {
  const { pipeline, positions } = command;
  checkCount('positions', positions.length, maxItemsPerBatch);
  const { pipelineState } = existingPipeline(context, pipeline);
  if (pipelineState === StoredPipelineState.RUNNING) {
    throw conflict(
      `pipeline ${pipeline} is running; pause or stop it before its positions are set`,
      { pipeline },
    );
  }
  checkNames(positions);
  const set = positions.map((name) => {
    if (name.position.length > 0) checkPosition('position', name.position);
    return reopen(context, { pipeline, name, sidecarId: '', position: name.position });
  });
  return openedResult(set);
}

export function dropLanes(context: Context, command: DropLanes): Outcome {
  const { pipeline } = command;
  const { pipelineState } = existingPipeline(context, pipeline);
  if (pipelineState !== StoredPipelineState.STOPPED) {
    throw conflict(`pipeline ${pipeline} is not stopped; stop it before its lanes are dropped`, {
      pipeline,
    });
  }
  let lanes = 0;
  if (command.lanes.length === 0) {
    lanes = dropAllLanes(context, pipeline);
  } else {
    checkNames(command.lanes);
    for (const name of command.lanes) {
      const key = laneRowKey(pipeline, name);
      if (context.tables.lanes.get(key) === undefined) {
        throw notFound('lane', `${pipeline}/${name.source}/${name.partition}`);
      }
      context.tables.lanes.delete(key);
      lanes += 1;
    }
  }
  if (lanes > 0) context.revise();
  return { case: 'droppedLanes', value: create(DroppedLanesResultSchema, { lanes }) };
}

/** Forgets every lane of a pipeline and says how many there were. */
export function dropAllLanes(context: Context, pipeline: string): number {
  const keys = context.tables.lanes.group(pipeline);
  for (const key of keys) context.tables.lanes.delete(key);
  return keys.length;
}

export function commitPositions(context: Context, command: CommitPositions): Outcome {
  checkCount('items', command.items.length, maxItemsPerBatch);
  return batchResult(context, command.items, (item) => commitOne(context, item));
}

export function advanceWatermarks(context: Context, command: AdvanceWatermarks): Outcome {
  checkCount('items', command.items.length, maxItemsPerBatch);
  return batchResult(context, command.items, (item) => {
    const key = keyOf(item);
    const lane = context.tables.lanes.get(key);
    const refusal = checkItem(item, lane);
    if (refusal !== undefined) return refusal;
    if (item.watermark === undefined) return 'ETL_INVALID_ARGUMENT';
    if (lane !== undefined && isLater(item.watermark, lane.watermark)) {
      context.tables.lanes.put(key, { ...lane, watermark: item.watermark });
    }
    return undefined;
  });
}

function commitOne(context: Context, item: LanePosition): RefusalCode | undefined {
  const key = keyOf(item);
  const lane = context.tables.lanes.get(key);
  const refusal = checkItem(item, lane);
  if (refusal !== undefined || lane === undefined) return refusal;
  if (!isPosition(item.position)) return 'ETL_INVALID_ARGUMENT';
  const order = comparePositions(item.position, lane.position);
  if (order < 0) return 'ETL_CONFLICT';
  const later = isLater(item.watermark, lane.watermark);
  if (order === 0 && !later) return undefined;
  context.tables.lanes.put(key, {
    ...lane,
    position: item.position,
    committedAtNs: order === 0 ? lane.committedAtNs : context.nowNs,
    ...(later && { watermark: item.watermark }),
  });
  return undefined;
}

type RefusalCode = 'ETL_FENCED' | 'ETL_CONFLICT' | 'ETL_NOT_FOUND' | 'ETL_INVALID_ARGUMENT';

/** Why the holder of `item.epoch` may not move the lane; undefined when it may. */
function checkItem(
  item: LanePosition | LaneWatermark,
  lane: StoredLane | undefined,
): RefusalCode | undefined {
  if (item.watermark !== undefined && !isTimestamp(item.watermark)) return 'ETL_INVALID_ARGUMENT';
  if (lane === undefined) return item.lane === undefined ? 'ETL_INVALID_ARGUMENT' : 'ETL_NOT_FOUND';
  if (item.epoch < lane.epoch) return 'ETL_FENCED';
  return item.epoch > lane.epoch ? 'ETL_INVALID_ARGUMENT' : undefined;
}

/** Applies each item on its own and lists those that were refused. */
function batchResult<Item extends LanePosition | LaneWatermark>(
  context: Context,
  items: readonly Item[],
  apply: (item: Item) => RefusalCode | undefined,
): Outcome {
  const refused: RefusedItem[] = [];
  for (const [index, item] of items.entries()) {
    const code = apply(item);
    if (code === undefined) continue;
    const lane = context.tables.lanes.get(keyOf(item));
    refused.push(
      create(RefusedItemSchema, {
        index,
        code,
        epoch: lane?.epoch ?? 0n,
        ...(lane && { position: lane.position }),
      }),
    );
  }
  return { case: 'commit', value: create(CommitResultSchema, { refused }) };
}

/** Gives a lane the epoch of this command; a new one starts where `position` says. */
function reopen(
  context: Context,
  lane: {
    readonly pipeline: string;
    readonly name: LaneName | SourcePosition;
    readonly sidecarId: string;
    readonly position: Uint8Array | undefined;
  },
): OpenedLane {
  const { lanes } = context.tables;
  const key = laneRowKey(lane.pipeline, lane.name);
  const before = lanes.get(key);
  if (before === undefined) checkRoom('lanes', lanes.size, maxRows.lanes);
  const position = lane.position ?? before?.position ?? new Uint8Array();
  const moved = before !== undefined && comparePositions(position, before.position) !== 0;
  const after = create(StoredLaneSchema, {
    pipeline: lane.pipeline,
    source: lane.name.source,
    partition: lane.name.partition,
    epoch: context.revise(),
    position,
    committedAtNs: before?.committedAtNs ?? 0n,
    sidecarId: lane.sidecarId,
    ...(before?.watermark && !moved && { watermark: before.watermark }),
  });
  lanes.put(key, after);
  return create(OpenedLaneSchema, {
    epoch: after.epoch,
    position,
    ...(after.watermark && { watermark: after.watermark }),
  });
}

function openedResult(lanes: OpenedLane[]): Outcome {
  return { case: 'openLanes', value: create(OpenLanesResultSchema, { lanes }) };
}

/** Throws unless all are legal lanes and none is named twice. */
function checkNames(names: readonly (LaneName | SourcePosition)[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    checkLabel('source', name.source);
    checkPartition('partition', name.partition);
    const key = joinKey(name.source, name.partition);
    if (seen.has(key)) throw invalid('lanes', `${name.source}/${name.partition} occurs twice`);
    seen.add(key);
  }
}

function keyOf(item: LanePosition | LaneWatermark): string {
  return item.lane === undefined ? '' : laneRowKey(item.lane.pipeline, item.lane);
}

function isTimestamp(time: Timestamp): boolean {
  return (
    time.seconds >= earliestSecond &&
    time.seconds <= latestSecond &&
    time.nanos >= 0 &&
    time.nanos <= 999_999_999
  );
}

function isLater(time: Timestamp | undefined, than: Timestamp | undefined): time is Timestamp {
  if (time === undefined || than === undefined) return time !== undefined;
  return time.seconds > than.seconds || (time.seconds === than.seconds && time.nanos > than.nanos);
}
