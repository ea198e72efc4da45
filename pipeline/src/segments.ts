// How a graph falls into segments: stages that pass records in one go, and that wait for each other. An edge that may
// go its own way (an overflow policy, or `required: false`) begins a new one. What meets must come from one segment, or
// the order of positions is lost. Here is the one statement of that rule: validation reports it, the engine builds by it.

import type { Edge, Pipeline } from './model.ts';

/** Why the engine can not run the edges into a stage. */
export interface SegmentFault {
  /** `meeting`: they come from segments that do not wait for each other; `mixture`: their policies differ. */
  readonly kind: 'meeting' | 'mixture';
  /** Name of the stage. */
  readonly stage: string;
  /** The first edge that does not fit those before it. */
  readonly edge: Edge;
  readonly message: string;
  readonly suggestion: string;
}

/** What the edges from one entry come to. */
export interface Segmentation {
  /** Names of the stages that are reached, each after all that feed it. Stages of a cycle are left out. */
  readonly order: readonly string[];
  /** The edges that are reached, nearest first. */
  readonly edges: readonly Edge[];
  readonly faults: readonly SegmentFault[];
}

/** Whether an edge lets its target fall behind, so that a queue of its own stands before it. */
export function isDecoupling({ required, overflow }: Edge): boolean {
  return !required || overflow.policy !== 'block';
}

/** Every fault of the flows from the pipeline's sources, each once. */
export function findSegmentFaults(pipeline: Pipeline): readonly SegmentFault[] {
  const faults = new Map<string, SegmentFault>();
  for (const { kind, name } of pipeline.stages) {
    if (kind !== 'source') continue;
    const start = pipeline.edges.filter(({ from }) => from === name);
    for (const fault of segmentsFrom(pipeline, start).faults) {
      const key = `${fault.kind} ${fault.stage}`;
      if (!faults.has(key)) faults.set(key, fault);
    }
  }
  return [...faults.values()];
}

/** Follows the edges of `pipeline` from `start`, which leave one entry. Linear in stages and edges. */
export function segmentsFrom(pipeline: Pipeline, start: readonly Edge[]): Segmentation {
  const leaving = Map.groupBy(pipeline.edges, ({ from }) => from);
  const reached = new Set(start);
  for (const { to } of reached) for (const next of leaving.get(to) ?? []) reached.add(next);
  const incoming = Map.groupBy(reached, ({ to }) => to);
  const waiting = new Map([...incoming].map(([to, { length }]) => [to, length]));
  const transforms = new Set(
    pipeline.stages.filter(({ kind }) => kind === 'transform').map(({ name }) => name),
  );
  const heads = new Map<string, string>();
  const order: string[] = [];
  const faults: SegmentFault[] = [];
  const ready = start.filter(({ from }) => !incoming.has(from));
  for (const { to } of ready) {
    const left = (waiting.get(to) as number) - 1;
    waiting.set(to, left);
    if (left > 0) continue;
    const edges = incoming.get(to) as readonly Edge[];
    faults.push(...faultsOf(edges, heads, incoming));
    const isHead = !transforms.has(to) || edges.some(isDecoupling);
    heads.set(to, isHead ? to : headBefore(edges[0] as Edge, heads));
    order.push(to);
    ready.push(...(leaving.get(to) ?? []));
  }
  return { order, edges: [...reached], faults };
}

/** The stage that begins the segment an edge comes from: the entry where no other does. */
function headBefore({ from }: Edge, heads: ReadonlyMap<string, string>): string {
  return heads.get(from) ?? from;
}

function faultsOf(
  edges: readonly Edge[],
  heads: ReadonlyMap<string, string>,
  incoming: ReadonlyMap<string, readonly Edge[]>,
): readonly SegmentFault[] {
  const [first] = edges as [Edge];
  const stage = first.to;
  const stranger = edges.find((edge) => headBefore(edge, heads) !== headBefore(first, heads));
  if (stranger !== undefined) {
    const head = [stranger, first]
      .map((edge) => headBefore(edge, heads))
      .find((name) => incoming.has(name));
    const cause = incoming.get(head ?? '')?.find(isDecoupling);
    const because =
      cause === undefined ? '' : ` because of ${policyOf(cause)} on the edge ${nameOf(cause)}`;
    return [
      {
        kind: 'meeting',
        stage,
        edge: stranger,
        message: `${quote(stage)} is fed by ${quote(first.from)} and ${quote(stranger.from)}, which do not wait for each other${because}`,
        suggestion: 'put the overflow policies on the edges into the sinks instead',
      },
    ];
  }
  const other = edges.some(isDecoupling)
    ? edges.find((edge) => !isSamePolicy(edge, first))
    : undefined;
  if (other === undefined) return [];
  return [
    {
      kind: 'mixture',
      stage,
      edge: other,
      message: `the edges into ${quote(stage)} differ in overflow or required: ${policyOf(first)} from ${quote(first.from)}, ${policyOf(other)} from ${quote(other.from)}`,
      suggestion: 'give all of them the same',
    },
  ];
}

/** Bounds that a policy does not read do not count. */
function isSamePolicy(a: Edge, b: Edge): boolean {
  return (
    a.required === b.required &&
    a.overflow.policy === b.overflow.policy &&
    (a.overflow.policy === 'block' || a.overflow.afterMs === b.overflow.afterMs) &&
    (a.overflow.policy !== 'spill' || a.overflow.spillMaxBytes === b.overflow.spillMaxBytes)
  );
}

function policyOf({ required, overflow }: Edge): string {
  const { policy, afterMs, spillMaxBytes } = overflow;
  const after = afterMs === 0 ? '' : ` after ${afterMs} ms`;
  const bound = policy === 'spill' ? ` of ${spillMaxBytes} bytes` : '';
  return `overflow ${policy}${bound}${after}${required ? '' : ', required: false'}`;
}

function nameOf({ from, to }: Edge): string {
  return `${from} → ${to}`;
}

function quote(name: string): string {
  return JSON.stringify(name);
}
