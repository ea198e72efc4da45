// Lanes and their positions: opening, committing, resetting, listing. Large requests are sent as several commands,
// so that none of them passes the bounds of one.

import type { ErrorCode, Lane, Timestamp } from '@etl-router/core';
import type { StoredLane } from '@etl-router/proto';
import { maxItemsPerBatch, maxLanesPerOpen } from '../state/limits.ts';
import { toErrorCode } from '../state/proposal.ts';
import type { Live } from './live.ts';
import { fromCount, msOfNs, toCount } from './numbers.ts';
import type { ProblemWatch } from './problem-watch.ts';
import type { Answer, ProposeOptions, Proposer } from './proposer.ts';
import type { StateHost } from './state-host.ts';

/** A lane within a pipeline. */
export interface LaneName {
  readonly source: string;
  readonly partition: string;
}

/** Who opens lanes, and under which assignment. */
export interface OpenLanesRequest {
  /** `namespace/name` of the pipeline. */
  readonly pipelineId: string;
  readonly sidecarId: string;
  readonly planVersion: number;
  readonly lanes: readonly LaneName[];
}

/** A lane as its new holder finds it. */
export interface OpenedLane extends LaneName {
  readonly epoch: number;
  /** Read what follows it; undefined: from the beginning. */
  readonly position: Uint8Array | undefined;
  readonly watermark: Timestamp | undefined;
}

/** How far a lane is. */
export interface LanePosition {
  readonly lane: Lane;
  readonly epoch: number;
  readonly position: Uint8Array;
  readonly watermark?: Timestamp | undefined;
}

/** The watermark of a lane that has no new position. */
export type LaneWatermark = Omit<LanePosition, 'position' | 'watermark'> & {
  readonly watermark: Timestamp;
};

/** An item of a batch that had no effect. */
export interface RefusedItem {
  /** Index into the items that were given. */
  readonly index: number;
  /**
   * ETL_FENCED: another one holds the lane now. ETL_NOT_FOUND: the lane is gone, as when its pipeline was deleted.
   * ETL_CONFLICT: a position before the committed one.
   */
  readonly code: ErrorCode;
  /** Epoch that holds now; 0 where there is none. */
  readonly currentEpoch: number;
  readonly currentPosition: Uint8Array | undefined;
}

/** A lane as it is stored, and its lag as last reported. */
export interface LaneState {
  readonly lane: Lane;
  readonly epoch: number;
  readonly position: Uint8Array | undefined;
  readonly committedAtMs: number | undefined;
  readonly watermark: Timestamp | undefined;
  /** Sidecar that holds it; empty: none. */
  readonly sidecarId: string;
  readonly lagRecords: number | undefined;
  readonly lagBytes: number | undefined;
}

/** Bytes of items in one command, well below the bound of a proposal. */
const chunkMaxBytes = 512 * 1024;
/** What an item costs beside its strings and position. */
const itemOverheadBytes = 64;

/** The positions of the router. */
export class Positions {
  readonly #host: StateHost;
  readonly #proposer: Proposer;
  readonly #live: Live;
  readonly #problemWatch: ProblemWatch;

  constructor(parts: {
    readonly host: StateHost;
    readonly proposer: Proposer;
    readonly live: Live;
    readonly problemWatch: ProblemWatch;
  }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
    this.#live = parts.live;
    this.#problemWatch = parts.problemWatch;
  }

  /**
   * Raises the epochs of lanes and says where they are, in the order they were given. Throws ETL_FENCED unless the
   * sidecar holds exactly this assignment.
   */
  async openLanes(
    request: OpenLanesRequest,
    options: ProposeOptions = {},
  ): Promise<readonly OpenedLane[]> {
    const { pipelineId: pipeline, sidecarId } = request;
    const planVersion = fromCount('plan_version', request.planVersion);
    const opened: OpenedLane[] = [];
    for (const names of chunks(request.lanes, maxLanesPerOpen)) {
      const value = { pipeline, sidecarId, planVersion, lanes: names.map(toName) };
      const { lanes } = await this.#proposer.ask(
        'openLanes',
        { case: 'openLanes', value },
        options,
      );
      opened.push(...lanes.map((lane, index) => toOpened(names[index] as LaneName, lane)));
    }
    return opened;
  }

  /** Moves lanes forward, each on its own, and says which were refused. Safe to repeat. */
  async commit(
    items: readonly LanePosition[],
    options: ProposeOptions = {},
  ): Promise<readonly RefusedItem[]> {
    const refused = await this.#inChunks(items, async (chunk) => {
      const value = { items: chunk.map(toStoredItem) };
      return this.#proposer.ask('commit', { case: 'commitPositions', value }, options);
    });
    this.#problemWatch.refused(items, refused);
    return refused;
  }

  /** Moves watermarks forward, each on its own, and says which were refused. Safe to repeat. */
  async advanceWatermarks(
    items: readonly LaneWatermark[],
    options: ProposeOptions = {},
  ): Promise<readonly RefusedItem[]> {
    return this.#inChunks(items, async (chunk) => {
      const value = {
        items: chunk.map(({ lane, epoch, watermark }) => ({
          lane,
          epoch: fromCount('epoch', epoch),
          watermark: toStoredTime(watermark),
        })),
      };
      return this.#proposer.ask('commit', { case: 'advanceWatermarks', value }, options);
    });
  }

  /** Moves lanes of a pipeline that is paused or stopped, forward or back; undefined means the beginning. */
  async set(
    pipelineId: string,
    positions: readonly (LaneName & { readonly position: Uint8Array | undefined })[],
    options: ProposeOptions = {},
  ): Promise<readonly OpenedLane[]> {
    const value = {
      pipeline: pipelineId,
      positions: positions.map((at) => ({
        ...toName(at),
        position: at.position ?? new Uint8Array(),
      })),
    };
    const { lanes } = await this.#proposer.ask(
      'openLanes',
      { case: 'setPositions', value },
      options,
    );
    return lanes.map((lane, index) => toOpened(positions[index] as LaneName, lane));
  }

  /** Forgets lanes of a stopped pipeline, all of them where none is named; says how many. */
  async drop(
    pipelineId: string,
    lanes: readonly LaneName[],
    options: ProposeOptions = {},
  ): Promise<number> {
    const value = { pipeline: pipelineId, lanes: lanes.map(toName) };
    const dropped = await this.#proposer.ask('droppedLanes', { case: 'dropLanes', value }, options);
    return dropped.lanes;
  }

  /** The lanes of a pipeline, in order of source and partition. */
  list(
    pipelineId: string,
    filter: { readonly source?: string | undefined } = {},
  ): readonly LaneState[] {
    const { lanes } = this.#host.tables;
    const reports = new Map(
      this.#live
        .get(pipelineId)
        ?.report.lanes.map((report) => [`${report.source}\u0000${report.partition}`, report]),
    );
    return lanes
      .group(pipelineId)
      .map((key) => lanes.get(key) as StoredLane)
      .filter((row) => filter.source === undefined || row.source === filter.source)
      .map((row) => toLaneState(row, reports.get(`${row.source}\u0000${row.partition}`)));
  }

  async #inChunks<Item extends { readonly lane: Lane; readonly position?: Uint8Array }>(
    items: readonly Item[],
    send: (chunk: readonly Item[]) => Promise<Answer<'commit'>>,
  ): Promise<readonly RefusedItem[]> {
    const refused: RefusedItem[] = [];
    let start = 0;
    for (const chunk of chunks(items, maxItemsPerBatch, itemBytes)) {
      const answer = await send(chunk);
      for (const item of answer.refused) {
        refused.push({
          index: start + item.index,
          code: toErrorCode(item.code),
          currentEpoch: toCount(item.epoch),
          currentPosition: orUndefined(item.position),
        });
      }
      start += chunk.length;
    }
    return refused;
  }
}

function itemBytes(item: { readonly lane: Lane; readonly position?: Uint8Array }): number {
  const { pipeline, source, partition } = item.lane;
  const text = Buffer.byteLength(partition) + pipeline.length + source.length;
  return text + (item.position?.length ?? 0) + itemOverheadBytes;
}

/** Cuts a list by count and by bytes; at least one item a chunk. */
function* chunks<Item>(
  items: readonly Item[],
  maxCount: number,
  bytesOf: (item: Item) => number = () => 0,
): Generator<readonly Item[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    const cost = bytesOf(item);
    if (index > start && (index - start >= maxCount || bytes + cost > chunkMaxBytes)) {
      yield items.slice(start, index);
      start = index;
      bytes = 0;
    }
    bytes += cost;
  }
  if (start < items.length) yield items.slice(start);
}

function toName({ source, partition }: LaneName): { source: string; partition: string } {
  return { source, partition };
}

function toOpened(name: LaneName, lane: Answer<'openLanes'>['lanes'][number]): OpenedLane {
  return {
    source: name.source,
    partition: name.partition,
    epoch: toCount(lane.epoch),
    position: orUndefined(lane.position),
    watermark: fromStoredTime(lane.watermark),
  };
}

function toStoredItem({ lane, epoch, position, watermark }: LanePosition): {
  lane: Lane;
  epoch: bigint;
  position: Uint8Array;
  watermark?: { seconds: bigint; nanos: number };
} {
  return {
    lane,
    epoch: fromCount('epoch', epoch),
    position,
    ...(watermark && { watermark: toStoredTime(watermark) }),
  };
}

function toLaneState(
  row: StoredLane,
  report: { readonly lagRecords?: number | undefined; readonly lagBytes?: number | undefined } = {},
): LaneState {
  const { pipeline, source, partition } = row;
  return {
    lane: { pipeline, source, partition },
    epoch: toCount(row.epoch),
    position: orUndefined(row.position),
    committedAtMs: row.committedAtNs === 0n ? undefined : msOfNs(row.committedAtNs),
    watermark: fromStoredTime(row.watermark),
    sidecarId: row.sidecarId,
    lagRecords: report.lagRecords,
    lagBytes: report.lagBytes,
  };
}

function toStoredTime({ seconds, nanos }: Timestamp): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.trunc(seconds)), nanos };
}

function fromStoredTime(
  time: { readonly seconds: bigint; readonly nanos: number } | undefined,
): Timestamp | undefined {
  return time === undefined ? undefined : { seconds: Number(time.seconds), nanos: time.nanos };
}

function orUndefined(position: Uint8Array): Uint8Array | undefined {
  return position.length === 0 ? undefined : position;
}
