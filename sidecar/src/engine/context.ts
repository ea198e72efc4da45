// What the parts of one run share.

import type { Clock, Logger, Random } from '@etl-router/core';
import type { Pipeline, Stage } from '@etl-router/pipeline';
import type { DeadLetterEntry, DeadLetterStore } from '../dead-letter/store.ts';
import type { RunSpills } from '../spill/spill-store.ts';
import type { RunCounters } from './counters.ts';
import type { Budget, CreditQueue } from './credits.ts';
import type { Failpoints } from './failpoints.ts';

/** Whether a stage works: what tells a record at fault from a stage that is down. */
export interface StageHealth {
  /** Calls in which it took at least one record. */
  successes: number;
}

export interface RunContext {
  readonly pipeline: Pipeline;
  /** Generation of the pipeline's spec. */
  readonly version: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counters: RunCounters;
  readonly failpoints: Failpoints;
  readonly deadLetters: DeadLetterStore;
  /** Stores dead letters; resolves when they are durable. */
  readonly bury: (entries: readonly DeadLetterEntry[], signal: AbortSignal) => Promise<void>;
  readonly spills: RunSpills;
  /** The pipeline's share of the process's memory. */
  readonly budget: Budget;
  readonly credits: CreditQueue;
  readonly health: (stage: string) => StageHealth;
}

/** The stage of the run's pipeline with that name. */
export function stageOf(context: RunContext, name: string): Stage {
  return context.pipeline.stages.find((stage) => stage.name === name) as Stage;
}
