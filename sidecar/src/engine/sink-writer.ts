// Writes one lane to one sink: opens the lane under its epoch, leaves out what the sink holds already, and asks again
// what it holds whenever the outcome of a write is not known. One write at a time.

import {
  type BatchPreference,
  EtlError,
  isEtlError,
  type Lane,
  type RecordBatch,
  type Sink,
  sleep,
  toEtlError,
  type WriteResult,
} from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import { Attempts, type CallResult } from './attempts.ts';
import { countUpTo } from './batches.ts';
import type { Consumer } from './branch.ts';
import type { RunContext, StageHealth } from './context.ts';
import type { StageCounters } from './counters.ts';
import { type Buried, leaveOutBuried, Undertaker } from './letters.ts';
import { backoffMs, classify } from './retry.ts';
import type { SinkSlot } from './sink-slot.ts';
import { Wake } from './wake.ts';

/** How long a write may take. Stages behind gRPC have shorter deadlines of their own. */
const writeTimeoutMs = 120_000;

/** Batches for a sink that could not be asked yet. */
const untilOpen: BatchPreference = { maxRecords: 1000, maxBytes: 1024 * 1024, maxWaitMs: 100 };

export interface LaneTerm {
  readonly lane: Lane;
  readonly epoch: number;
  readonly signal: AbortSignal;
  readonly buried: Buried;
}

export class SinkWriter implements Consumer {
  readonly #context: RunContext;
  readonly #stage: Stage;
  readonly #slot: SinkSlot;
  readonly #term: LaneTerm;
  readonly #counters: StageCounters;
  readonly #health: StageHealth;
  readonly #attempts: Attempts;
  #held: Uint8Array | undefined;
  #isOpen = false;
  #givesUp = false;
  readonly #gaveUp = new Wake();
  /** Set when a write never answered: writes of a lane must not overlap, so the lane ends. */
  #hangs: EtlError | undefined;

  constructor(
    context: RunContext,
    target: { readonly stage: Stage; readonly slot: SinkSlot },
    term: LaneTerm,
  ) {
    this.#context = context;
    this.#stage = target.stage;
    this.#slot = target.slot;
    this.#term = term;
    this.#counters = context.counters.stage(target.stage.name);
    this.#health = context.health(target.stage.name);
    const isTransactional = (): boolean => this.#isTransactional;
    const callee = {
      stage: target.stage.name,
      kind: target.stage.kind,
      get transactional() {
        return isTransactional();
      },
      repeats: context.pipeline.delivery.require !== 'atMostOnce',
      givesUp: () => this.#givesUp,
      call: (batch: RecordBatch) => this.#call(batch),
      remaining: (batch: RecordBatch) => this.#remaining(batch),
    };
    this.#attempts = new Attempts(context, callee, {
      undertaker: new Undertaker(context, target.stage, term.signal),
      signal: term.signal,
    });
  }

  /** How large a batch to collect: the stage's own bounds before the sink's. */
  get preference(): BatchPreference {
    const { maxRecords, maxBytes, maxWaitMs } = this.#stage.batch;
    const wish = this.#slot.sink?.batch ?? untilOpen;
    return {
      maxRecords: maxRecords ?? wish.maxRecords,
      maxBytes: maxBytes ?? wish.maxBytes,
      maxWaitMs: maxWaitMs ?? wish.maxWaitMs,
    };
  }

  /** What the sink does not take from here on is dead-lettered, until it takes something. */
  giveUp(): void {
    this.#givesUp = true;
    this.#gaveUp.wake();
  }

  unheld(batch: RecordBatch): {
    readonly isKnown: boolean;
    readonly left: RecordBatch | undefined;
  } {
    if (this.#mayBuryUnasked) return { isKnown: true, left: batch };
    return this.#isOpen
      ? { isKnown: true, left: this.#leaveOutHeld(batch) }
      : { isKnown: false, left: undefined };
  }

  /** Resolves when every record is stored, dead-lettered durably, or given up as at-most-once delivery says. */
  async consume(batch: RecordBatch): Promise<void> {
    this.#counters.recordsIn += batch.count;
    this.#counters.bytesIn += batch.byteLength;
    if (!this.#isOpen) {
      const failure = await this.#open();
      if (failure !== undefined)
        return void (await this.#attempts.recover(batch, { error: failure }));
    }
    const fresh = leaveOutBuried(batch, this.#term.buried.get(this.#stage.name));
    if (fresh !== batch) this.#counters.duplicatesSuppressed += batch.count - (fresh?.count ?? 0);
    const left = fresh === undefined ? undefined : this.#leaveOutHeld(fresh);
    if (left === undefined) return;
    try {
      const result = await this.#call(left);
      if (result.failures.length > 0) await this.#attempts.recover(left, { result });
    } catch (error) {
      this.#term.signal.throwIfAborted();
      if (this.#hangs !== undefined) throw this.#hangs;
      await this.#attempts.recover(left, { error });
    }
  }

  async #call(batch: RecordBatch): Promise<CallResult> {
    const { failpoints, clock } = this.#context;
    failpoints.hit('sink.write.before');
    const startedMs = clock.monotonicMs();
    const { failures } = await this.#withinDeadline(
      (await this.#slot.opened).write(batch, this.#term.signal),
    );
    this.#counters.busyMs += clock.monotonicMs() - startedMs;
    failpoints.hit('sink.write.after');
    const isNothingStored =
      failures.length >= batch.count || (failures.length > 0 && this.#isTransactional);
    if (!isNothingStored) {
      this.#health.successes++;
      this.#givesUp = false;
      this.#counters.recordsOut += batch.count - failures.length;
      this.#counters.bytesOut += batch.byteLength;
    }
    return { output: undefined, failures };
  }

  /** A write that does not answer ends the lane: under the next epoch it can not take effect any more. */
  #withinDeadline(writing: Promise<WriteResult>): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      const cancel = this.#context.clock.after(writeTimeoutMs, () => {
        const seconds = writeTimeoutMs / 1000;
        const message = `sink ${this.#stage.name} did not answer a write for ${seconds} s`;
        this.#hangs = new EtlError('ETL_TIMEOUT', message);
        reject(this.#hangs);
      });
      writing.then(resolve, reject).finally(cancel);
    });
  }

  /** Asks the sink what it holds, because the outcome of a write is unknown or nothing was written yet. */
  async #remaining(batch: RecordBatch): Promise<RecordBatch | undefined> {
    const failure = await this.#open();
    if (failure !== undefined) return batch;
    const left = this.#leaveOutHeld(batch);
    const stored = batch.count - (left?.count ?? 0);
    if (stored > 0) {
      this.#counters.recordsOut += stored;
      this.#counters.duplicatesSuppressed -= stored;
    }
    return left;
  }

  /** Opens the lane. Returns why it is not open when the edge overflows and nothing needs to be asked first. */
  async #open(): Promise<EtlError | undefined> {
    if (this.#hangs !== undefined) throw this.#hangs;
    const { clock, random, pipeline, counters, failpoints } = this.#context;
    const { lane, epoch, signal } = this.#term;
    const sink = await this.#reach(signal);
    if (isEtlError(sink)) return sink;
    for (let failures = 1; ; failures++) {
      signal.throwIfAborted();
      try {
        const { position } = await sink.openLane(lane, epoch);
        this.#held = position;
        this.#isOpen = true;
        if (failures > 1) counters.setFault(this.#stage.name, undefined);
        failpoints.hit('lane.open.after');
        return undefined;
      } catch (error) {
        const failure = toEtlError(error);
        if (classify(failure) === 'fenced') throw failure;
        counters.setFault(this.#stage.name, failure);
        if (this.#givesUp && this.#mayBuryUnasked) return failure;
        await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), signal);
      }
    }
  }

  /** The sink, once it is there; or the fault that it is waited for, once the edge overflows. */
  async #reach(signal: AbortSignal): Promise<Sink | EtlError> {
    for (;;) {
      signal.throwIfAborted();
      const { sink } = this.#slot;
      if (sink !== undefined) return sink;
      if (this.#givesUp && this.#mayBuryUnasked) {
        const { fault } = this.#counters;
        return new EtlError('ETL_UNAVAILABLE', fault?.message ?? 'the sink is not open yet');
      }
      await unlessAborted(Promise.race([this.#slot.opened, this.#gaveUp.wait()]), signal);
    }
  }

  /**
   * Whether what the sink may hold already can be dead-lettered without asking it. One that keeps no positions can not
   * say; one that was never reached may, and only exactly-once delivery is worth a lane that stands still until it does.
   */
  get #mayBuryUnasked(): boolean {
    const { sink } = this.#slot;
    if (sink === undefined) return this.#context.pipeline.delivery.require !== 'exactlyOnce';
    return !sink.capabilities.transactionalPosition;
  }

  get #isTransactional(): boolean {
    return this.#slot.sink?.capabilities.transactionalPosition === true;
  }

  /** What is after the position that the sink holds; undefined when nothing is. */
  #leaveOutHeld(batch: RecordBatch): RecordBatch | undefined {
    if (this.#held === undefined) return batch;
    const held = countUpTo(batch, this.#held);
    if (held === 0) return batch;
    this.#counters.duplicatesSuppressed += held;
    return held === batch.count ? undefined : batch.slice(held, batch.count);
  }
}

/** The value, unless the lane ends first. */
function unlessAborted<Value>(value: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    value.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
