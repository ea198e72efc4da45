// What a source, a transform and a sink are to the engine. Built-in connectors implement these interfaces; user
// code implements the gRPC services of proto/ with the same meaning, and sidecar/src/stage/grpc adapts them.

import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import type { Random } from './random.ts';
import type { RecordBatch } from './record/batch.ts';
import type { Lane } from './record/record.ts';

/** What a source can promise; folded into the pipeline's guarantee (pipeline/src/guarantee.ts). */
export interface SourceCapabilities {
  /** Reads again from any position it gave out, as long as the outside keeps the data. */
  readonly replayable: boolean;
  /** `partition`: positions within a lane ascend and a replay gives the same records in the same order. */
  readonly ordered: 'none' | 'partition';
  /** Ends by itself when all input was read. */
  readonly bounded: boolean;
}

/** What a transform can promise. */
export interface TransformCapabilities {
  /** Same input, same output: no clock, randomness or outside state. */
  readonly deterministic: boolean;
}

/** What a sink can promise. */
export interface SinkCapabilities {
  /** {@link Sink.write} resolves only when the records would survive a crash of process and machine. */
  readonly durable: boolean;
  /** A record with an id it holds already replaces it or is left out. */
  readonly idempotentByKey: boolean;
  /** Stores the lane's position and epoch in the same transaction as the records, and checks both. */
  readonly transactionalPosition: boolean;
}

/** What a stage gets when it opens. */
export interface StageContext {
  /** `namespace/name`. */
  readonly pipeline: string;
  readonly stage: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Relative paths of the stage's configuration start here. */
  readonly baseDirectory: string;
}

/** One ordered sequence of records that a source offers. */
export interface SourcePartition {
  /** 1 to 1,024 bytes; stable over restarts. */
  readonly name: string;
}

export interface OpenPartitionRequest {
  readonly lane: Lane;
  readonly epoch: number;
  /** Read what follows this position; undefined: from the beginning. */
  readonly after: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

/** Reads records. Calls never overlap, except {@link Source.close}. */
export interface Source {
  readonly capabilities: SourceCapabilities;
  open(context: StageContext): Promise<void>;
  /** The partitions that exist now, in no order. Unbounded sources are asked again every few seconds. */
  partitions(signal: AbortSignal): Promise<readonly SourcePartition[]>;
  /** Opens one partition. Throws ETL_INVALID_ARGUMENT for a position it never gave out. */
  openPartition(request: OpenPartitionRequest): Promise<PartitionReader>;
  close(): Promise<void>;
}

export interface ReadRequest {
  /** Return at most this many records; at least 1. */
  readonly maxRecords: number;
  /** Stop before this many bytes, but always return one record if there is one. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** `idle`: nothing now, ask again later. `end`: nothing ever again; only bounded sources say it. */
export type ReadResult =
  | { readonly kind: 'batch'; readonly batch: RecordBatch }
  | { readonly kind: 'idle' }
  | { readonly kind: 'end' };

/** Reads one lane in order. Calls of {@link next} never overlap; the others may come at any time. */
export interface PartitionReader {
  /** The next records, in position order and after all that came before. The engine sets sequences and epoch. */
  next(request: ReadRequest): Promise<ReadResult>;
  /** All records up to and including `position` are resolved at every branch and the fact is durable. */
  acknowledge(position: Uint8Array): Promise<void>;
  /** How much is left to read, where it is known. */
  lag(): { readonly records?: number; readonly bytes?: number };
  close(): Promise<void>;
}

/** One record that a stage could not take. */
export interface RecordFailure {
  /** Index into the batch that was given. */
  readonly index: number;
  /** Upper-case word that groups failures of one cause, such as `NOT_A_NUMBER`. */
  readonly code: string;
  /** For people: what is wrong and where; never the payload. */
  readonly message: string;
  /** True when the same record may pass later. */
  readonly retryable: boolean;
}

export interface TransformResult {
  /**
   * What goes on: each output keeps the sequence and position of the input it was made of, in the same order.
   * Inputs in neither `batch` nor `failures` were filtered out.
   */
  readonly batch: RecordBatch;
  readonly failures: readonly RecordFailure[];
}

/** Turns records into records, within a lane and without memory of earlier ones. */
export interface Transform {
  readonly capabilities: TransformCapabilities;
  open(context: StageContext): Promise<void>;
  /** Throws an EtlError when the whole batch failed; retryable ones are tried again. */
  process(batch: RecordBatch, signal: AbortSignal): TransformResult | Promise<TransformResult>;
  close(): Promise<void>;
}

/** What a sink already holds of a lane. */
export interface SinkLaneState {
  /** Last position stored with its data; undefined where the sink stores none or none yet. */
  readonly position: Uint8Array | undefined;
}

export interface WriteResult {
  /**
   * Records that are not stored; all others are, durably if the sink is durable. With transactionalPosition one
   * failure means that nothing of the call is stored: the failed ones are dead-lettered first and the others written
   * again, since a crash in between would leave the failed ones behind a position that says they were dealt with.
   */
  readonly failures: readonly RecordFailure[];
}

/** How large a batch a sink likes; the engine collects to the first bound that is reached. */
export interface BatchPreference {
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
}

/** Stores records. Writes of one lane never overlap; writes of several lanes may. */
export interface Sink {
  readonly capabilities: SinkCapabilities;
  readonly batch: BatchPreference;
  open(context: StageContext): Promise<void>;
  /**
   * Takes over a lane: raises the stored epoch, so that a holder of a lower one is refused with ETL_FENCED, and
   * says what the sink holds. Called before the first write of a lane and after each reassignment.
   */
  openLane(lane: Lane, epoch: number): Promise<SinkLaneState>;
  /**
   * Stores the records, all of one lane, in order. Records of one position are never spread over two calls. With
   * transactionalPosition, the whole call and its last position take effect together or not at all: a call that
   * reports failures stored nothing, and is repeated without those that are dead-lettered by then.
   * Throws an EtlError when nothing of it is stored, or when that is unknown: then openLane is called again.
   */
  write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult>;
  /** Every lane ended and all of it is stored: publish what waited for the end, such as a table's replacement. */
  complete(): Promise<void>;
  close(): Promise<void>;
}
