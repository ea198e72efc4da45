// The sidecar: registers with the router, runs what it is assigned, and reports how it goes. It owns the memory budget
// of the process and the stores on disk that the runs share.

import { isDeepStrictEqual } from 'node:util';
import {
  type Clock,
  EtlError,
  type Logger,
  type Random,
  sleep,
  toEtlError,
} from '@etl-router/core';
import type { Assignment, AssignmentEvent, ControlPlane } from './control-plane.ts';
import type { DeadLetterFilter, DeadLetterStore } from './dead-letter/store.ts';
import type { RunContext, StageHealth } from './engine/context.ts';
import { RunCounters, type RunSnapshot } from './engine/counters.ts';
import { Budget, CreditQueue } from './engine/credits.ts';
import { type Failpoints, noFailpoints } from './engine/failpoints.ts';
import { PipelineRun, type RunOutcome } from './engine/pipeline-run.ts';
import { RunSpills, type SpillStore } from './spill/spill-store.ts';
import type { StageFactory } from './stage/stage-factory.ts';

export interface SidecarOptions {
  /** `namespace/pod`; `standalone/local` in standalone. */
  readonly sidecarId: string;
  readonly version: string;
  /** What it can run beside the services of its pod. */
  readonly offers: readonly string[];
  readonly controlPlane: ControlPlane;
  readonly stages: StageFactory;
  readonly deadLetters: DeadLetterStore;
  readonly spills: SpillStore;
  /** Relative paths of stages start here. */
  readonly baseDirectory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly failpoints?: Failpoints;
  /** Bytes of records in memory, over all pipelines. Default 256 MiB. */
  readonly bufferMaxBytes?: number;
  /** Records in memory, over all pipelines. Default 1,000,000. */
  readonly bufferMaxRecords?: number;
  /** How often it reports. Default 1 s. */
  readonly reportIntervalMs?: number;
  /** How long an update or a revocation waits for what is in flight. Default 30 s. */
  readonly drainTimeoutMs?: number;
}

/** Waits before the router is called again after it failed. */
const routerRetryMs = 1000;

interface Managed {
  assignment: Assignment;
  run: PipelineRun | undefined;
  /** Changes of one pipeline happen one after the other. */
  changing: Promise<void>;
  outcome: RunOutcome | undefined;
  last: RunSnapshot | undefined;
}

export class Sidecar {
  readonly #options: SidecarOptions;
  readonly #budget: Budget;
  readonly #credits = new CreditQueue();
  readonly #managed = new Map<string, Managed>();
  readonly #abort = new AbortController();
  readonly #onEnded = new Set<(pipelineId: string, outcome: RunOutcome) => void>();
  #isRegistered = false;
  #loops: Promise<unknown> | undefined;

  constructor(options: SidecarOptions) {
    this.#options = options;
    this.#budget = new Budget({
      maxRecords: options.bufferMaxRecords ?? 1_000_000,
      maxBytes: options.bufferMaxBytes ?? 256 * 1024 * 1024,
    });
  }

  /** Registers, now or when the router can be reached, and from then on runs what is assigned. */
  start(): void {
    this.#loops ??= Promise.all([this.#watch(), this.#report()]);
  }

  /** What every run is doing; runs that ended are told as they were last. */
  snapshots(): readonly RunSnapshot[] {
    const snapshots: RunSnapshot[] = [];
    for (const { run, last } of this.#managed.values()) {
      const snapshot = run?.snapshot() ?? last;
      if (snapshot !== undefined) snapshots.push(snapshot);
    }
    return snapshots;
  }

  snapshot(pipelineId: string): RunSnapshot | undefined {
    const managed = this.#managed.get(pipelineId);
    return managed?.run?.snapshot() ?? managed?.last;
  }

  /** The store that all runs share. */
  get deadLetters(): DeadLetterStore {
    return this.#options.deadLetters;
  }

  /** The bound of {@link bufferedBytes}. */
  get bufferMaxBytes(): number {
    return this.#budget.limits.maxBytes;
  }

  /** Bytes of records in memory now. */
  get bufferedBytes(): number {
    return this.#budget.bytes;
  }

  /** Tells `listener` of every run that ends by itself, completed or failed. Returns how to stop that. */
  onEnded(listener: (pipelineId: string, outcome: RunOutcome) => void): () => void {
    this.#onEnded.add(listener);
    return () => this.#onEnded.delete(listener);
  }

  /**
   * Sends dead letters of a pipeline again, from the stage they failed at; says how many. A pipeline that completed
   * is started once more for them.
   */
  async redrive(pipelineId: string, filter: DeadLetterFilter): Promise<number> {
    const managed = this.#managed.get(pipelineId);
    if (managed === undefined) {
      throw new EtlError(
        'ETL_NOT_FOUND',
        `pipeline ${pipelineId} does not run here; start it before its dead letters are sent again`,
      );
    }
    const count = await this.#options.deadLetters.redrive(pipelineId, filter);
    if (count === 0) return 0;
    if (managed.run !== undefined) managed.run.wake();
    else await this.#startForRedrives(managed);
    return count;
  }

  /** Stops taking assignments, drains every run, and closes. What is not finished by then is read again next time. */
  async close(deadlineMs: number): Promise<void> {
    this.#abort.abort(new EtlError('ETL_CANCELLED', 'the sidecar closes'));
    await this.#loops;
    const ending = Array.from(this.#managed.values(), (managed) =>
      this.#change(managed, () => this.#endRun(managed, deadlineMs)),
    );
    await Promise.all(ending);
  }

  /** Ends now, as a crash would: nothing more is committed. */
  async abort(): Promise<void> {
    this.#abort.abort(new EtlError('ETL_CANCELLED', 'the sidecar stops'));
    await Promise.all(Array.from(this.#managed.values(), async ({ run }) => run?.stop()));
    await this.#loops;
  }

  async #watch(): Promise<void> {
    const { controlPlane, clock, logger, sidecarId, offers, version } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await controlPlane.register({ sidecarId, offers, version });
        this.#isRegistered = true;
        for await (const event of controlPlane.watchAssignments(signal)) this.#apply(event);
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: toEtlError(error) }, 'assignments not watched');
      }
      await sleep(clock, routerRetryMs, signal).catch(() => {});
    }
  }

  async #report(): Promise<void> {
    const { controlPlane, clock, logger, sidecarId, reportIntervalMs = 1000 } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        if (this.#isRegistered) await controlPlane.report({ sidecarId, runs: this.snapshots() });
      } catch (error) {
        logger.warn({ err: toEtlError(error) }, 'report not taken');
      }
      await sleep(clock, reportIntervalMs, signal).catch(() => {});
    }
  }

  #apply({ kind, assignment }: AssignmentEvent): void {
    const { pipelineId } = assignment;
    const { drainTimeoutMs = 30_000 } = this.#options;
    const known = this.#managed.get(pipelineId);
    if (kind === 'revoked') {
      if (known === undefined) return;
      void this.#change(known, async () => {
        await this.#endRun(known, drainTimeoutMs);
        if (known.assignment.planVersion <= assignment.planVersion) {
          this.#managed.delete(pipelineId);
        }
      });
      return;
    }
    const managed: Managed = known ?? {
      assignment,
      run: undefined,
      changing: Promise.resolve(),
      outcome: undefined,
      last: undefined,
    };
    this.#managed.set(pipelineId, managed);
    void this.#change(managed, async () => {
      const before = managed.assignment;
      managed.assignment = assignment;
      // A revocation that came before this may have ended only now, and taken it away.
      this.#managed.set(pipelineId, managed);
      if (managed.run !== undefined && isSameButState(before, assignment)) {
        managed.run.update(assignment);
        return;
      }
      await this.#endRun(managed, drainTimeoutMs);
      this.#startRun(managed);
    });
  }

  #change(managed: Managed, change: () => void | Promise<void>): Promise<void> {
    const { logger } = this.#options;
    managed.changing = managed.changing.then(change).catch((error: unknown) => {
      logger.error({ err: toEtlError(error) }, 'pipeline not changed');
    });
    return managed.changing;
  }

  #startRun(managed: Managed): void {
    const { assignment } = managed;
    if (this.#abort.signal.aborted || assignment.pipeline.state === 'stopped') return;
    const run = new PipelineRun({
      assignment,
      context: this.#createContext(assignment),
      controlPlane: this.#options.controlPlane,
      stages: this.#options.stages,
      baseDirectory: this.#options.baseDirectory,
    });
    managed.run = run;
    managed.outcome = undefined;
    void run.run().then((outcome) => {
      managed.last = run.snapshot();
      managed.outcome = outcome;
      if (managed.run === run) managed.run = undefined;
      if (outcome.kind === 'stopped') return;
      if (outcome.kind === 'completed' && this.#hasRedrives(assignment)) {
        void this.#startForRedrives(managed);
        return;
      }
      for (const listener of this.#onEnded) listener(assignment.pipelineId, outcome);
    });
  }

  /** Starts a pipeline that completed once more, unless another redrive or an update did so already. */
  #startForRedrives(managed: Managed): Promise<void> {
    return this.#change(managed, () => {
      const isCurrent = this.#managed.get(managed.assignment.pipelineId) === managed;
      if (isCurrent && managed.run === undefined) this.#startRun(managed);
    });
  }

  /** Whether dead letters wait to be sent again: those that were asked for while the run was already completing. */
  #hasRedrives({ pipelineId, pipeline }: Assignment): boolean {
    return this.#options.deadLetters
      .redriveLanes(pipelineId)
      .some(({ stage }) => pipeline.stages.some(({ name }) => name === stage));
  }

  async #endRun(managed: Managed, deadlineMs: number): Promise<void> {
    await managed.run?.drain(deadlineMs);
    managed.run = undefined;
  }

  #createContext({ pipeline, version }: Assignment): RunContext {
    const { clock, random, logger, deadLetters, spills, failpoints = noFailpoints } = this.#options;
    const health = new Map<string, StageHealth>(
      pipeline.stages.map(({ name }) => [name, { successes: 0 }]),
    );
    const { inFlightRecords, inFlightBytes } = pipeline.limits;
    return {
      pipeline,
      version,
      clock,
      random,
      logger: logger.child({ pipeline: pipeline.id }),
      counters: new RunCounters(pipeline, clock),
      failpoints,
      deadLetters,
      bury: (entries, signal) => deadLetters.append(entries, signal),
      spills: new RunSpills(spills, pipeline.id, failpoints),
      budget: new Budget({ maxRecords: inFlightRecords, maxBytes: inFlightBytes }, this.#budget),
      credits: this.#credits,
      health: (stage) => health.get(stage) as StageHealth,
    };
  }
}

/** Whether only the pipeline's state differs, so that the run can go on with the lanes it has. */
function isSameButState(a: Assignment, b: Assignment): boolean {
  if (b.pipeline.state === 'stopped') return false;
  return (
    isDeepStrictEqual(a.stages, b.stages) &&
    isDeepStrictEqual({ ...a.pipeline, state: b.pipeline.state }, b.pipeline)
  );
}
