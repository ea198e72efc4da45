// Runs one version of one pipeline: opens its stages, finds the sources' partitions, opens a lane for each through the
// control plane, commits positions, and ends when bounded input is stored or when it is told to. A new version of the
// pipeline is a new run: the old one is drained first, and the new one starts from the committed positions.

import { AssertionFailure, type EtlError, type Source, toEtlError } from '@etl-router/core';
import type { Assignment, ControlPlane } from '../control-plane.ts';
import { deadLetterPartition, redrivePartition } from '../dead-letter/readers.ts';
import type { StageFactory } from '../stage/stage-factory.ts';
import { Committer } from './committer.ts';
import type { RunContext } from './context.ts';
import type { RunPhase, RunSnapshot } from './counters.ts';
import { type LaneKind, Lanes } from './lanes.ts';
import { buryRemovedEdges } from './removed-edges.ts';
import { Stages } from './stages.ts';
import { Wake } from './wake.ts';

/** How often positions are committed. */
const commitIntervalMs = 500;
/** How often sources are asked for new partitions, and lanes that ended badly are opened again. */
const discoverIntervalMs = 3000;

export interface PipelineRunOptions {
  readonly assignment: Assignment;
  readonly context: RunContext;
  readonly controlPlane: ControlPlane;
  readonly stages: StageFactory;
  readonly baseDirectory: string;
}

/** How a run ended. */
export type RunOutcome =
  | { readonly kind: 'completed' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly error: EtlError };

export class PipelineRun {
  readonly #context: RunContext;
  readonly #stages: Stages;
  readonly #lanes: Lanes;
  readonly #committer: Committer;
  readonly #abort = new AbortController();
  readonly #changed = new Wake();
  readonly #resumed = new Wake();
  readonly #startedAtMs: number;
  #assignment: Assignment;
  #phase: RunPhase = 'starting';
  #message = '';
  #isPaused: boolean;
  #isDraining = false;
  /** Every source has said at least once what partitions it has. */
  #hasPartitions = false;
  /** Sources whose latest answer to that was a failure. */
  readonly #unlisted = new Set<string>();
  #discoveredAtMs = Number.NEGATIVE_INFINITY;
  #outcome: Promise<RunOutcome> | undefined;

  constructor(options: PipelineRunOptions) {
    const { assignment, context, controlPlane } = options;
    this.#assignment = assignment;
    this.#context = context;
    this.#startedAtMs = context.clock.wallMs();
    this.#isPaused = assignment.pipeline.state === 'paused';
    this.#stages = new Stages(context, options.stages, options.baseDirectory);
    this.#committer = new Committer(context, controlPlane, (lane, error) => {
      this.#lanes.remove(lane, error);
    });
    this.#lanes = new Lanes({
      context,
      stages: this.#stages,
      controlPlane,
      planVersion: () => this.#assignment.planVersion,
      gate: () => (this.#isPaused && !this.#isDraining ? this.#resumed.wait() : undefined),
      committer: this.#committer,
      onProgress: () => {
        if (this.#hasPartitions && this.#lanes.areAllEnded) this.#changed.wake();
      },
      onLaneEnded: () => this.#changed.wake(),
    });
  }

  get phase(): RunPhase {
    return this.#phase;
  }

  /** Starts on the first call. Resolves when the run ended and its stages are closed; never rejects. */
  run(): Promise<RunOutcome> {
    this.#outcome ??= this.#run();
    return this.#outcome;
  }

  /** Takes over an assignment that differs in the pipeline's state and its own version only. */
  update(assignment: Assignment): void {
    this.#assignment = assignment;
    this.setPaused(assignment.pipeline.state === 'paused');
  }

  /** Stops or goes on reading. What is in flight goes on either way; connections stay open. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    if (this.#phase === 'running' || this.#phase === 'paused') {
      this.#phase = isPaused ? 'paused' : 'running';
    }
    if (!isPaused) this.#resumed.wake();
    this.#changed.wake();
  }

  /** Something was queued to be sent again. */
  wake(): void {
    this.#changed.wake();
  }

  /**
   * Stops reading, finishes what is in flight, commits and closes. After `deadlineMs` it ends as it is: what is not
   * committed is read again by whoever runs the pipeline next.
   */
  async drain(deadlineMs: number): Promise<RunOutcome> {
    this.#isDraining = true;
    // Nothing was read yet: there is nothing to wait for.
    if (this.#phase === 'starting') this.#abort.abort();
    if (this.#phase === 'running' || this.#phase === 'paused') this.#phase = 'draining';
    this.#resumed.wake();
    this.#changed.wake();
    const cancel = this.#context.clock.after(deadlineMs, () => this.#abort.abort());
    const outcome = await this.run();
    cancel();
    return outcome;
  }

  /** Ends now, committing nothing more. */
  stop(): Promise<RunOutcome> {
    this.#abort.abort();
    return this.run();
  }

  snapshot(): RunSnapshot {
    const { pipeline, version, counters } = this.#context;
    const lanes = this.#lanes.snapshot();
    const lags = lanes.map(({ lagRecords }) => lagRecords).filter((lag) => lag !== undefined);
    const faults = counters.stages.filter(({ fault }) => fault?.standing === true);
    const waiting = faults.map(({ name, fault }) => `${name}: ${fault?.message}`).join('; ');
    return {
      pipelineId: pipeline.id,
      version,
      phase: this.#phase,
      message: this.#message === '' ? waiting : this.#message,
      startedAtMs: this.#startedAtMs,
      inFlightRecords: lanes.reduce((sum, lane) => sum + lane.inFlightRecords, 0),
      inFlightBytes: lanes.reduce((sum, lane) => sum + lane.inFlightBytes, 0),
      lagRecords: lags.length === 0 ? undefined : lags.reduce((sum, lag) => sum + lag, 0),
      watermarkMs: this.#lanes.watermarkMs,
      lastCommitAtMs: this.#committer.lastCommitAtMs,
      stages: counters.stages,
      edges: counters.edges,
      lanes,
    };
  }

  async #run(): Promise<RunOutcome> {
    const { signal } = this.#abort;
    const onAbort = (): void => {
      this.#lanes.abort();
      this.#changed.wake();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    let outcome: RunOutcome;
    try {
      outcome = await this.#supervise(signal);
    } catch (error) {
      const failure = toEtlError(error);
      outcome = signal.aborted ? { kind: 'stopped' } : { kind: 'failed', error: failure };
      if (outcome.kind === 'failed') {
        this.#message = failure.message;
        this.#context.logger.error({ err: failure }, 'pipeline failed');
      }
    }
    this.#lanes.abort();
    await this.#lanes.settled();
    await this.#stages.close();
    await this.#context.spills.close();
    this.#phase = outcome.kind;
    return outcome;
  }

  async #supervise(signal: AbortSignal): Promise<RunOutcome> {
    await this.#stages.open(this.#assignment, signal, () => this.#changed.wake());
    await this.#context.spills.recover();
    this.#lanes.compile();
    const hasPort = this.#lanes.hasPort.bind(this.#lanes);
    await buryRemovedEdges(this.#context, hasPort, signal);
    this.#phase = this.#isDraining ? 'draining' : this.#isPaused ? 'paused' : 'running';
    for (;;) {
      signal.throwIfAborted();
      if (this.#stages.failure !== undefined) throw this.#stages.failure;
      if (this.#isDraining) this.#lanes.stopReading();
      else await this.#discover(signal);
      const isTaken = await this.#committer.commit(this.#lanes.running);
      this.#lanes.updateWatermark();
      if (this.#isDraining && isTaken && this.#lanes.areQuiet) {
        this.#lanes.close();
        return { kind: 'stopped' };
      }
      const ended = await this.#completion(signal);
      if (ended !== undefined) return ended;
      await this.#changed.waitFor(this.#context.clock, commitIntervalMs);
    }
  }

  /** Opens lanes for partitions that have none; asks the sources for them from time to time. */
  async #discover(signal: AbortSignal): Promise<void> {
    const nowMs = this.#context.clock.monotonicMs();
    await this.#openInternalLanes();
    if (nowMs - this.#discoveredAtMs < discoverIntervalMs) return;
    this.#discoveredAtMs = nowMs;
    for (const [name, source] of this.#stages.sources) await this.#askFor(name, source, signal);
    this.#lanes.wantSpilled();
    // What one source could not say yet is not nothing: without it the run would be complete, and its data never read.
    this.#hasPartitions ||= this.#unlisted.size === 0;
    await this.#openWanted();
  }

  /** Asks a source for its partitions. What it can not say now is asked again at the next turn. */
  async #askFor(name: string, source: Source, signal: AbortSignal): Promise<void> {
    const { counters } = this.#context;
    if (source.capabilities.bounded && this.#lanes.isKnown(name)) return;
    try {
      const partitions = await source.partitions(signal);
      if (this.#unlisted.delete(name)) counters.setFault(name, undefined);
      this.#lanes.want(
        'source',
        name,
        partitions.map((partition) => partition.name),
      );
    } catch (error) {
      const failure = counters.setFault(name, error);
      if (failure?.retryable !== true && !this.#lanes.isKnown(name)) throw error;
      this.#unlisted.add(name);
      this.#discoveredAtMs = Number.NEGATIVE_INFINITY;
    }
  }

  /** Lanes of dead letters: those sent again, and those for the dead-letter sink. */
  async #openInternalLanes(): Promise<void> {
    const { deadLetters, pipeline } = this.#context;
    const wanted: readonly (readonly [LaneKind, string, string])[] = [
      ...deadLetters
        .redriveLanes(pipeline.id)
        .filter(({ stage }) => pipeline.stages.some(({ name }) => name === stage))
        .map(({ source, stage }) => ['redrive', source, redrivePartition(stage)] as const),
      ...(pipeline.deadLetterSink !== undefined && deadLetters.lastOrdinal(pipeline.id) > 0
        ? [['deadLetter', pipeline.deadLetterSink, deadLetterPartition] as const]
        : []),
    ];
    let isNew = false;
    for (const [kind, source, partition] of wanted) {
      if (this.#lanes.want(kind, source, [partition])) isNew = true;
    }
    if (isNew) await this.#openWanted();
  }

  async #openWanted(): Promise<void> {
    try {
      await this.#lanes.open();
      this.#message = '';
    } catch (error) {
      if (error instanceof AssertionFailure) throw error;
      const failure = toEtlError(error);
      this.#message = `lanes not opened: ${failure.message}`;
      this.#context.logger.warn({ err: failure }, 'lanes not opened');
    }
  }

  /** When everything there will ever be is stored: publishes it. */
  async #completion(signal: AbortSignal): Promise<RunOutcome | undefined> {
    if (!this.#hasPartitions || this.#isDraining) return undefined;
    for (const { capabilities } of this.#stages.sources.values()) {
      if (!capabilities.bounded) return undefined;
    }
    if (!this.#lanes.areAllEnded || !this.#lanes.areDone) return undefined;
    const { failure } = this.#lanes;
    if (failure !== undefined) return { kind: 'failed', error: failure };
    this.#lanes.close();
    await this.#stages.complete(signal);
    return { kind: 'completed' };
  }
}
