// Runs one transform for the lanes of a run. A call that answers at once and whole costs no promise; everything else
// takes the long way through attempts.ts.

import { EtlError, type RecordBatch, type Transform, type TransformResult } from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import { Attempts, type CallResult } from './attempts.ts';
import type { RunContext, StageHealth } from './context.ts';
import type { StageCounters } from './counters.ts';
import { type Buried, leaveOutBuried, Undertaker } from './letters.ts';

/** What a lane says of itself when its records pass a transform. */
export interface Passage {
  readonly signal: AbortSignal;
  readonly buried: Buried;
}

export class TransformRunner {
  readonly #context: RunContext;
  readonly #stage: Stage;
  readonly #transform: Transform;
  readonly #counters: StageCounters;
  readonly #health: StageHealth;

  constructor(context: RunContext, stage: Stage, transform: Transform) {
    this.#context = context;
    this.#stage = stage;
    this.#transform = transform;
    this.#counters = context.counters.stage(stage.name);
    this.#health = context.health(stage.name);
  }

  /** What goes on of `batch`; undefined when nothing does. Settles when every record has its fate. */
  run(
    given: RecordBatch,
    { signal, buried }: Passage,
  ): RecordBatch | undefined | Promise<RecordBatch | undefined> {
    const counters = this.#counters;
    const batch = leaveOutBuried(given, buried.get(this.#stage.name));
    if (batch !== given) counters.duplicatesSuppressed += given.count - (batch?.count ?? 0);
    if (batch === undefined) return undefined;
    counters.recordsIn += batch.count;
    counters.bytesIn += batch.byteLength;
    const startedMs = this.#context.clock.monotonicMs();
    try {
      const result = this.#transform.process(batch, signal);
      if (result instanceof Promise) return this.#finish(batch, { result, startedMs, signal });
      counters.busyMs += this.#context.clock.monotonicMs() - startedMs;
      const output = this.#accept(batch, result);
      if (result.failures.length === 0) return this.#count(batch, output);
      return this.#recover(batch, { result: { ...result, output } }, signal);
    } catch (error) {
      return this.#recover(batch, { error }, signal);
    }
  }

  async #finish(
    batch: RecordBatch,
    call: {
      readonly result: Promise<TransformResult>;
      readonly startedMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<RecordBatch | undefined> {
    try {
      const result = await call.result;
      this.#counters.busyMs += this.#context.clock.monotonicMs() - call.startedMs;
      const output = this.#accept(batch, result);
      if (result.failures.length === 0) return this.#count(batch, output);
      return await this.#recover(batch, { result: { ...result, output } }, call.signal);
    } catch (error) {
      return await this.#recover(batch, { error }, call.signal);
    }
  }

  async #recover(
    batch: RecordBatch,
    failed: { readonly error: unknown } | { readonly result: CallResult },
    signal: AbortSignal,
  ): Promise<RecordBatch | undefined> {
    const undertaker = new Undertaker(this.#context, this.#stage, signal);
    const before = this.#counters.deadLettered;
    const callee = {
      stage: this.#stage.name,
      kind: this.#stage.kind,
      transactional: false,
      repeats: true,
      givesUp: () => false,
      call: async (part: RecordBatch): Promise<CallResult> => {
        const result = await this.#transform.process(part, signal);
        return { failures: result.failures, output: this.#accept(part, result) };
      },
      remaining: (part: RecordBatch) => Promise.resolve(part),
    };
    const attempts = new Attempts(this.#context, callee, { undertaker, signal });
    const first = 'result' in failed ? failed.result.output : undefined;
    const output = await attempts.recover(batch, failed, first);
    return this.#count(batch, output, this.#counters.deadLettered - before);
  }

  /** Checks what a transform gave, and that it works. */
  #accept(batch: RecordBatch, result: TransformResult): RecordBatch | undefined {
    const output = result.batch;
    if (output.count > 0 || result.failures.length < batch.count) this.#health.successes++;
    if (output.count === 0) return undefined;
    if (output !== batch) checkSequences(this.#stage.name, batch, output);
    return output;
  }

  #count(
    batch: RecordBatch,
    output: RecordBatch | undefined,
    deadLettered = 0,
  ): RecordBatch | undefined {
    const counters = this.#counters;
    if (output === undefined) {
      counters.filtered += batch.count - deadLettered;
      return undefined;
    }
    counters.recordsOut += output.count;
    counters.bytesOut += output.byteLength;
    if (output !== batch) {
      counters.filtered += countSequences(batch) - countSequences(output) - deadLettered;
    }
    return output;
  }
}

/** Sequences of the outputs ascend and lie within those of the inputs: what acknowledgement rests on. */
function checkSequences(stage: string, input: RecordBatch, output: RecordBatch): void {
  let before = input.sequence(0);
  for (let index = 0; index < output.count; index++) {
    const sequence = output.sequence(index);
    if (sequence < before) {
      throw new EtlError(
        'ETL_INTERNAL',
        `transform ${stage} gave record ${index} out of order; outputs keep the sequence of their input`,
      );
    }
    before = sequence;
  }
  if (before > input.sequence(input.count - 1)) {
    throw new EtlError(
      'ETL_INTERNAL',
      `transform ${stage} gave a sequence it was not given; outputs keep the sequence of their input`,
    );
  }
}

function countSequences(batch: RecordBatch): number {
  if (batch.header.sequenceOffsets === undefined) return batch.count;
  let count = 0;
  let before = -1;
  for (let index = 0; index < batch.count; index++) {
    const sequence = batch.sequence(index);
    if (sequence !== before) count++;
    before = sequence;
  }
  return count;
}
