// Pipelines for tests, in a few words: stages by kind and edges by name, everything else by default.

import type { Clock, Sink, Source, Transform } from '@etl-router/core';
import type { Edge, Pipeline, Stage, StageKind } from '@etl-router/pipeline';
import type { StageFactory } from '../stage/stage-factory.ts';

/** What an edge may say beside where it leads. */
export type EdgeOptions = Partial<Omit<Edge, 'from' | 'to'>>;

export interface TestPipelineOptions {
  readonly id?: string;
  readonly stages: { readonly [name: string]: StageKind };
  readonly edges: readonly (readonly [from: string, to: string, options?: EdgeOptions])[];
  readonly change?: Partial<Pipeline>;
}

/** A normalised pipeline whose retries are quick. */
export function testPipeline({
  id = 'test/pipeline',
  stages,
  edges,
  change = {},
}: TestPipelineOptions): Pipeline {
  const [namespace = '', name = ''] = id.split('/');
  return {
    id,
    namespace,
    name,
    state: 'running',
    delivery: {
      require: 'atLeastOnce',
      retry: { maxAttempts: 3, backoff: { initialMs: 10, factor: 2, capMs: 100, jitter: 0.2 } },
    },
    stages: Object.entries(stages).map(([stage, kind]): Stage => {
      const batch = { maxRecords: undefined, maxBytes: undefined, maxWaitMs: undefined };
      return { name: stage, kind, ref: stage, connector: { type: 'memory', config: {} }, batch };
    }),
    edges: edges.map(([from, to, options]) => ({
      from,
      to,
      when: undefined,
      required: true,
      overflow: { policy: 'block', afterMs: 0, spillMaxBytes: 16 * 1024 * 1024 },
      ...options,
    })),
    watermark: { field: undefined, allowedLatenessMs: 0, idleThresholdMs: 60_000, late: 'keep' },
    limits: { inFlightRecords: 1000, inFlightBytes: 1024 * 1024 },
    deadLetterSink: undefined,
    ...change,
  };
}

/** Makes the stages of a test by name. */
export function testStages(make: {
  readonly sources?: { readonly [name: string]: () => Source };
  readonly transforms?: { readonly [name: string]: () => Transform };
  readonly sinks?: { readonly [name: string]: () => Sink };
}): StageFactory {
  const find = <T>(kind: { readonly [name: string]: () => T } | undefined, name: string): T => {
    const maker = kind?.[name];
    if (maker === undefined) throw new Error(`the test makes no stage ${name}`);
    return maker();
  };
  return {
    createSource: ({ stage }) => find(make.sources, stage.name),
    createTransform: ({ stage }) => find(make.transforms, stage.name),
    createSink: ({ stage }) => find(make.sinks, stage.name),
  };
}

/** Moves a manual clock on, and lets everything run in between, until `isDone` or `limitMs` have passed. */
export async function advanceUntil(
  clock: Clock & { advance(ms: number): void },
  isDone: () => boolean,
  { stepMs = 5, limitMs = 60_000 }: { readonly stepMs?: number; readonly limitMs?: number } = {},
): Promise<boolean> {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let passedMs = 0; passedMs <= limitMs; passedMs += stepMs) {
    if (isDone()) return true;
    await turn();
    await turn();
    if (isDone()) return true;
    clock.advance(stepMs);
  }
  return isDone();
}
