// What the simulation knows of the world without the engine: graphs, the fate of each record, what each sink is to get,
// and what a process is.

import { type Clock, EtlError, type Random } from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import type { Sidecar } from '../../src/index.ts';
import type { EdgeOptions, MemoryTable } from '../../src/testing.ts';

const forever = new Promise<never>(() => {});

/** What a payload says of its record's fate; drawn once, so that every replay meets the same. */
export type Fate = 'plain' | 'filtered' | 'split' | 'badTransform' | 'badRecord' | 'poison';

export interface Shape {
  readonly stages: { readonly [name: string]: 'source' | 'transform' | 'sink' };
  readonly edges: readonly (readonly [string, string, EdgeOptions?])[];
  /** Copies of a plain record that each sink gets. */
  readonly copies: { readonly [sink: string]: number };
  /** Transforms on the way to each sink. */
  readonly transforms: { readonly [sink: string]: readonly string[] };
}

/** One process: everything it calls stops answering when it dies. */
export class Life {
  isDead = false;
  readonly sidecar: Sidecar;

  constructor(create: (life: Life) => Sidecar) {
    this.sidecar = create(this);
  }

  guard<T extends object>(target: T, names: readonly (keyof T)[]): T {
    return new Proxy(target, {
      get: (inner, name) => {
        const value: unknown = Reflect.get(inner, name, inner);
        if (typeof value !== 'function') return value;
        const method = value.bind(inner) as (...given: unknown[]) => unknown;
        if (!names.includes(name as keyof T)) return method;
        return async (...given: unknown[]) => {
          if (this.isDead) return forever;
          const result = await method(...given);
          return this.isDead ? forever : result;
        };
      },
    });
  }
}

/** One of five graphs, with overflow policies. */
export function drawShape(random: Random): Shape {
  const policies = ['block', 'block', 'spill', 'spill', 'deadLetter', 'drop'] as const;
  const draw = (): EdgeOptions => {
    const policy = policies[random.below(policies.length)] as (typeof policies)[number];
    const afterMs = random.below(3) * 100;
    return { overflow: { policy, afterMs, spillMaxBytes: 2000 + random.below(100_000) } };
  };
  switch (random.below(5)) {
    case 0:
      return {
        stages: { in: 'source', a: 'sink' },
        edges: [['in', 'a', draw()]],
        copies: { a: 1 },
        transforms: { a: [] },
      };
    case 1:
      return {
        stages: { in: 'source', t: 'transform', a: 'sink' },
        edges: [
          ['in', 't'],
          ['t', 'a', draw()],
        ],
        copies: { a: 1 },
        transforms: { a: ['t'] },
      };
    case 2:
      return {
        stages: { in: 'source', t: 'transform', a: 'sink', b: 'sink', c: 'sink' },
        edges: [
          ['in', 't'],
          ['t', 'a', draw()],
          ['t', 'b', draw()],
          ['in', 'c', { required: random.next() < 0.7 }],
        ],
        copies: { a: 1, b: 1, c: 1 },
        transforms: { a: ['t'], b: ['t'], c: [] },
      };
    case 3:
      return {
        stages: { in: 'source', t: 'transform', u: 'transform', a: 'sink' },
        edges: [
          ['in', 't'],
          ['in', 'u'],
          ['t', 'a'],
          ['u', 'a'],
        ],
        copies: { a: 2 },
        transforms: { a: ['t', 'u'] },
      };
    default:
      return {
        stages: { in: 'source', t: 'transform', u: 'transform', a: 'sink', b: 'sink' },
        edges: [
          ['in', 't', draw()],
          ['t', 'u'],
          ['u', 'a', draw()],
          ['in', 'b', draw()],
        ],
        copies: { a: 1, b: 1 },
        transforms: { a: ['t', 'u'], b: [] },
      };
  }
}

/** Payloads a sink gets of a record, and how many of each in the absence of faults. */
export function expectedOf(
  shape: Shape,
  sink: string,
  record: { readonly payload: string; readonly isCured: boolean },
): (readonly [string, number])[] {
  const { payload, isCured } = record;
  const through = shape.transforms[sink] ?? [];
  const copies = shape.copies[sink] ?? 1;
  if (copies === 2) {
    if (payload.includes('filtered')) return [[payload, 1]];
    if (payload.includes('split')) {
      return [
        [payload, 1],
        [`${payload}/0`, 1],
        [`${payload}/1`, 1],
      ];
    }
    return payload.includes('badTransform') && !isCured ? [[payload, 1]] : [[payload, 2]];
  }
  if (!through.includes('t')) return [[payload, 1]];
  if (payload.includes('filtered')) return [];
  if (!payload.includes('split')) return [[payload, 1]];
  return [
    [`${payload}/0`, 1],
    [`${payload}/1`, 1],
  ];
}

/** Whether an edge on the way to a sink may drop records. */
export function mayDrop(pipeline: Pipeline, shape: Shape, sink: string): boolean {
  const upstream = new Set([sink, ...(shape.transforms[sink] ?? [])]);
  return pipeline.edges.some(
    ({ to, required, overflow }) => upstream.has(to) && (!required || overflow.policy === 'drop'),
  );
}

/** Whether an edge on the way may give up a record that a restart then brings after those behind it. */
export function mayOvertake(pipeline: Pipeline, shape: Shape, sink: string): boolean {
  const upstream = new Set([sink, ...(shape.transforms[sink] ?? [])]);
  return pipeline.edges.some(
    ({ to, required, overflow }) =>
      upstream.has(to) && (!required || ['drop', 'deadLetter'].includes(overflow.policy)),
  );
}

/** `source/partition/position` without what splits add. */
export function baseOf(id: string): string {
  return id.split('.')[0] as string;
}

/**
 * Whether an edge before a transform dead-letters what overflows: it can not know what the sinks behind hold, so after
 * a crash a record may be both delivered and dead-lettered, and sending it again delivers it twice.
 */
export function mayBuryDelivered(pipeline: Pipeline, shape: Shape, sink: string): boolean {
  const upstream = new Set(shape.transforms[sink] ?? []);
  return pipeline.edges.some(
    ({ to, overflow }) => upstream.has(to) && overflow.policy === 'deadLetter',
  );
}

/** A fault after which a write may be stored twice by a sink that does not notice. */
export const failsAndTimesOut = 'fails and times out';

/** Turns a table's dials, from well to down, and says what it suffers from. */
export function drawTableFault(
  table: MemoryTable,
  random: Random,
  clock: Clock,
): string | undefined {
  table.onWrite = () => undefined;
  table.openFailure = undefined;
  const away = new EtlError('ETL_CONNECTOR_FAILED', 'the table is away');
  const silent = new EtlError('ETL_TIMEOUT', 'no answer');
  switch (random.below(6)) {
    case 0:
      table.onWrite = () => ({ kind: 'fail', error: away });
      if (random.next() < 0.5) table.openFailure = away;
      return 'is down';
    case 1:
      table.onWrite = () => {
        const draw = random.next();
        if (draw < 0.15) return { kind: 'unknown', error: silent };
        return draw < 0.3 ? { kind: 'fail', error: silent } : undefined;
      };
      return failsAndTimesOut;
    case 2:
      table.onWrite = () => (random.next() < 0.1 ? { kind: 'hang' } : undefined);
      return 'hangs';
    case 3:
      table.onWrite = () => ({
        kind: 'wait',
        until: new Promise((resolve) => clock.after(random.below(300), resolve)),
      });
      return 'is slow';
    default:
      return undefined;
  }
}
