// Pipelines as people look at them: what was applied, what it resolves to, who runs it, and how it goes.

import {
  type Finding,
  kindOfStage,
  type ObjectKind,
  type Pipeline,
  type PipelineGuarantee,
  type PipelinePlan,
} from '@etl-router/pipeline';
import type { Assignment } from './assignment-view.ts';
import type { Live, LivePipeline } from './live.ts';
import type { RouterObject } from './object-view.ts';
import type { Objects } from './objects.ts';
import type { Planner } from './planner.ts';
import type { Sidecars } from './sidecars.ts';

/** Where a pipeline stands, over all that is known of it. */
export const pipelinePhases = [
  'pending',
  'running',
  'pausing',
  'paused',
  'draining',
  'degraded',
  'failed',
  'completed',
  'stopped',
  /** It is assigned, and how it runs is told to the member that leads. */
  'unknown',
] as const;
export type PipelinePhase = (typeof pipelinePhases)[number];

/** Computes what a pipeline can promise; undefined where nobody knows the capabilities of its stages. */
export type GuaranteeFunction = (pipeline: Pipeline) => PipelineGuarantee | undefined;

/** A reference to an object that does not exist, or names no connector. */
export interface UnresolvedRef {
  readonly stage: string;
  readonly kind: ObjectKind;
  readonly name: string;
}

/** A pipeline and all that is known of it. */
export interface PipelineView {
  /** `namespace/name`. */
  readonly pipelineId: string;
  readonly object: RouterObject;
  /** As the present spec resolves; undefined when it is no longer well-formed. */
  readonly pipeline: Pipeline | undefined;
  readonly findings: readonly Finding[];
  readonly unresolved: readonly UnresolvedRef[];
  readonly guarantee: PipelineGuarantee | undefined;
  readonly phase: PipelinePhase;
  /** Why it is in that phase, where it is not plain; else empty. */
  readonly message: string;
  readonly assignment: Assignment | undefined;
  readonly plan: PipelinePlan | undefined;
  readonly live: LivePipeline | undefined;
}

/** The pipelines of the router. */
export class Pipelines {
  readonly #objects: Objects;
  readonly #sidecars: Sidecars;
  readonly #planner: Planner;
  readonly #live: Live;
  readonly #guarantee: GuaranteeFunction;
  readonly #leader: () => string | undefined;

  constructor(parts: {
    readonly objects: Objects;
    readonly sidecars: Sidecars;
    readonly planner: Planner;
    readonly live: Live;
    readonly guarantee: GuaranteeFunction;
    /** Who leads, for people, where that is another member: sidecars report to it alone. */
    readonly leader: () => string | undefined;
  }) {
    this.#objects = parts.objects;
    this.#sidecars = parts.sidecars;
    this.#planner = parts.planner;
    this.#live = parts.live;
    this.#guarantee = parts.guarantee;
    this.#leader = parts.leader;
  }

  get(pipelineId: string): PipelineView | undefined {
    const slash = pipelineId.indexOf('/');
    const namespace = pipelineId.slice(0, Math.max(0, slash));
    const name = pipelineId.slice(slash + 1);
    const object = this.#objects.get({ kind: 'EtlPipeline', namespace, name });
    return object === undefined ? undefined : this.#view(object);
  }

  /** All pipelines, in order of namespace and name. */
  list(namespace?: string): readonly PipelineView[] {
    const objects = this.#objects.list({ kind: 'EtlPipeline', namespace });
    return objects.map((object) => this.#view(object));
  }

  #view(object: RouterObject): PipelineView {
    const { namespace, name } = object.manifest.metadata;
    const pipelineId = `${namespace}/${name}`;
    const { pipeline, findings } = this.#objects.normalize(object.manifest);
    const known = {
      pipelineId,
      object,
      pipeline,
      findings,
      unresolved: pipeline === undefined ? [] : unresolvedRefs(pipeline),
      guarantee: pipeline === undefined ? undefined : this.#guarantee(pipeline),
      assignment: this.#sidecars.assignment(pipelineId),
      plan: this.#planner.planOf(pipelineId),
      live: this.#live.get(pipelineId),
    };
    return { ...known, ...judge(known, this.#leader()) };
  }
}

function unresolvedRefs(pipeline: Pipeline): readonly UnresolvedRef[] {
  return pipeline.stages
    .filter((stage) => stage.connector === undefined)
    .map(({ name, kind, ref }) => ({ stage: name, kind: kindOfStage[kind], name: ref }));
}

interface Judgement {
  readonly phase: PipelinePhase;
  readonly message: string;
}

function judge(
  known: Omit<PipelineView, 'phase' | 'message'>,
  leader: string | undefined,
): Judgement {
  const { assignment, live, pipeline, plan } = known;
  const state = pipeline?.state ?? assignment?.pipeline.state ?? 'running';
  if (assignment === undefined) {
    if (state === 'stopped') return { phase: 'stopped', message: '' };
    const waits = plan?.unplaced.map(({ stage, message }) => `${stage}: ${message}`) ?? [];
    return { phase: 'pending', message: waits.join('; ') };
  }
  if (live === undefined && leader !== undefined)
    return { phase: 'unknown', message: `how it runs is known to ${leader} alone` };
  if (live === undefined) return { phase: 'pending', message: 'its sidecar has not reported yet' };
  const { phase, message, stages } = live.report;
  if (state === 'paused' && phase === 'running') return { phase: 'pausing', message };
  if (phase === 'starting')
    return { phase: 'pending', message: message || 'its stages are being opened' };
  if (phase !== 'running') return { phase, message };
  const faulty = stages.find(({ fault }) => fault?.standing === true);
  if (faulty?.fault !== undefined) {
    return { phase: 'degraded', message: `${faulty.name}: ${faulty.fault.message}` };
  }
  const isBehind = plan !== undefined && plan.unplaced.length > 0;
  const unplaced = plan?.unplaced.map(({ stage, message: why }) => `${stage}: ${why}`).join('; ');
  return isBehind
    ? { phase: 'degraded', message: `runs as it was last placed; now ${unplaced}` }
    : { phase: 'running', message };
}
