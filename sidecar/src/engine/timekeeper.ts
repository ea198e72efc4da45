// Keeps a lane's event time: notes what each read holds, and applies the late policy to what came after the watermark
// and the allowed lateness.

import type { RecordBatch } from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import { withoutIndexes } from './batches.ts';
import type { RunContext } from './context.ts';
import {
  createEventClock,
  type EventClock,
  markLate,
  readEventTimes,
  timestampMs,
} from './event-time.ts';
import { Undertaker } from './letters.ts';
import type { LaneWatermark } from './watermark.ts';

export interface TimekeeperOptions {
  readonly context: RunContext;
  /** The source. */
  readonly stage: Stage;
  readonly watermark: LaneWatermark;
  readonly pipelineWatermarkMs: () => number | undefined;
  readonly signal: AbortSignal;
}

export class Timekeeper {
  readonly #options: TimekeeperOptions;
  readonly #eventClock: EventClock;

  constructor(options: TimekeeperOptions) {
    this.#options = options;
    this.#eventClock = createEventClock(options.context.pipeline.watermark);
  }

  /** Notes the event times of a read that goes on, and returns what of it does; undefined for nothing. */
  take(batch: RecordBatch): RecordBatch | undefined | Promise<RecordBatch | undefined> {
    const { context, stage, watermark } = this.#options;
    const { allowedLatenessMs, late: policy } = context.pipeline.watermark;
    const watermarkMs = this.#options.pipelineWatermarkMs();
    const times = readEventTimes(batch, this.#eventClock, { watermarkMs, allowedLatenessMs });
    watermark.push(times, context.clock.monotonicMs());
    const promisedMs = timestampMs(batch.header.watermark);
    if (promisedMs !== undefined) watermark.promise(promisedMs);
    const late = times?.late ?? [];
    if (late.length === 0) return batch;
    if (policy === 'keep') {
      const lateByMs = (index: number): number =>
        (watermarkMs as number) - (this.#eventClock(batch, index) as number);
      return markLate(batch, late, lateByMs);
    }
    const left = withoutIndexes(batch, late);
    if (policy === 'drop') {
      context.counters.stage(stage.name).dropped += late.length;
      return left;
    }
    return this.#bury(batch, late).then(() => left);
  }

  async #bury(batch: RecordBatch, late: readonly number[]): Promise<void> {
    const { context, stage, signal } = this.#options;
    const firstFailureMs = context.clock.wallMs();
    const message = 'the record came after the watermark and the allowed lateness';
    const letters = late.map((index) => ({
      index,
      code: 'LATE',
      message,
      attempts: 0,
      firstFailureMs,
    }));
    await new Undertaker(context, stage, signal).bury(batch, letters);
  }
}
