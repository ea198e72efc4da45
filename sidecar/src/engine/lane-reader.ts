// Reads one partition for a lane: opens it where the lane stands, opens it again after an error, and refuses a source
// that goes back, because that would lose or double records without a word.

import {
  comparePositions,
  EtlError,
  type Lane,
  type PartitionReader,
  type RecordBatch,
  sleep,
  toEtlError,
} from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import { lastPosition } from './batches.ts';
import type { RunContext } from './context.ts';
import type { StageCounters } from './counters.ts';
import type { Grant } from './credits.ts';
import { backoffMs, classify } from './retry.ts';

/** Opens a partition behind a position. */
export type PartitionOpener = (
  after: Uint8Array | undefined,
  signal: AbortSignal,
) => Promise<PartitionReader>;

export interface LaneReaderOptions {
  readonly context: RunContext;
  readonly lane: Lane;
  /** The stage that reads; faults are noted there. */
  readonly stage: Stage;
  readonly open: PartitionOpener;
  readonly position: Uint8Array | undefined;
  /** Ends the partition's reader. */
  readonly signal: AbortSignal;
}

export class LaneReader {
  readonly #options: LaneReaderOptions;
  readonly #counters: StageCounters;
  #reader: PartitionReader | undefined;
  #position: Uint8Array | undefined;

  constructor(options: LaneReaderOptions) {
    this.#options = options;
    this.#counters = options.context.counters.stage(options.stage.name);
    this.#position = options.position;
  }

  /** Position of the last record that was read, or where reading began. */
  get position(): Uint8Array | undefined {
    return this.#position;
  }

  /**
   * Reads once, after as many attempts as that takes. Undefined: nothing now, or `signal` aborted. Throws what can
   * not be read however often it is tried, and ETL_FENCED.
   */
  async read(credit: Grant, signal: AbortSignal): Promise<RecordBatch | 'end' | undefined> {
    const { context, stage } = this.#options;
    const { counters, clock, random, pipeline } = context;
    const { maxAttempts } = pipeline.delivery.retry;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const read = await this.#readOnce(credit, signal);
        if (failures > 1) counters.setFault(stage.name, undefined);
        return read;
      } catch (error) {
        if (signal.aborted) return undefined;
        const failure = toEtlError(error, 'ETL_CONNECTOR_FAILED');
        if (classify(failure) === 'fenced') throw failure;
        counters.setFault(stage.name, failure);
        if (!failure.retryable && failures >= maxAttempts) throw failure;
        this.#counters.retried++;
        await this.close();
        const delayMs = backoffMs(pipeline.delivery.retry, failures, random);
        await sleep(clock, delayMs, signal).catch(() => {});
      }
    }
    return undefined;
  }

  /** All up to `position` is resolved and durable. */
  async acknowledge(position: Uint8Array): Promise<void> {
    await this.#reader?.acknowledge(position);
  }

  lag(): { readonly records?: number; readonly bytes?: number } {
    return this.#reader?.lag() ?? {};
  }

  /** Closes the partition; the next read opens it again. */
  async close(): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    await reader?.close().catch(() => {});
  }

  async #readOnce(credit: Grant, signal: AbortSignal): Promise<RecordBatch | 'end' | undefined> {
    const { context, open, signal: closing } = this.#options;
    const { clock, failpoints } = context;
    this.#reader ??= await open(this.#position, closing);
    const startedMs = clock.monotonicMs();
    const result = await this.#reader.next({
      maxRecords: credit.records,
      maxBytes: Math.max(1, credit.bytes),
      signal,
    });
    this.#counters.busyMs += clock.monotonicMs() - startedMs;
    if (result.kind === 'end') return 'end';
    if (result.kind === 'idle' || result.batch.count === 0) return undefined;
    failpoints.hit('source.read.after');
    this.#advance(result.batch);
    return result.batch;
  }

  #advance(batch: RecordBatch): void {
    const first = batch.position(0);
    const last = lastPosition(batch);
    const before = this.#position;
    if (
      first.length === 0 ||
      (before !== undefined && comparePositions(first, before) <= 0) ||
      comparePositions(first, last) > 0
    ) {
      const { source, partition } = this.#options.lane;
      throw new EtlError(
        'ETL_INTERNAL',
        `source ${source}, partition ${partition} gave positions that do not ascend; its connector is at fault`,
      );
    }
    this.#position = last;
  }
}
