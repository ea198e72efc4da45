// What happens after a call of a transform or sink failed, whole or in part, until every record of the batch was
// taken, dead-lettered durably, or the lane ends. The rule stands in docs/specs/0006-engine.md, "Failures". What a
// call is, and what has to happen before it is repeated, the stage's runner says.

import {
  assert,
  EtlError,
  type RecordBatch,
  type RecordFailure,
  sleep,
  toEtlError,
} from '@etl-router/core';
import type { StageKind } from '@etl-router/pipeline';
import { halfOf, mergeBatches, withoutIndexes } from './batches.ts';
import type { RunContext } from './context.ts';
import type { Letter, Undertaker } from './letters.ts';
import { backoffMs, classify, isExhausted } from './retry.ts';

/** What a call that did not throw gave. */
export interface CallResult {
  /** What goes on; undefined for a sink. */
  readonly output: RecordBatch | undefined;
  readonly failures: readonly RecordFailure[];
}

/** One stage, as a lane calls it. */
export interface Callee {
  readonly stage: string;
  readonly kind: StageKind;
  /**
   * A call that reports failures stored nothing, and what is stored is asked for before the next call. A call that
   * timed out may still be under way and take effect later: only a new epoch keeps that out, so the lane ends.
   */
  readonly transactional: boolean;
  call(batch: RecordBatch): Promise<CallResult>;
  /** After a call whose outcome is unknown: what is still to be handed over. */
  remaining(batch: RecordBatch): Promise<RecordBatch | undefined>;
  /** Whether a call with unknown outcome may be repeated; false: its records are given up. */
  readonly repeats: boolean;
  /** The branch overflows: what a stage that is down does not take is dead-lettered, not waited for. */
  readonly givesUp: () => boolean;
}

/** How often and since when records fail. */
interface History {
  attempts: number;
  firstFailureMs: number | undefined;
  /** The stage's successes at the first failure. */
  readonly successes: number;
  /** Its successes when the latest call began. */
  successesAtCall: number;
}

/** What a batch that failed in its first call came to. */
type Failed = { readonly error: unknown } | { readonly result: CallResult };

export class Attempts {
  readonly #context: RunContext;
  readonly #callee: Callee;
  readonly #undertaker: Undertaker;
  readonly #signal: AbortSignal;

  constructor(
    context: RunContext,
    callee: Callee,
    options: { readonly undertaker: Undertaker; readonly signal: AbortSignal },
  ) {
    this.#context = context;
    this.#callee = callee;
    this.#undertaker = options.undertaker;
    this.#signal = options.signal;
  }

  /**
   * Brings a batch to its end whose first call failed; returns what goes on, in order of sequence, `output` of the
   * first call included.
   */
  async recover(
    batch: RecordBatch,
    failed: Failed,
    output?: RecordBatch,
  ): Promise<RecordBatch | undefined> {
    const { successes } = this.#context.health(this.#callee.stage);
    const history: History = {
      attempts: 0,
      firstFailureMs: undefined,
      successes,
      successesAtCall: successes,
    };
    const outputs: RecordBatch[] = output === undefined ? [] : [output];
    await this.#settle(batch, { failed, history, outputs });
    return outputs.length === 0 ? undefined : mergeBatches(outputs);
  }

  async #settle(
    batch: RecordBatch,
    work: { failed: Failed | undefined; history: History; outputs: RecordBatch[] },
  ): Promise<void> {
    const { history, outputs } = work;
    let part: RecordBatch | undefined = batch;
    let failed = work.failed ?? (await this.#call(batch, work));
    while (failed !== undefined) {
      this.#signal.throwIfAborted();
      history.attempts++;
      history.firstFailureMs ??= this.#context.clock.wallMs();
      if ('result' in failed) {
        part = await this.#afterFailures(part, failed.result, history);
      } else {
        const next: Next = await this.#afterError(part, toEtlError(failed.error), history);
        if (next.kind === 'split') {
          for (const half of next.halves) {
            await this.#settle(half, { failed: undefined, history: { ...history }, outputs });
          }
          return;
        }
        part = next.part;
      }
      if (part === undefined) return;
      this.#context.counters.stage(this.#callee.stage).retried++;
      failed = await this.#call(part, work);
    }
    this.#context.counters.setFault(this.#callee.stage, undefined);
  }

  async #call(
    part: RecordBatch,
    { history, outputs }: { readonly history: History; readonly outputs: RecordBatch[] },
  ): Promise<Failed | undefined> {
    history.successesAtCall = this.#context.health(this.#callee.stage).successes;
    try {
      const result = await this.#callee.call(part);
      if (result.output !== undefined) outputs.push(result.output);
      return result.failures.length === 0 ? undefined : { result };
    } catch (error) {
      return { error };
    }
  }

  async #afterError(part: RecordBatch, error: EtlError, history: History): Promise<Next> {
    const { counters } = this.#context;
    const { stage } = this.#callee;
    const kind = classify(error);
    if (kind === 'fenced' || (kind === 'cancelled' && this.#signal.aborted)) throw error;
    counters.setFault(stage, error);
    counters.stage(stage).failed += part.count;
    if (error.code === 'ETL_TIMEOUT' && this.#callee.transactional) throw error;
    const refused = kind === 'record';
    const exhausted = history.attempts >= this.#context.pipeline.delivery.retry.maxAttempts;
    if (!refused || !this.#callee.repeats) await this.#wait(history.attempts);
    if (!this.#callee.repeats) {
      counters.stage(stage).dropped += part.count;
      return { kind: 'go', part: undefined };
    }
    const { transactional, givesUp } = this.#callee;
    const isGivenUp = givesUp();
    const left = isGivenUp && !transactional ? part : await this.#callee.remaining(part);
    if (left === undefined) return { kind: 'go', part: undefined };
    if (isGivenUp && !refused) {
      const message = `the edge overflows and the stage is down: ${error.message}`;
      await this.#buryAll(left, { code: 'OVERFLOW', message }, history);
      return { kind: 'go', part: undefined };
    }
    if (!(refused || exhausted)) return { kind: 'go', part: left };
    const half = halfOf(left);
    if (half !== undefined) {
      return { kind: 'split', halves: [left.slice(0, half), left.slice(half, left.count)] };
    }
    if (!refused && !this.#isExhausted(history, history.successesAtCall)) {
      return { kind: 'go', part: left };
    }
    await this.#buryAll(left, error, history);
    return { kind: 'go', part: undefined };
  }

  async #buryAll(
    batch: RecordBatch,
    why: { readonly code: string; readonly message: string },
    history: History,
  ): Promise<void> {
    const letters = Array.from({ length: batch.count }, (_, index) =>
      this.#letter(index, why, history),
    );
    await this.#undertaker.bury(batch, letters);
  }

  /** Buries the records that are at fault and returns those to try again. */
  async #afterFailures(
    part: RecordBatch,
    result: CallResult,
    history: History,
  ): Promise<RecordBatch | undefined> {
    const { counters } = this.#context;
    const { stage, transactional } = this.#callee;
    const failures = checkedFailures(part, result.failures);
    counters.stage(stage).failed += failures.length;
    const [first] = failures as [RecordFailure];
    counters.setFault(
      stage,
      new EtlError('ETL_CONNECTOR_FAILED', `${first.code}: ${first.message}`),
    );
    const held = transactional ? await this.#callee.remaining(part) : part;
    const passed = part.count - (held?.count ?? 0);
    const isOver = (failure: RecordFailure): boolean =>
      !failure.retryable ||
      (transactional && failure.index < passed) ||
      this.#isExhausted(history, this.#context.health(stage).successes);
    const over = failures.filter(isOver);
    await this.#undertaker.bury(
      part,
      over.map((failure) => this.#letter(failure.index, failure, history)),
    );
    const waits = failures.length > over.length;
    if (waits) await this.#wait(history.attempts);
    if (!transactional) {
      const again = failures.filter((failure) => !over.includes(failure));
      return waits ? part.select(again.map(({ index }) => index)) : undefined;
    }
    const rest = withoutIndexes(
      part,
      over.map(({ index }) => index),
    );
    return rest === undefined ? undefined : this.#callee.remaining(rest);
  }

  /**
   * `successes`: those that are evidence. For a call that failed whole they must precede the call: a stage that came back
   * after it, for another lane, says nothing of why it failed.
   */
  #isExhausted({ attempts, successes: atFirst }: History, successes: number): boolean {
    return isExhausted(this.#context.pipeline.delivery.retry, attempts, successes > atFirst);
  }

  #letter(
    index: number,
    failure: { readonly code: string; readonly message: string },
    history: History,
  ): Letter {
    const { code, message } = failure;
    const { attempts } = history;
    return {
      index,
      code,
      message,
      attempts,
      firstFailureMs: history.firstFailureMs ?? this.#context.clock.wallMs(),
    };
  }

  async #wait(failures: number): Promise<void> {
    const { pipeline, random, clock } = this.#context;
    await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), this.#signal);
  }
}

type Next =
  | { readonly kind: 'go'; readonly part: RecordBatch | undefined }
  | { readonly kind: 'split'; readonly halves: readonly RecordBatch[] };

/** The failures by ascending index, each index once. A stage that names records it was not given is at fault itself. */
function checkedFailures(
  batch: RecordBatch,
  failures: readonly RecordFailure[],
): readonly RecordFailure[] {
  const byIndex = new Map<number, RecordFailure>();
  for (const failure of failures) {
    assert(
      Number.isInteger(failure.index) && failure.index >= 0 && failure.index < batch.count,
      `a failure names record ${failure.index} of ${batch.count}`,
    );
    byIndex.set(failure.index, failure);
  }
  return [...byIndex.values()].toSorted((a, b) => a.index - b.index);
}
