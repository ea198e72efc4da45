// A source of user code: an async generator for each partition, served as etl.source.v1. Credit, batches, idleness and the
// end are seen to here (partition-stream.ts): a generator is asked for no more than the sidecar has room for.

import { EtlError, type Lane, toEtlError } from '@etl-router/core';
import { fromSourceCapabilities, toCount, toLane, toPosition } from '@etl-router/proto';
import {
  addService,
  type Implementation,
  type RawService,
  rawService,
} from '@etl-router/proto/grpc';
import { ServiceType } from '@etl-router/proto/registry';
import { SourceService } from '@etl-router/proto/source';
import { type Stage, toStage } from './context.ts';
import { OpenLanes } from './lanes.ts';
import { pullRecords } from './partition-stream.ts';
import { Position, type PositionValue } from './position.ts';
import type { RecordChange } from './record.ts';
import {
  configInvalid,
  type RunningService,
  readCount,
  readRecordTypes,
  type ServeOptions,
  type ServerParts,
  serve,
} from './server.ts';

/** What to read. */
export interface ReadContext extends Stage {
  readonly partition: string;
  /** Read what follows this position; undefined: from the beginning. */
  readonly after: Position | undefined;
  /** Aborts when nobody reads any more: whatever the generator waits for must heed it. */
  readonly signal: AbortSignal;
}

/** A record that a source gives: its position, and the payload as `json`, `text` or `payload`. */
export interface SourceRecord extends RecordChange {
  /** Greater than that of the record before it; the same at every reading. */
  readonly position: PositionValue;
  /** The payload as a JSON value; bigints become exact integers. */
  readonly json?: unknown;
  /** The payload as text. */
  readonly text?: string;
}

/** A source to serve. */
export interface SourceOptions extends ServeOptions {
  /**
   * Gives the records of a partition in the order of their positions. When it returns, a bounded source is at its end;
   * another is asked again after `pollIntervalMs` for what follows. What it throws is tried again with backoff, unless it
   * is an EtlError that says otherwise.
   */
  readonly read: (context: ReadContext) => AsyncIterable<SourceRecord>;
  /** The partitions there are now, by name: at most 10,000 of 1 to 1,024 bytes. Default: one, `all`. */
  readonly partitions?: (stage: Stage) => readonly string[] | Promise<readonly string[]>;
  /** What the source promises. A pipeline's guarantee is computed from it. */
  readonly capabilities?: {
    /** It can be read again from any position it gave out. Default true. */
    readonly replayable?: boolean;
    /** `partition`: a replay gives the same records in the same order. Default `partition`. */
    readonly ordered?: 'none' | 'partition';
    /** It ends when all was read. Default false. */
    readonly bounded?: boolean;
  };
  /** Everything up to a position is stored by every sink: it will not be asked for again. */
  readonly acknowledge?: (
    context: Stage & { readonly partition: string; readonly position: Position },
  ) => void | Promise<void>;
  /** Milliseconds until a generator that returned is asked again, 10 to 3,600,000; not bounded sources only. Default 1,000. */
  readonly pollIntervalMs?: number;
  /** Record types it gives, for people. */
  readonly recordTypes?: readonly string[];
}

type Service = RawService<typeof SourceService>;

/** What is kept of a lane: how to end its stream. */
interface OpenStream {
  readonly end: AbortController;
}

const partitionsMax = 10_000;
const partitionNameMaxBytes = 1024;

/** Serves a source. Rejects with ETL_CONFIG_INVALID or ETL_PORT_IN_USE. */
export async function serveSource(options: SourceOptions): Promise<RunningService> {
  const { name } = options;
  if (typeof options.read !== 'function') throw configInvalid(name, 'read', 'needs a function');
  const recordTypes = readRecordTypes(name, options.recordTypes);
  const pollIntervalMs = readCount(name, 'pollIntervalMs', options.pollIntervalMs, {
    least: 10,
    most: 3_600_000,
    fallback: 1000,
  });
  const service = rawService(SourceService);
  return serve(options, {
    service: SourceService,
    type: ServiceType.SOURCE,
    recordTypes,
    add: (server, parts) => {
      const handlers = sourceHandlers(options, pollIntervalMs, parts);
      addService(server, service, handlers, { onDefect: parts.onDefect });
    },
  });
}

function sourceHandlers(
  options: SourceOptions,
  pollIntervalMs: number,
  { clock, stopping }: ServerParts,
): Implementation<Service> {
  const lanes = new OpenLanes<OpenStream>();
  const { replayable = true, ordered = 'partition', bounded = false } = options.capabilities ?? {};
  return {
    getCapabilities: () => ({
      ...fromSourceCapabilities({ replayable, ordered, bounded }),
      recordTypes: [...(options.recordTypes ?? [])],
    }),
    listPartitions: async ({ stage }) => {
      const names = await listPartitions(options, toStage(stage));
      return { partitions: names.map((name) => ({ name })) };
    },
    pullRecords: (requests, { signal }) =>
      pullRecords(requests, {
        clock,
        bounded,
        pollIntervalMs,
        read: options.read,
        caller: signal,
        takeOver: (stage, lane, epoch) =>
          AbortSignal.any([stopping, takeOver(lanes, stage, lane, epoch)]),
      }),
    acknowledge: async ({ stage: message, lane: laneMessage, epoch, position: bytes }) => {
      const stage = toStage(message);
      const lane = toLane(laneMessage as never, 'lane');
      lanes.get(stage, lane, toCount(epoch, 'epoch'));
      const position = toPosition(bytes, 'position');
      if (position === undefined) {
        throw new EtlError('ETL_INVALID_ARGUMENT', 'position is missing', {
          details: { field: 'position' },
        });
      }
      try {
        const { partition } = lane;
        await options.acknowledge?.({ ...stage, partition, position: new Position(position) });
      } catch (error) {
        throw toEtlError(error, 'ETL_CONNECTOR_FAILED');
      }
      return {};
    },
  };
}

/** Ends whoever reads the lane, and gives the signal that will end the one who reads it now. */
function takeOver(
  lanes: OpenLanes<OpenStream>,
  stage: Stage,
  lane: Lane,
  epoch: number,
): AbortSignal {
  const { end } = lanes.open(stage, lane, epoch, (before) => {
    before?.end.abort(
      new EtlError(
        'ETL_FENCED',
        `partition ${lane.partition} is read by another under epoch ${epoch}`,
      ),
    );
    return { end: new AbortController() };
  });
  return end.signal;
}

async function listPartitions(options: SourceOptions, stage: Stage): Promise<readonly string[]> {
  if (options.partitions === undefined) return ['all'];
  let names: readonly string[];
  try {
    names = await options.partitions(stage);
  } catch (error) {
    throw toEtlError(error, 'ETL_CONNECTOR_FAILED');
  }
  const isFine = (name: string): boolean =>
    typeof name === 'string' && name !== '' && Buffer.byteLength(name) <= partitionNameMaxBytes;
  if (names.length <= partitionsMax && names.every(isFine) && new Set(names).size === names.length)
    return names;
  throw new EtlError(
    'ETL_CONNECTOR_FAILED',
    `service ${options.name}: partitions need different names of 1 to ${partitionNameMaxBytes} bytes, at most ${partitionsMax}`,
    { retryable: false },
  );
}
