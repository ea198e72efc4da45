// Opens and closes the stages of a run. A stage whose other side is away is waited for, a sink while the others work;
// one that can not be opened as it is configured ends the run with the reason.

import {
  type EtlError,
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
import { SinkSlot } from './sink-slot.ts';

/** The open stages of a run, by name. */
export class Stages {
  readonly sources = new Map<string, Source>();
  readonly transforms = new Map<string, Transform>();
  readonly sinks = new Map<string, SinkSlot>();
  readonly #context: RunContext;
  readonly #factory: StageFactory;
  readonly #baseDirectory: string;
  readonly #late = new Set<Promise<void>>();
  #failure: EtlError | undefined;

  constructor(context: RunContext, factory: StageFactory, baseDirectory: string) {
    this.#context = context;
    this.#factory = factory;
    this.#baseDirectory = baseDirectory;
  }

  /** Why a sink that came late could not be opened. The run ends with it. */
  get failure(): EtlError | undefined {
    return this.#failure;
  }

  /**
   * Opens every stage. Sources and transforms that are away are waited for; a sink that is away is tried on in the
   * background, and `onFailed` called if it can not be opened at all. What is waited for stands in the counters.
   */
  async open(assignment: Assignment, signal: AbortSignal, onFailed: () => void): Promise<void> {
    const { pipeline } = this.#context;
    for (const stage of pipeline.stages) {
      const endpoint = assignment.stages.find((placed) => placed.stage === stage.name)?.endpoint;
      const request = { pipelineId: pipeline.id, stage, endpoint };
      if (stage.kind !== 'sink') {
        await this.#keepOpening(request, signal);
        continue;
      }
      const slot = new SinkSlot();
      this.sinks.set(stage.name, slot);
      if (await this.#tryOpening(request, signal)) continue;
      const late: Promise<void> = this.#rest(1, signal)
        .then(() => this.#keepOpening(request, signal, 2))
        .catch((error: unknown) => {
          const failure = toEtlError(error);
          slot.fail(failure);
          if (signal.aborted) return;
          this.#failure = failure;
          onFailed();
        })
        .finally(() => this.#late.delete(late));
      this.#late.add(late);
    }
  }

  async #keepOpening(request: StageRequest, signal: AbortSignal, attempt = 1): Promise<void> {
    for (let failures = attempt; !(await this.#tryOpening(request, signal)); failures++) {
      await this.#rest(failures, signal);
    }
    this.#context.counters.setFault(request.stage.name, undefined);
  }

  /** False: it is away. Throws what will not pass. */
  async #tryOpening(request: StageRequest, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    try {
      await this.#openOne(request, signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const failure = toEtlError(error);
      this.#context.counters.setFault(request.stage.name, failure);
      if (!failure.retryable) throw failure;
      return false;
    }
  }

  async #rest(failures: number, signal: AbortSignal): Promise<void> {
    const { clock, random, pipeline } = this.#context;
    await sleep(clock, backoffMs(pipeline.delivery.retry, failures, random), signal);
  }

  /** Every lane ended and is stored: sinks publish what waited for that. */
  async complete(signal: AbortSignal): Promise<void> {
    const { clock, random, counters, pipeline, failpoints } = this.#context;
    for (const [name, slot] of this.sinks) {
      for (let failures = 1; ; failures++) {
        signal.throwIfAborted();
        const sink = await slot.opened;
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
    await Promise.all(this.#late);
    const sinks = Array.from(this.sinks, ([name, { sink }]) => [name, sink] as const);
    const stages = [...this.sources, ...this.transforms, ...sinks];
    this.sources.clear();
    this.transforms.clear();
    this.sinks.clear();
    for (const [name, stage] of stages) {
      try {
        await stage?.close();
      } catch (error) {
        this.#context.logger.warn({ stage: name, err: toEtlError(error) }, 'stage not closed');
      }
    }
  }

  async #openOne(request: StageRequest, signal: AbortSignal): Promise<void> {
    const { stage } = request;
    const context = this.#contextOf(stage);
    switch (stage.kind) {
      case 'source':
        this.sources.set(stage.name, await opened(this.#factory.createSource(request), context));
        return;
      case 'transform':
        this.transforms.set(
          stage.name,
          await opened(this.#factory.createTransform(request), context),
        );
        return;
      case 'sink':
        this.sinks
          .get(stage.name)
          ?.fill(await opened(this.#factory.createSink(request), context, signal));
        return;
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

/** Opens a stage; one that does not open, or for which the run did not wait, is closed again. */
async function opened<T extends Openable>(
  made: T | Promise<T>,
  context: StageContext,
  signal?: AbortSignal,
): Promise<T> {
  const stage = await made;
  try {
    await stage.open(context);
    signal?.throwIfAborted();
    return stage;
  } catch (error) {
    await stage.close().catch(() => {});
    throw error;
  }
}
