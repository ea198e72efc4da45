// Opens and closes the stages of a run. A stage whose other side is away is waited for; one that can not be opened as
// it is configured ends the run with the reason.

import {
  type EtlError,
  type Sink,
  type Source,
  type StageContext,
  sleep,
  type Transform,
  toEtlError,
} from '@etl-router/core';
import type { Stage } from '@etl-router/pipeline';
import type { Assignment } from '../control-plane.ts';
import type { StageFactory, StageRequest } from '../stage/stage-factory.ts';
import type { RunContext } from './context.ts';
import { backoffMs } from './retry.ts';

/** The open stages of a run, by name. */
export class Stages {
  readonly sources = new Map<string, Source>();
  readonly transforms = new Map<string, Transform>();
  readonly sinks = new Map<string, Sink>();
  readonly #context: RunContext;
  readonly #factory: StageFactory;
  readonly #baseDirectory: string;

  constructor(context: RunContext, factory: StageFactory, baseDirectory: string) {
    this.#context = context;
    this.#factory = factory;
    this.#baseDirectory = baseDirectory;
  }

  /** Opens every stage; waits for those that are away, and says through `onWaiting` what it waits for. */
  async open(
    assignment: Assignment,
    signal: AbortSignal,
    onWaiting: (error: EtlError | undefined) => void,
  ): Promise<void> {
    const { clock, random, counters, pipeline } = this.#context;
    for (const stage of pipeline.stages) {
      const endpoint = assignment.stages.find((placed) => placed.stage === stage.name)?.endpoint;
      const request = { pipelineId: pipeline.id, stage, endpoint };
      for (let failures = 1; ; failures++) {
        signal.throwIfAborted();
        try {
          await this.#openOne(request);
          if (failures > 1) onWaiting(counters.setFault(stage.name, undefined));
          break;
        } catch (error) {
          const failure = toEtlError(error);
          counters.setFault(stage.name, failure);
          if (!failure.retryable) throw failure;
          onWaiting(failure);
          await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), signal);
        }
      }
    }
  }

  /** Every lane ended and is stored: sinks publish what waited for that. */
  async complete(signal: AbortSignal): Promise<void> {
    const { clock, random, counters, pipeline, failpoints } = this.#context;
    for (const [name, sink] of this.sinks) {
      for (let failures = 1; ; failures++) {
        signal.throwIfAborted();
        try {
          await sink.complete();
          failpoints.hit('sink.complete.after');
          break;
        } catch (error) {
          const failure = toEtlError(error);
          counters.setFault(name, failure);
          if (!failure.retryable) throw failure;
          await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), signal);
        }
      }
    }
  }

  async close(): Promise<void> {
    const stages = [...this.sources, ...this.transforms, ...this.sinks];
    this.sources.clear();
    this.transforms.clear();
    this.sinks.clear();
    for (const [name, stage] of stages) {
      try {
        await stage.close();
      } catch (error) {
        this.#context.logger.warn({ stage: name, err: toEtlError(error) }, 'stage not closed');
      }
    }
  }

  async #openOne(request: StageRequest): Promise<void> {
    const { stage } = request;
    switch (stage.kind) {
      case 'source':
        return keep(
          this.sources,
          await this.#factory.createSource(request),
          this.#contextOf(stage),
        );
      case 'transform':
        return keep(
          this.transforms,
          await this.#factory.createTransform(request),
          this.#contextOf(stage),
        );
      case 'sink':
        return keep(this.sinks, await this.#factory.createSink(request), this.#contextOf(stage));
    }
  }

  #contextOf({ name }: Stage): StageContext {
    const { pipeline, clock, random, logger } = this.#context;
    return {
      pipeline: pipeline.id,
      stage: name,
      clock,
      random,
      logger,
      baseDirectory: this.#baseDirectory,
    };
  }
}

interface Openable {
  open(context: StageContext): Promise<void>;
  close(): Promise<void>;
}

/** Opens a stage and keeps it; one that does not open is closed again. */
async function keep<T extends Openable>(
  into: Map<string, T>,
  stage: T,
  context: StageContext,
): Promise<void> {
  try {
    await stage.open(context);
  } catch (error) {
    await stage.close().catch(() => {});
    throw error;
  }
  into.set(context.stage, stage);
}
