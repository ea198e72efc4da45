// Makes dead letters of failed records and sees them stored. It waits while the store is full or broken: the lane
// with the poison record stands still then, and nothing is lost.

import { type RecordBatch, sleep, toEtlError } from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import type { DeadLetterEntry } from '../dead-letter/store.ts';
import { withoutIndexes } from './batches.ts';
import type { RunContext } from './context.ts';
import { backoffMs } from './retry.ts';

/** Why one record of a batch is given up. */
export interface Letter {
  readonly index: number;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstFailureMs: number;
}

/** Longest message that is kept. */
const messageMaxLength = 4096;

/** Stores the dead letters of one stage and lane. */
export class Undertaker {
  readonly #context: RunContext;
  readonly #stage: Stage;
  readonly #signal: AbortSignal;

  constructor(context: RunContext, stage: Stage, signal: AbortSignal) {
    this.#context = context;
    this.#stage = stage;
    this.#signal = signal;
  }

  /** Resolves when the letters are durable. */
  async bury(batch: RecordBatch, letters: readonly Letter[]): Promise<void> {
    if (letters.length === 0) return;
    const { bury, counters, failpoints, clock, pipeline, random, logger } = this.#context;
    const entries = letters.map((letter) => this.#entry(batch, letter));
    for (let failures = 1; ; failures++) {
      try {
        await bury(entries, this.#signal);
        break;
      } catch (error) {
        this.#signal.throwIfAborted();
        counters.setFault(this.#stage.name, error);
        logger.error({ stage: this.#stage.name, err: toEtlError(error) }, 'dead letter not stored');
        await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), this.#signal);
      }
    }
    failpoints.hit('dead-letter.append.after');
    counters.stage(this.#stage.name).deadLettered += entries.length;
  }

  #entry(batch: RecordBatch, letter: Letter): DeadLetterEntry {
    const { index, code, message, attempts, firstFailureMs } = letter;
    const { pipeline, version, clock } = this.#context;
    const id = batch.id(index);
    return {
      pipelineId: pipeline.id,
      id,
      stage: this.#stage.name,
      stageKind: this.#stage.kind,
      ...laneOfId(id, batch),
      code,
      message: message.slice(0, messageMaxLength),
      attempts,
      firstFailureMs,
      lastFailureMs: clock.wallMs(),
      pipelineVersion: version,
      batch: batch.slice(index, index + 1),
    };
  }
}

/** Ids of a lane's dead letters when it was opened, by stage. */
export type Buried = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * What of a batch is not among the dead letters already. After a restart records come again whose dead letters are
 * durable: they are resolved, and would be delivered twice once they are sent again.
 */
export function leaveOutBuried(
  batch: RecordBatch,
  ids: ReadonlySet<string> | undefined,
): RecordBatch | undefined {
  if (ids === undefined) return batch;
  const buried: number[] = [];
  for (let index = 0; index < batch.count; index++) {
    if (ids.has(batch.id(index))) buried.push(index);
  }
  return withoutIndexes(batch, buried);
}

/** The lane a record first travelled in: an id begins with it, also that of a record that was sent again. */
export function laneOfId(id: string, batch: RecordBatch): { source: string; partition: string } {
  const [source, partition] = id.split('/');
  if (source === undefined || partition === undefined) return batch.lane;
  return { source: unescapePart(source), partition: unescapePart(partition) };
}

function unescapePart(part: string): string {
  return part.replaceAll('%2F', '/').replaceAll('%25', '%');
}
