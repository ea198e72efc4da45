// A sidecar with everything around it in memory: one router, one disk, topics and tables that outlive the processes.

import {
  ManualClock,
  type RecordBatch,
  type Source,
  seededRandom,
  silentLogger,
} from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import {
  LocalDeadLetterStore,
  type RunOutcome,
  type RunSnapshot,
  Sidecar,
  SpillStore,
} from '../../src/index.ts';
import {
  advanceUntil,
  MemoryControlPlane,
  MemoryDisk,
  type MemoryMapping,
  MemorySink,
  MemorySource,
  MemoryTable,
  MemoryTopic,
  MemoryTransform,
  testStages,
} from '../../src/testing.ts';

export interface WorldOptions {
  readonly pipeline: Pipeline;
  readonly tables: { readonly [sink: string]: MemoryTable };
  readonly transforms?: { readonly [name: string]: MemoryMapping };
  /** Runs before each batch of a transform; may throw or wait. */
  readonly before?: { readonly [name: string]: (batch: RecordBatch) => Promise<void> | void };
  readonly source?: () => Source;
  readonly deadLetterMaxBytes?: number;
}

export class World {
  readonly clock = new ManualClock(1_700_000_000_000);
  readonly topic = new MemoryTopic();
  readonly controlPlane = new MemoryControlPlane();
  readonly disk = new MemoryDisk();
  readonly pipelineId: string;
  readonly #options: WorldOptions;
  readonly outcomes: RunOutcome[] = [];
  sidecar: Sidecar | undefined;
  deadLetters: LocalDeadLetterStore | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.pipelineId = options.pipeline.id;
    this.controlPlane.assign(options.pipeline);
  }

  /** Numbers as payloads, one record each. */
  emit(count: number, partition = 'p0'): void {
    const from = this.topic.partition(partition).length;
    this.topic.append(
      partition,
      Array.from({ length: count }, (_, index) => ({ payload: Buffer.from(`${from + index}`) })),
    );
  }

  /** Starts a process. */
  async start(): Promise<void> {
    const { tables, transforms = {}, before = {}, source, deadLetterMaxBytes } = this.#options;
    const directory = this.disk.open();
    this.deadLetters = await LocalDeadLetterStore.open({
      directory: directory.directory('dead-letters'),
      ...(deadLetterMaxBytes === undefined ? {} : { maxBytes: deadLetterMaxBytes }),
    });
    const sinks = Object.entries(tables).map(([name, table]) => [
      name,
      () => new MemorySink(table),
    ]);
    const made = Object.entries(transforms).map(([name, map]) => [
      name,
      () => new MemoryTransform(name, map, before[name]),
    ]);
    this.sidecar = new Sidecar({
      sidecarId: 'test/sidecar',
      version: '0',
      offers: ['connectors'],
      controlPlane: this.controlPlane,
      stages: testStages({
        sources: { in: source ?? (() => new MemorySource(this.topic, this.clock)) },
        sinks: Object.fromEntries(sinks) as { [name: string]: () => MemorySink },
        transforms: Object.fromEntries(made) as { [name: string]: () => MemoryTransform },
      }),
      deadLetters: this.deadLetters,
      spills: new SpillStore({ directory: directory.directory('spill') }),
      baseDirectory: '/',
      clock: this.clock,
      random: seededRandom(7),
      logger: silentLogger,
    });
    this.sidecar.onEnded((_, outcome) => this.outcomes.push(outcome));
    this.sidecar.start();
  }

  /** Ends the process as SIGKILL does. */
  async kill(): Promise<void> {
    this.disk.crash(seededRandom(3));
    const aborting = this.sidecar?.abort();
    await advanceUntil(this.clock, () => false, { limitMs: 20 });
    await aborting;
  }

  get snapshot(): RunSnapshot {
    const snapshot = this.sidecar?.snapshot(this.pipelineId);
    if (snapshot === undefined) throw new Error('nothing runs yet');
    return snapshot;
  }

  stage(name: string): RunSnapshot['stages'][number] {
    return this.snapshot.stages.find(
      (stage) => stage.name === name,
    ) as RunSnapshot['stages'][number];
  }

  /** Lets time pass until `isDone`; fails with what is going on when that takes too long. */
  async until(isDone: () => boolean, limitMs = 60_000): Promise<void> {
    if (await advanceUntil(this.clock, isDone, { stepMs: 5, limitMs })) return;
    const run = this.sidecar?.snapshot(this.pipelineId);
    throw new Error(`not in ${limitMs} ms: ${JSON.stringify(run, undefined, 1)}`);
  }

  async completed(): Promise<void> {
    const before = this.outcomes.length;
    await this.until(() => this.outcomes.length > before);
  }

  /** Lets `ms` pass. */
  async pass(ms: number): Promise<void> {
    await advanceUntil(this.clock, () => false, { limitMs: ms });
  }
}

/** `0` to `count - 1` as text. */
export function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index));
}
