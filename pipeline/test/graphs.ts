// Pipelines for tests: a few words make one, and fast-check makes any that is well-formed.

import type { Edge, Pipeline, Stage, StageKind } from '@etl-router/pipeline';
import fc from 'fast-check';

const noBatch = { maxRecords: undefined, maxBytes: undefined, maxWaitMs: undefined };

export function stage(name: string, kind: StageKind, change: Partial<Stage> = {}): Stage {
  const connector = { type: kind === 'transform' ? 'filter' : 'file', config: {} };
  return { name, kind, ref: name, connector, batch: noBatch, ...change };
}

export function edge(from: string, to: string, change: Partial<Edge> = {}): Edge {
  const overflow = { policy: 'block', afterMs: 0, spillMaxBytes: 2 ** 30 } as const;
  return { from, to, when: undefined, required: true, overflow, ...change };
}

export function pipelineOf(
  stages: readonly Stage[],
  edges: readonly Edge[],
  change: Partial<Pipeline> = {},
): Pipeline {
  const backoff = { initialMs: 200, factor: 2, capMs: 60_000, jitter: 0.2 };
  return {
    id: 'n/p',
    namespace: 'n',
    name: 'p',
    state: 'running',
    delivery: { require: 'atLeastOnce', retry: { maxAttempts: 8, backoff } },
    stages,
    edges,
    watermark: { field: undefined, allowedLatenessMs: 0, idleThresholdMs: 60_000, late: 'keep' },
    limits: { inFlightRecords: 10_000, inFlightBytes: 2 ** 26 },
    deadLetterSink: undefined,
    ...change,
  };
}

/** One source, transforms in layers, sinks; every stage reached and on a way to a sink. */
export function validPipelines(): fc.Arbitrary<Pipeline> {
  const shape = fc.record({
    transforms: fc.integer({ min: 0, max: 6 }),
    sinks: fc.integer({ min: 1, max: 4 }),
    seeds: fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 }),
    optional: fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
  });
  return shape.map(({ transforms, sinks, seeds, optional }) => {
    const middle = Array.from({ length: transforms }, (_, index) =>
      stage(`t${index}`, 'transform'),
    );
    const ends = Array.from({ length: sinks }, (_, index) => stage(`k${index}`, 'sink'));
    const before = [stage('s', 'source'), ...middle];
    const edges = new Map<string, Edge>();
    const join = (from: string, to: string): void => {
      edges.set(`${from} ${to}`, edge(from, to));
    };
    for (const [index, { name }] of [...middle, ...ends].entries()) {
      const choices = Math.min(index + 1, before.length);
      join((before[(seeds[index] as number) % choices] as Stage).name, name);
    }
    const hasWay = new Set([...edges.values()].map(({ from }) => from));
    for (const { name } of before) if (!hasWay.has(name)) join(name, 'k0');
    const drawn = [...edges.values()].map((known, index) =>
      mayBeOptional(known, [...edges.values()])
        ? { ...known, required: !optional[index % 40] }
        : known,
    );
    return pipelineOf([...before, ...ends], drawn);
  });
}

/** Whether nothing meets again behind an edge. */
function mayBeOptional({ to }: Edge, edges: readonly Edge[]): boolean {
  const behind = new Set([to]);
  for (const name of behind) for (const next of edges) if (next.from === name) behind.add(next.to);
  return [...behind].every((name) => edges.filter((known) => known.to === name).length === 1);
}
