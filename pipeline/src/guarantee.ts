// What a pipeline can promise, computed from what its parts can do: the weakest part decides, and is named. Pure; the
// capabilities come from a lookup, because only a running service knows its own.

import type { SinkCapabilities, SourceCapabilities, TransformCapabilities } from '@etl-router/core';
import { type Finding, Findings } from './finding.ts';
import { type Edge, type Guarantee, guarantees, type Pipeline, type Stage } from './model.ts';

/** What one stage can do, by its kind. */
export type StageCapabilities =
  | { readonly kind: 'source'; readonly source: SourceCapabilities }
  | { readonly kind: 'transform'; readonly transform: TransformCapabilities }
  | { readonly kind: 'sink'; readonly sink: SinkCapabilities };

/** The capabilities of a stage; undefined until its connector or service answers. */
export type CapabilityLookup = (stage: Stage) => StageCapabilities | undefined;

/** What the sidecar that runs the pipeline offers around the stages. */
export interface Surroundings {
  /** The store of dead letters outlives the process and the machine's pod. */
  readonly deadLettersDurable: boolean;
  /** So does what an edge spills to disk. */
  readonly spillDurable: boolean;
}

/** A guarantee, or `unknown` while a part has not said what it can do. */
export type DeliveryGuarantee = Guarantee | 'unknown';

/** The part that keeps the guarantee from being stronger. */
export interface WeakestLink {
  /** Name of a stage, or `from → to` of an edge. */
  readonly stage: string;
  /** What about it, for people. */
  readonly why: string;
}

/** What is promised for one sink, or for all that count. */
export interface Promised {
  readonly delivery: DeliveryGuarantee;
  /** The strongest that is possible; equals {@link delivery} once every part has said what it can do. */
  readonly ceiling: Guarantee;
  /** `partition`: records of one lane arrive in order. */
  readonly ordering: 'none' | 'partition' | 'unknown';
  /** Undefined when nothing could be stronger. */
  readonly weakestLink: WeakestLink | undefined;
}

export interface SinkGuarantee extends Promised {
  /** Name of the sink's stage. */
  readonly sink: string;
  /** False when every way to it has an edge with `required: false`: it does not count for the pipeline. */
  readonly required: boolean;
}

export interface PipelineGuarantee extends Promised {
  /** One per sink, dead letters left out, in the pipeline's order. */
  readonly perSink: readonly SinkGuarantee[];
}

/** Computes what `pipeline` can promise with its parts as they are. */
export function computeGuarantee(
  pipeline: Pipeline,
  lookup: CapabilityLookup,
  surroundings: Surroundings,
): PipelineGuarantee {
  const sinks = pipeline.stages.filter(
    ({ kind, name }) => kind === 'sink' && name !== pipeline.deadLetterSink,
  );
  const perSink = sinks.map((sink) => guaranteeOfSink({ pipeline, lookup, surroundings }, sink));
  const counted = perSink.filter(({ required }) => required);
  const weakest = counted.reduce<SinkGuarantee | undefined>(
    (a, b) => (a === undefined || weaker(b, a) ? b : a),
    undefined,
  );
  if (weakest === undefined) {
    const why = 'no sink is required, so a record counts as delivered although none has it';
    const weakestLink = { stage: perSink[0]?.sink ?? pipeline.name, why };
    const ordering = 'none';
    return { delivery: 'atMostOnce', ceiling: 'atMostOnce', ordering, weakestLink, perSink };
  }
  const { ceiling, weakestLink } = weakest;
  const unknown = ceiling !== 'atMostOnce' && counted.some((sink) => sink.delivery === 'unknown');
  const delivery = unknown ? 'unknown' : ceiling;
  const ordering = weakestOrdering(counted.map((sink) => sink.ordering));
  return { delivery, ceiling, ordering, weakestLink, perSink };
}

function weaker(a: Promised, b: Promised): boolean {
  if (a.ceiling !== b.ceiling) return rank(a.ceiling) < rank(b.ceiling);
  return a.delivery === 'unknown' && b.delivery !== 'unknown';
}

/** `delivery.require` against what can be promised: a finding where it is, or may be, impossible. */
export function checkGuarantee(
  pipeline: Pipeline,
  computed: PipelineGuarantee,
): readonly Finding[] {
  const findings = new Findings(`EtlPipeline ${pipeline.id}`);
  const { require } = pipeline.delivery;
  const { delivery, ceiling, weakestLink } = computed;
  const path = 'spec.delivery.require';
  const link = weakestLink === undefined ? '' : `: ${weakestLink.stage} ${weakestLink.why}`;
  if (rank(ceiling) < rank(require)) {
    findings.add({
      code: 'GuaranteeImpossible',
      path,
      message: `${require} is impossible${link}`,
      suggestion: `change that part, or require ${ceiling}`,
    });
  } else if (delivery === 'unknown') {
    findings.add({
      code: 'GuaranteeUnknown',
      severity: 'warning',
      path,
      message: `${require} can not be confirmed yet${link}`,
    });
  }
  return findings.list;
}

function rank(delivery: Guarantee): number {
  return guarantees.indexOf(delivery);
}

function weakestOrdering(orderings: readonly Promised['ordering'][]): Promised['ordering'] {
  if (orderings.includes('none')) return 'none';
  return orderings.includes('unknown') ? 'unknown' : 'partition';
}

interface Scope {
  readonly pipeline: Pipeline;
  readonly lookup: CapabilityLookup;
  readonly surroundings: Surroundings;
}

/** Something that keeps a sink's guarantee at most this strong. */
interface Cap extends WeakestLink {
  readonly atMost: Guarantee;
}

function guaranteeOfSink(scope: Scope, sink: Stage): SinkGuarantee {
  const { pipeline, lookup } = scope;
  const isSource = ({ kind }: Stage): boolean => kind === 'source';
  const strict = upstreamOf(
    sink.name,
    pipeline.edges.filter((edge) => edge.required),
  );
  const required = pipeline.stages.some(
    (stage) => isSource(stage) && strict.stages.has(stage.name),
  );
  const way = required ? strict : upstreamOf(sink.name, pipeline.edges);
  const stages = pipeline.stages.filter(({ name }) => way.stages.has(name));
  const parts = partsOf(stages, lookup);
  const caps = [
    ...way.edges.flatMap((edge) => capsOfEdge(scope, edge)),
    ...capsOfParts(parts, way.edges),
  ];
  if (!required) {
    const why = 'is reached by edges with required: false only';
    caps.unshift({ atMost: 'atMostOnce', stage: sink.name, why });
  }
  const weakest = caps.reduce<Cap | undefined>(
    (a, b) => (a === undefined || rank(b.atMost) < rank(a.atMost) ? b : a),
    undefined,
  );
  const ceiling = weakest?.atMost ?? 'exactlyOnce';
  const [open] = parts.unknown;
  const unknown = open !== undefined && ceiling !== 'atMostOnce';
  const capLink = weakest === undefined ? undefined : { stage: weakest.stage, why: weakest.why };
  return {
    sink: sink.name,
    required,
    ceiling,
    delivery: unknown ? 'unknown' : ceiling,
    weakestLink: unknown && ceiling === 'exactlyOnce' ? linkOfUnknown(open) : capLink,
    ordering: orderingOf(stages.filter(isSource), lookup),
  };
}

/** The stages on the way to one sink, by what they are; `unknown` have not said what they can do. */
interface Parts {
  readonly unknown: readonly Stage[];
  readonly sources: readonly (readonly [string, SourceCapabilities])[];
  readonly transforms: readonly (readonly [string, TransformCapabilities])[];
  readonly sinks: readonly (readonly [string, SinkCapabilities])[];
}

function partsOf(stages: readonly Stage[], lookup: CapabilityLookup): Parts {
  const unknown: Stage[] = [];
  const sources: [string, SourceCapabilities][] = [];
  const transforms: [string, TransformCapabilities][] = [];
  const sinks: [string, SinkCapabilities][] = [];
  for (const stage of stages) {
    const capabilities = lookup(stage);
    if (capabilities === undefined) unknown.push(stage);
    else if (capabilities.kind === 'source') sources.push([stage.name, capabilities.source]);
    else if (capabilities.kind === 'transform')
      transforms.push([stage.name, capabilities.transform]);
    else sinks.push([stage.name, capabilities.sink]);
  }
  return { unknown, sources, transforms, sinks };
}

function linkOfUnknown({ name, ref, connector }: Stage): WeakestLink {
  const why =
    connector === undefined
      ? `refers to ${JSON.stringify(ref)}, which does not exist yet`
      : 'has not said yet what it can do';
  return { stage: name, why };
}

function* capsOfParts(
  { sources, transforms, sinks }: Parts,
  edges: readonly Edge[],
): Generator<Cap> {
  for (const [stage, { replayable }] of sources) {
    const why = 'can not read again what was lost on the way';
    if (!replayable) yield { atMost: 'atMostOnce', stage, why };
  }
  const changing = transforms.find(([, { deterministic }]) => !deterministic)?.[0];
  for (const [stage, { durable, idempotentByKey, transactionalPosition }] of sinks) {
    if (!durable) yield { atMost: 'atMostOnce', stage, why: 'can lose what it said was stored' };
    const gap = transactionalPosition ? gapOfPositions(sources, edges, stage) : undefined;
    if (transactionalPosition && gap === undefined) continue;
    const why = 'does not store the position with the records';
    yield { atMost: 'effectivelyOnce', ...(gap ?? { stage, why }) };
    if (!idempotentByKey) {
      const repeats = { stage, why: 'stores a record once more when it comes once more' };
      yield { atMost: 'atLeastOnce', ...(gap ?? repeats) };
    }
    if (changing !== undefined) {
      const why =
        'is not deterministic: after a replay its records can differ and have no common key';
      yield { atMost: 'atLeastOnce', stage: changing, why };
    }
  }
}

/** What keeps the position in `sink` from saying which records it has; undefined when it does. */
function gapOfPositions(
  sources: Parts['sources'],
  edges: readonly Edge[],
  sink: string,
): WeakestLink | undefined {
  const unordered = sources.find(([, { ordered }]) => ordered === 'none')?.[0];
  if (unordered !== undefined) {
    const why = 'reads in no fixed order, so a position does not say what is stored';
    return { stage: unordered, why };
  }
  const burying = edges.find(({ to, overflow }) => to !== sink && overflow.policy === 'deadLetter');
  if (burying === undefined) return undefined;
  const why =
    'dead-letters before a transform, where nobody can tell what the sink has: after a crash a record may be both ' +
    'delivered and dead-lettered, and comes again when it is redriven';
  return { stage: nameOfEdge(burying), why };
}

function nameOfEdge({ from, to }: Edge): string {
  return `${from} → ${to}`;
}

function capsOfEdge({ surroundings }: Scope, edge: Edge): readonly Cap[] {
  const stage = nameOfEdge(edge);
  const { policy } = edge.overflow;
  const lossy = (why: string): readonly Cap[] => [{ atMost: 'atMostOnce', stage, why }];
  if (policy === 'drop') return lossy('drops records when the target is slow');
  if (policy === 'spill' && !surroundings.spillDurable) {
    return lossy('spills to a disk that does not outlive the process');
  }
  if (policy === 'deadLetter' && !surroundings.deadLettersDurable) {
    return lossy('uses a dead-letter store that does not outlive the process');
  }
  return [];
}

function orderingOf(sources: readonly Stage[], lookup: CapabilityLookup): Promised['ordering'] {
  return weakestOrdering(
    sources.map((stage) => {
      const capabilities = lookup(stage);
      return capabilities?.kind === 'source' ? capabilities.source.ordered : 'unknown';
    }),
  );
}

/** The stages from which `sink` is reached, itself included, and the edges between them. */
function upstreamOf(
  sink: string,
  edges: readonly Edge[],
): { readonly stages: ReadonlySet<string>; readonly edges: readonly Edge[] } {
  const into = new Map<string, Edge[]>();
  for (const edge of edges) {
    const known = into.get(edge.to);
    if (known === undefined) into.set(edge.to, [edge]);
    else known.push(edge);
  }
  const stages = new Set([sink]);
  for (const name of stages) for (const edge of into.get(name) ?? []) stages.add(edge.from);
  return { stages, edges: edges.filter(({ to }) => stages.has(to)) };
}
