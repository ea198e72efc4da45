// A sink of user code: one function that stores a batch, served as etl.sink.v1. What is kept here is only who may write a
// lane and that writes of a lane never overlap; whether records are stored is the function's word alone.

import {
  type BatchPreference,
  EtlError,
  type Lane,
  RecordBatch,
  toEtlError,
} from '@etl-router/core';
import { fromRecordFailure, toCount, toLane } from '@etl-router/proto';
import {
  addService,
  defaultMaxMessageBytes,
  type Implementation,
  type Raw,
  type RawService,
  rawService,
} from '@etl-router/proto/grpc';
import { ServiceType } from '@etl-router/proto/registry';
import { SinkService, type WriteStreamRequest } from '@etl-router/proto/sink';
import { type Stage, toStage } from './context.ts';
import { OpenLanes } from './lanes.ts';
import { fail } from './outcome.ts';
import { Position, type PositionValue, toPositionBytes } from './position.ts';
import { type EtlRecord, recordsOf } from './record.ts';
import {
  configInvalid,
  type RunningService,
  readCount,
  readRecordTypes,
  type ServeOptions,
  serve,
} from './server.ts';

/** The lane a call is about, and by which right. */
export interface LaneContext extends Stage {
  readonly lane: Lane;
  /** Fencing number: who has a lower one for the lane lost it. */
  readonly epoch: number;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** What a write is told beside its records. */
export interface WriteContext extends LaneContext {
  /** Position of the last record: what a transactional sink stores with the records. */
  readonly position: Position;
}

/** A record that is not stored. */
export interface WriteFailure {
  /** Index into the records of the write. */
  readonly index: number;
  /** Upper-case word that groups failures of one cause, such as `DUPLICATE_KEY`. */
  readonly code: string;
  /** For people; never the payload. */
  readonly message: string;
  /** True when the same record may be stored later. Default false. */
  readonly retryable?: boolean;
}

/** A sink to serve. */
export interface SinkOptions extends ServeOptions {
  /**
   * Stores all records, in order; gives those that it could not. When it throws, nothing of the batch is stored or that
   * is unknown: the lane is opened again and the batch comes again. An error that is no EtlError counts as one of the
   * system behind the sink and is tried again with backoff.
   */
  readonly write: (
    records: readonly EtlRecord[],
    context: WriteContext,
  ) => void | readonly WriteFailure[] | Promise<void | readonly WriteFailure[]>;
  /** What the sink promises; each false unless it is said. A pipeline's guarantee is computed from it. */
  readonly capabilities?: {
    /** What was written would survive a crash of process and machine. */
    readonly durable?: boolean;
    /** A record with an `id` it holds already replaces that one or is left out. */
    readonly idempotentByKey?: boolean;
    /** Position and epoch of the lane are stored in the same transaction as the records; needs `openLane`. */
    readonly transactionalPosition?: boolean;
  };
  /** Takes over a lane: gives the last position it stored. Default: it stores none. */
  readonly openLane?: (
    context: LaneContext,
  ) => PositionValue | undefined | Promise<PositionValue | undefined>;
  /** Makes durable whatever was written. Default: nothing is to be done. */
  readonly flush?: (stage: Stage) => void | Promise<void>;
  /** All of a bounded pipeline is stored: publishes what waited for the end. May be called again. */
  readonly complete?: (stage: Stage) => void | Promise<void>;
  /** The batches it likes; collected to the first bound. Default: 1,000 records, 1 MiB, 50 ms. */
  readonly batch?: Partial<BatchPreference>;
  /** Record types it takes; others fail without being sent. Default: all. */
  readonly recordTypes?: readonly string[];
}

type Service = RawService<typeof SinkService>;

const usualBatch: BatchPreference = { maxRecords: 1000, maxBytes: 1024 * 1024, maxWaitMs: 50 };

/** Serves a sink. Rejects with ETL_CONFIG_INVALID or ETL_PORT_IN_USE. */
export async function serveSink(options: SinkOptions): Promise<RunningService> {
  checkOptions(options);
  const recordTypes = readRecordTypes(options.name, options.recordTypes);
  const service = rawService(SinkService);
  const handlers = sinkHandlers(options, new SinkLanes(options), recordTypes);
  return serve(options, {
    service: SinkService,
    type: ServiceType.SINK,
    recordTypes,
    add: (server, { onDefect }) => addService(server, service, handlers, { onDefect }),
  });
}

function checkOptions({ name, write, openLane, capabilities = {}, batch }: SinkOptions): void {
  if (typeof write !== 'function') throw configInvalid(name, 'write', 'needs a function');
  if (capabilities.transactionalPosition === true && openLane === undefined) {
    throw configInvalid(
      name,
      'openLane',
      'is needed with transactionalPosition: it gives the position that is stored',
    );
  }
  const bounds = { least: 1, fallback: 1 };
  readCount(name, 'batch.maxRecords', batch?.maxRecords, { ...bounds, most: 1_000_000 });
  readCount(name, 'batch.maxBytes', batch?.maxBytes, { ...bounds, most: 16 * 1024 * 1024 });
  readCount(name, 'batch.maxWaitMs', batch?.maxWaitMs, { least: 0, most: 60_000, fallback: 0 });
}

function sinkHandlers(
  options: SinkOptions,
  lanes: SinkLanes,
  recordTypes: readonly string[],
): Implementation<Service> {
  const { capabilities = {}, batch } = options;
  return {
    getCapabilities: () => ({
      durable: capabilities.durable ?? false,
      idempotentByKey: capabilities.idempotentByKey ?? false,
      transactionalPosition: capabilities.transactionalPosition ?? false,
      supportsStream: true,
      maxMessageBytes: defaultMaxMessageBytes,
      recordTypes: [...recordTypes],
      ...(batch === undefined ? {} : { batch: { ...usualBatch, ...batch } }),
    }),
    openLane: async ({ stage, lane, epoch }, { signal }) => {
      const position = await lanes.open({
        ...toStage(stage),
        lane: toLane(lane as never, 'lane'),
        epoch: toCount(epoch, 'epoch'),
        signal,
      });
      return { position: position ?? new Uint8Array() };
    },
    writeBatch: async ({ stage, batch: bytes }, { signal }) => ({
      failures: await lanes.write(toStage(stage), RecordBatch.decode(bytes), signal),
    }),
    writeStream: (requests, { signal }) => writeStream(lanes, requests, signal),
    flush: async ({ stage }) => {
      await behindSink(() => options.flush?.(toStage(stage)));
      return {};
    },
    complete: async ({ stage }) => {
      await behindSink(() => options.complete?.(toStage(stage)));
      return {};
    },
    getCapacity: () => ({ queuedRecords: BigInt(lanes.queuedRecords) }),
  };
}

type Failures = ReturnType<typeof fromRecordFailure>[];

async function* writeStream(
  lanes: SinkLanes,
  requests: AsyncIterable<Raw<WriteStreamRequest>>,
  signal: AbortSignal,
): AsyncGenerator<{ batchNumber: bigint; failures: Failures }, void, void> {
  let stage: Stage | undefined;
  let expected = 1n;
  for await (const { batchNumber, request } of requests) {
    if (request.case === 'open' && stage === undefined) {
      stage = toStage(request.value);
      continue;
    }
    if (request.case !== 'batch' || stage === undefined || batchNumber !== expected) {
      throw new EtlError(
        'ETL_CONFLICT',
        `the stream needs \`open\` first and once, then batches numbered without gaps; ${expected} was expected`,
      );
    }
    const batch = RecordBatch.decode(request.value as unknown as Uint8Array);
    yield { batchNumber, failures: await lanes.write(stage, batch, signal) };
    expected++;
  }
}

/** The lanes of a sink: who may write them, and one call at a time for each. */
class SinkLanes {
  readonly #options: SinkOptions;
  /** The last call of each lane, settled or not; never rejected. */
  readonly #lanes = new OpenLanes<{ last: Promise<unknown> }>();
  /** Records of writes in progress or waiting. */
  queuedRecords = 0;

  constructor(options: SinkOptions) {
    this.#options = options;
  }

  open(context: LaneContext): Promise<Uint8Array | undefined> {
    const state = this.#lanes.open(
      context,
      context.lane,
      context.epoch,
      (before) => before ?? { last: Promise.resolve() },
    );
    return inTurn(state, async () => {
      const position = await behindSink(() => this.#options.openLane?.(context));
      return position === undefined ? undefined : toPositionBytes(position, 'openLane');
    });
  }

  async write(stage: Stage, batch: RecordBatch, signal: AbortSignal): Promise<Failures> {
    const lane = toLane(batch.lane as never, 'batch.lane');
    if (batch.count === 0) return [];
    const known = this.#lanes.get(stage, lane, batch.epoch);
    if (known === undefined || known.epoch < batch.epoch) {
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `the lane is not open here under epoch ${batch.epoch}: the service started again; open the lane first`,
      );
    }
    this.queuedRecords += batch.count;
    try {
      return await inTurn(known.state, async () => {
        this.#lanes.get(stage, lane, batch.epoch);
        signal.throwIfAborted();
        const position = new Position(batch.position(batch.count - 1));
        const context = { ...stage, lane, epoch: batch.epoch, position, signal };
        const failures = await behindSink(() => this.#options.write(recordsOf(batch), context));
        return toFailures(failures ?? [], batch.count);
      });
    } finally {
      this.queuedRecords -= batch.count;
    }
  }
}

/** Runs `call` when the one before it of the lane is over, however that ended. */
function inTurn<T>(state: { last: Promise<unknown> }, call: () => Promise<T>): Promise<T> {
  const run = state.last.then(call);
  state.last = run.catch(() => undefined);
  return run;
}

/** What user code throws that is no EtlError is a failure of the system behind the sink. */
async function behindSink<T>(call: () => T): Promise<Awaited<T>> {
  try {
    return await call();
  } catch (error) {
    throw toEtlError(error, 'ETL_CONNECTOR_FAILED');
  }
}

function toFailures(failures: readonly WriteFailure[], count: number): Failures {
  const seen = new Set<number>();
  return failures.map(({ index, code, message, retryable = false }) => {
    if (!Number.isInteger(index) || index < 0 || index >= count || seen.has(index)) {
      throw new EtlError(
        'ETL_CONNECTOR_FAILED',
        `write reported record ${index} of ${count} as failed; indexes go from 0 to ${count - 1}, each once`,
        { retryable: false },
      );
    }
    seen.add(index);
    return fromRecordFailure({ index, ...fail(code, message, { retryable }) });
  });
}
