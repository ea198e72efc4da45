// The lanes of a run: which are wanted, which are open, and how they are doing together. A lane that ended badly is
// opened again under a new epoch, if the router still lets this sidecar have it.

import {
  countOfPosition,
  EtlError,
  type Lane,
  type PartitionReader,
  toEtlError,
} from '@etl-router/core';
import type { ControlPlane, OpenedLane } from '../control-plane.ts';
import {
  createDeadLetterReader,
  createRedriveReader,
  deadLetterPartition,
  redrivePartition,
} from '../dead-letter/readers.ts';
import type { SpillQueue } from '../spill/spill-queue.ts';
import type { BranchBounds } from './branch.ts';
import type { Committer } from './committer.ts';
import { type RunContext, stageOf } from './context.ts';
import type { LaneSnapshot } from './counters.ts';
import type { CreditLimits } from './credits.ts';
import { compileFlow, type Flow, type FlowEntry, type Port } from './flow.ts';
import { LaneRun } from './lane-run.ts';
import type { Buried } from './letters.ts';
import { SegmentRunner } from './segment-runner.ts';
import type { SinkSlot } from './sink-slot.ts';
import { SinkWriter } from './sink-writer.ts';
import type { Stages } from './stages.ts';
import { TransformRunner } from './transform-runner.ts';
import { PipelineWatermark } from './watermark.ts';

/** `spill`: a partition that is gone and left something on disk. */
export type LaneKind = 'source' | 'redrive' | 'deadLetter' | 'spill';

/** Lanes in one call to the router. */
const maxLanesPerOpen = 1000;
/** How long a lane that can not be read rests before it is tried again. */
const failedRestMs = 60_000;

interface Wanted {
  readonly kind: LaneKind;
  readonly source: string;
  readonly partition: string;
  run: LaneRun | undefined;
  error: EtlError | undefined;
  failedAtMs: number;
}

/** A lane under its new epoch, and what earlier runs left of it. */
interface Ready extends OpenedLane {
  readonly buried: Buried;
  readonly spills: ReadonlyMap<Port, SpillQueue>;
}

interface CompiledFlow {
  readonly flow: Flow;
  readonly segments: ReadonlyMap<Port | undefined, SegmentRunner>;
}

export interface LanesOptions {
  readonly context: RunContext;
  readonly stages: Stages;
  readonly controlPlane: ControlPlane;
  readonly planVersion: () => number;
  readonly gate: () => Promise<void> | undefined;
  readonly committer: Committer;
  readonly onProgress: () => void;
  readonly onLaneEnded: () => void;
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #context: RunContext;
  readonly #wanted = new Map<string, Wanted>();
  readonly #known = new Set<string>();
  readonly #flows = new Map<string, CompiledFlow>();
  readonly #ending = new Set<Promise<void>>();
  readonly #watermark: PipelineWatermark;
  #transforms: ReadonlyMap<string, TransformRunner> = new Map();
  #isAborted = false;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#watermark = new PipelineWatermark(options.context.pipeline.watermark.idleThresholdMs);
  }

  /** Compiles the flow of every source, so that a graph that can not run fails before anything is read. */
  compile(): void {
    const { context, stages } = this.#options;
    this.#transforms = new Map(
      Array.from(stages.transforms, ([name, transform]) => [
        name,
        new TransformRunner(context, stageOf(context, name), transform),
      ]),
    );
    for (const source of stages.sources.keys()) this.#flowOf({ source });
  }

  /** Notes that lanes are to be open; true when one of them was not known. */
  want(kind: LaneKind, source: string, partitions: readonly string[]): boolean {
    if (kind === 'source') this.#known.add(source);
    let isNew = false;
    for (const partition of partitions) {
      const key = keyOf(source, partition);
      const known = this.#wanted.get(key);
      if (known !== undefined && known.kind === kind) continue;
      if (known?.kind === 'spill') known.run?.abort();
      const fresh = { run: undefined, error: undefined, failedAtMs: 0 };
      this.#wanted.set(key, { kind, source, partition, ...fresh });
      isNew = true;
    }
    return isNew;
  }

  /** Wants a lane for everything that lies on disk and has none. */
  wantSpilled(): void {
    for (const { key, isEmpty } of this.#context.spills.all) {
      if (isEmpty || this.#wanted.has(keyOf(key.source, key.partition))) continue;
      const kind =
        key.partition === deadLetterPartition
          ? 'deadLetter'
          : key.partition.startsWith('~redrive/')
            ? 'redrive'
            : 'spill';
      this.want(kind, key.source, [key.partition]);
    }
  }

  /** The partitions of a source were asked for. */
  isKnown(source: string): boolean {
    return this.#known.has(source);
  }

  /** Whether records of a lane can still come to a port. */
  hasPort(lane: { readonly source: string; readonly partition: string }, port: string): boolean {
    const entry = entryOf(lane.source, lane.partition);
    const name = 'source' in entry ? entry.source : entry.stage;
    if (!this.#context.pipeline.stages.some((stage) => stage.name === name)) return false;
    return this.#flowOf(entry).flow.ports.some(({ id }) => id === port);
  }

  /** Opens what is wanted and not open. Throws what the router answers when it refuses. */
  async open(): Promise<void> {
    const nowMs = this.#context.clock.monotonicMs();
    const due = [...this.#wanted.values()].filter((wanted) => this.#isDue(wanted, nowMs));
    for (let at = 0; at < due.length; at += maxLanesPerOpen) {
      const group = due.slice(at, at + maxLanesPerOpen);
      const { controlPlane, planVersion } = this.#options;
      const opened = await controlPlane.openLanes({
        pipelineId: this.#context.pipeline.id,
        planVersion: planVersion(),
        lanes: group.map(({ source, partition }) => ({ source, partition })),
      });
      if (this.#isAborted) return;
      for (const [index, wanted] of group.entries()) {
        await this.#start(wanted, opened[index] as OpenedLane);
      }
    }
  }

  get running(): readonly LaneRun[] {
    const running: LaneRun[] = [];
    for (const { run } of this.#wanted.values()) if (run !== undefined) running.push(run);
    return running;
  }

  /** Every partition was read to its end, or can not be read. */
  get areAllEnded(): boolean {
    for (const { kind, run, error } of this.#wanted.values()) {
      if (kind !== 'source') continue;
      if (run === undefined ? !isFinal(error) : !run.isEnded) return false;
    }
    return true;
  }

  /** Nothing is in flight, spilled, or queued to be sent again. */
  get areDone(): boolean {
    for (const { run, error } of this.#wanted.values()) {
      if (run === undefined ? !isFinal(error) : !run.isDone) return false;
    }
    const { deadLetters, pipeline, spills } = this.#context;
    if (spills.all.some(({ isEmpty }) => !isEmpty)) return false;
    const isWaiting = deadLetters
      .redriveLanes(pipeline.id)
      .some(({ stage }) => pipeline.stages.some(({ name }) => name === stage));
    return !isWaiting && this.#isForwarded();
  }

  /** Nothing in memory that would be lost: what is spilled may wait for the next run. */
  get areQuiet(): boolean {
    return this.running.every((run) => run.isQuiet && run.committable === undefined);
  }

  /** Why the first partition that can not be read can not be read. */
  get failure(): EtlError | undefined {
    for (const { error, run } of this.#wanted.values()) {
      if (run === undefined && isFinal(error)) return error;
    }
    return undefined;
  }

  get watermarkMs(): number | undefined {
    return this.#watermark.valueMs;
  }

  updateWatermark(): void {
    const lanes: LaneRun['watermark'][] = [];
    for (const { kind, run } of this.#wanted.values()) {
      if (kind === 'source' && run !== undefined && !(run.isEnded && run.isDone)) {
        lanes.push(run.watermark);
      }
    }
    this.#watermark.update(lanes, this.#context.clock.monotonicMs());
  }

  stopReading(): void {
    for (const run of this.running) run.stopReading();
  }

  /** Ends a lane that lost its epoch or failed. */
  remove(run: LaneRun, error: EtlError): void {
    for (const wanted of this.#wanted.values()) {
      if (wanted.run === run) this.#fail(wanted, error);
    }
    run.abort();
  }

  /** Ends the lanes of a run that was drained or is complete. */
  close(): void {
    this.#isAborted = true;
    for (const run of this.running) run.close();
  }

  abort(): void {
    this.#isAborted = true;
    for (const run of this.running) run.abort();
  }

  /** Resolves when no lane runs any more. */
  async settled(): Promise<void> {
    while (this.#ending.size > 0) await Promise.all(this.#ending);
  }

  snapshot(): readonly LaneSnapshot[] {
    return this.running.map((run) => run.snapshot());
  }

  #isDue({ run, error, failedAtMs }: Wanted, nowMs: number): boolean {
    if (run !== undefined) return false;
    return !isFinal(error) || (!this.#isBounded && nowMs - failedAtMs >= failedRestMs);
  }

  get #isBounded(): boolean {
    return [...this.#options.stages.sources.values()].every(
      ({ capabilities }) => capabilities.bounded,
    );
  }

  async #start(wanted: Wanted, opened: OpenedLane): Promise<void> {
    const { kind, source, partition } = wanted;
    const { pipeline, deadLetters } = this.#context;
    if (kind === 'redrive' && opened.position !== undefined) {
      const count = countOfPosition(opened.position) ?? 0;
      await deadLetters.removeRedriven(
        pipeline.id,
        { source, stage: stageOfRedrive(partition) },
        count,
      );
    }
    const lane = { pipeline: pipeline.id, source, partition };
    const buried =
      kind === 'redrive' || kind === 'deadLetter'
        ? noneBuried
        : await deadLetters.idsOf(pipeline.id, lane);
    const spills = new Map<Port, SpillQueue>();
    for (const port of this.#flowOf(entryOf(source, partition)).flow.ports) {
      const spill = await this.#context.spills.reopen({ edge: port.id, source, partition });
      if (spill !== undefined) spills.set(port, spill);
    }
    if (this.#isAborted) return;
    const run = this.#createRun(wanted, lane, { ...opened, buried, spills });
    wanted.run = run;
    wanted.error = undefined;
    const ending: Promise<void> = run
      .run()
      .catch((error: unknown) => {
        if (this.#isAborted) return;
        const failure = toEtlError(error);
        this.#context.logger.warn({ source, partition, err: failure }, 'lane ended');
        if (wanted.run === run) this.#fail(wanted, failure);
      })
      .finally(() => {
        this.#ending.delete(ending);
        this.#options.onLaneEnded();
      });
    this.#ending.add(ending);
  }

  #createRun(wanted: Wanted, lane: Lane, opened: Ready): LaneRun {
    const { stages, gate, committer, onProgress } = this.#options;
    const { kind, source, partition } = wanted;
    const context =
      kind === 'deadLetter' ? { ...this.#context, bury: () => Promise.resolve() } : this.#context;
    const { flow, segments } = this.#flowOf(entryOf(source, partition));
    const { epoch, position, watermarkMs, buried, spills } = opened;
    return new LaneRun({
      context,
      lane,
      epoch,
      position,
      watermarkMs,
      stage: stageOf(
        context,
        'source' in entryOf(source, partition) ? source : stageOfLane(wanted),
      ),
      flow,
      segments,
      buried,
      spills,
      writer: (stage, signal) => {
        const slot = stages.sinks.get(stage.name) as SinkSlot;
        return new SinkWriter(context, { stage, slot }, { lane, epoch, signal, buried });
      },
      open: this.#opener(wanted, lane, epoch),
      isSource: kind === 'source',
      share: () => this.#share(),
      edgeBounds: (port) => this.#edgeBounds(flow, port),
      gate,
      pipelineWatermarkMs: () => this.#watermark.valueMs,
      commitFirst:
        context.pipeline.delivery.require === 'atMostOnce'
          ? (run, at, signal) => committer.commitFirst(run, at, signal)
          : undefined,
      onProgress: () => {
        context.credits.serve();
        onProgress();
      },
    });
  }

  #opener(
    { kind, source, partition }: Wanted,
    lane: Lane,
    epoch: number,
  ):
    | ((after: Uint8Array | undefined, signal: AbortSignal) => Promise<PartitionReader>)
    | undefined {
    const { pipeline, deadLetters, failpoints } = this.#context;
    switch (kind) {
      case 'spill':
        return undefined;
      case 'source': {
        const reads = this.#options.stages.sources.get(source);
        return (after, signal) => {
          if (reads === undefined) throw new EtlError('ETL_CANCELLED', 'the stage is closed');
          return reads.openPartition({ lane, epoch, after, signal });
        };
      }
      case 'redrive': {
        const redriven = {
          pipelineId: pipeline.id,
          source,
          stage: stageOfRedrive(partition),
          beforeRemove: () => failpoints.hit('dead-letter.remove.before'),
        };
        return (after) => Promise.resolve(createRedriveReader(deadLetters, redriven, after));
      }
      case 'deadLetter':
        return (after) => Promise.resolve(createDeadLetterReader(deadLetters, pipeline.id, after));
    }
  }

  #fail(wanted: Wanted, error: EtlError): void {
    wanted.run = undefined;
    wanted.error = error;
    wanted.failedAtMs = this.#context.clock.monotonicMs();
  }

  #isForwarded(): boolean {
    const { deadLetters, pipeline } = this.#context;
    if (pipeline.deadLetterSink === undefined) return true;
    const last = deadLetters.lastOrdinal(pipeline.id);
    const wanted = this.#wanted.get(keyOf(pipeline.deadLetterSink, deadLetterPartition));
    const position = wanted?.run?.committedPosition;
    return last <= (position === undefined ? 0 : (countOfPosition(position) ?? 0));
  }

  #flowOf(entry: FlowEntry): CompiledFlow {
    const key = JSON.stringify(entry);
    const known = this.#flows.get(key);
    if (known !== undefined) return known;
    const flow = compileFlow(this.#context.pipeline, entry);
    const segments = new Map<Port | undefined, SegmentRunner>();
    segments.set(undefined, new SegmentRunner(this.#context, flow.root, this.#transforms));
    for (const port of flow.ports) {
      if (port.segment === undefined) continue;
      segments.set(port, new SegmentRunner(this.#context, port.segment, this.#transforms));
    }
    const compiled = { flow, segments };
    this.#flows.set(key, compiled);
    return compiled;
  }

  /** What one lane may hold: all there is while it is alone, else half, so that one lane never holds everything. */
  #share(): CreditLimits {
    const { maxRecords, maxBytes } = this.#context.budget.limits;
    const part = this.#wanted.size > 1 ? 2 : 1;
    return { maxRecords: Math.ceil(maxRecords / part), maxBytes: Math.ceil(maxBytes / part) };
  }

  /** Branches with an overflow policy get half of the pipeline's limits together, so that others always can move. */
  #edgeBounds(flow: Flow, port: Port): BranchBounds {
    if (port.overflow.policy === 'block') return this.#share();
    const { maxRecords, maxBytes } = this.#context.budget.limits;
    const ports = flow.ports.filter(({ overflow }) => overflow.policy !== 'block').length;
    const part = 2 * ports * Math.max(1, this.#wanted.size);
    return { maxRecords: Math.ceil(maxRecords / part), maxBytes: Math.ceil(maxBytes / part) };
  }
}

const noneBuried: Buried = new Map();

function keyOf(source: string, partition: string): string {
  return JSON.stringify([source, partition]);
}

/** Not worth trying again soon: reading fails the same way each time. */
function isFinal(error: EtlError | undefined): boolean {
  return error !== undefined && !error.retryable && error.code !== 'ETL_FENCED';
}

function stageOfRedrive(partition: string): string {
  return partition.slice(redrivePartition('').length);
}

function stageOfLane({ source, partition }: Wanted): string {
  return partition === deadLetterPartition ? source : stageOfRedrive(partition);
}

function entryOf(source: string, partition: string): FlowEntry {
  if (partition === deadLetterPartition) return { stage: source };
  if (partition.startsWith('~redrive/')) return { stage: stageOfRedrive(partition) };
  return { source };
}
