// Who runs what: a pure function of the pipelines, what is registered now and the last plan. The same input gives the
// same plan on every router; a stage stays where it is while it can; zones are kept together where there is a choice.

import type { Pipeline, PipelineState, Stage, StageKind } from './model.ts';

/** Capability of a sidecar that runs the built-in connectors. */
export const connectorsCapability = 'connectors';

/** A live instance of a user's service. */
export interface PlanService {
  /** The name that `grpc: {service: …}` gives. */
  readonly name: string;
  /** Namespace whose pipelines may use it; absent: those of every namespace. */
  readonly namespace?: string;
  readonly kind: StageKind;
  /** `host:port`. */
  readonly endpoint: string;
  /** The sidecar of its pod; undefined: it registered itself, and any sidecar may call it. */
  readonly sidecar: string | undefined;
  readonly zone: string | undefined;
}

/** A live sidecar. */
export interface PlanSidecar {
  readonly id: string;
  readonly zone: string | undefined;
  /** What it can run beside gRPC services: {@link connectorsCapability}. */
  readonly offers: readonly string[];
}

export interface PlanInput {
  readonly pipelines: readonly Pipeline[];
  readonly services: readonly PlanService[];
  readonly sidecars: readonly PlanSidecar[];
  /** The plan in force; undefined at first. */
  readonly last: Plan | undefined;
}

/** Where one stage runs. Stages of one pipeline may name different sidecars; for now they do not. */
export interface StagePlacement {
  readonly stage: string;
  readonly sidecar: string;
  /** Where its gRPC service answers; undefined for a built-in connector. */
  readonly endpoint: string | undefined;
}

/** Why a stage has no place: a closed list. */
export type UnplacedReason =
  | 'Unresolved'
  | 'ServiceNotRegistered'
  | 'NoConnectors'
  | 'NoSidecar'
  | 'NotTogether';

export interface UnplacedStage {
  readonly stage: string;
  readonly reason: UnplacedReason;
  /** For people: what is missing. */
  readonly message: string;
}

export interface PipelinePlan {
  /** `namespace/name`. */
  readonly pipeline: string;
  /** Paused pipelines keep their places; stopped ones have none. */
  readonly state: PipelineState;
  /** Every stage, in the pipeline's order; empty when one of them has no place or the pipeline is stopped. */
  readonly placements: readonly StagePlacement[];
  readonly unplaced: readonly UnplacedStage[];
}

/** One entry per pipeline, ordered by its id. */
export interface Plan {
  readonly pipelines: readonly PipelinePlan[];
}

/** The plan for what is registered now. */
export function plan(input: PlanInput): Plan {
  const world: World = {
    sidecars: [...input.sidecars].sort((a, b) => compare(a.id, b.id)),
    services: [...input.services].sort(
      (a, b) => compare(a.name, b.name) || compare(a.endpoint, b.endpoint),
    ),
    last: new Map(input.last?.pipelines.map((entry) => [entry.pipeline, entry])),
    load: new Map(),
  };
  const pipelines = [...input.pipelines].sort((a, b) => compare(a.id, b.id));
  const planned = new Map<string, PipelinePlan>();
  const wasPlaced = (pipeline: Pipeline): boolean => {
    return (world.last.get(pipeline.id)?.placements.length ?? 0) > 0;
  };
  const inOrder = [
    ...pipelines.filter(wasPlaced),
    ...pipelines.filter((pipeline) => !wasPlaced(pipeline)),
  ];
  for (const pipeline of inOrder) planned.set(pipeline.id, planPipeline(world, pipeline));
  return { pipelines: pipelines.map(({ id }) => planned.get(id) as PipelinePlan) };
}

interface World {
  readonly sidecars: readonly PlanSidecar[];
  readonly services: readonly PlanService[];
  readonly last: ReadonlyMap<string, PipelinePlan>;
  /** Stages placed so far, by sidecar. */
  readonly load: Map<string, number>;
}

function planPipeline(world: World, pipeline: Pipeline): PipelinePlan {
  const { id, state, stages } = pipeline;
  const entry = { pipeline: id, state, placements: [], unplaced: [] };
  if (state === 'stopped') return entry;
  const unresolved = stages.filter((stage) => stage.connector === undefined);
  if (unresolved.length > 0) {
    const unplaced = unresolved.map(({ name, kind, ref }) => ({
      stage: name,
      reason: 'Unresolved' as const,
      message: `the ${kind} ${JSON.stringify(ref)} does not exist or names no connector`,
    }));
    return { ...entry, unplaced };
  }
  const lastSidecar = world.last.get(id)?.placements[0]?.sidecar;
  let best: Candidate | undefined;
  for (const sidecar of world.sidecars) {
    const candidate = placeOn(world, pipeline, sidecar);
    if (candidate === undefined) continue;
    if (sidecar.id === lastSidecar) {
      best = candidate;
      break;
    }
    if (best === undefined || isBetter(world, candidate, best)) best = candidate;
  }
  if (best === undefined) return { ...entry, unplaced: explain(world, pipeline) };
  const { sidecar, placements } = best;
  world.load.set(sidecar.id, (world.load.get(sidecar.id) ?? 0) + placements.length);
  return { ...entry, placements };
}

interface Candidate {
  readonly sidecar: PlanSidecar;
  readonly placements: readonly StagePlacement[];
  /** Stages whose service is in the sidecar's own pod, and in its zone. */
  readonly inPod: number;
  readonly inZone: number;
}

function isBetter(world: World, a: Candidate, b: Candidate): boolean {
  if (a.inPod !== b.inPod) return a.inPod > b.inPod;
  if (a.inZone !== b.inZone) return a.inZone > b.inZone;
  return (world.load.get(a.sidecar.id) ?? 0) < (world.load.get(b.sidecar.id) ?? 0);
}

function placeOn(world: World, pipeline: Pipeline, sidecar: PlanSidecar): Candidate | undefined {
  const before = world.last.get(pipeline.id)?.placements;
  const placements: StagePlacement[] = [];
  let [inPod, inZone] = [0, 0];
  for (const stage of pipeline.stages) {
    const lastEndpoint = before?.find((placement) => placement.stage === stage.name)?.endpoint;
    const place = findPlace(world, { pipeline, stage, sidecar, lastEndpoint });
    if (place === undefined) return undefined;
    placements.push({ stage: stage.name, sidecar: sidecar.id, endpoint: place.endpoint });
    if (place.service?.sidecar === sidecar.id) inPod++;
    if (place.service?.zone !== undefined && place.service.zone === sidecar.zone) inZone++;
  }
  return { sidecar, placements, inPod, inZone };
}

interface Place {
  readonly endpoint: string | undefined;
  readonly service?: PlanService;
}

/** How `sidecar` could run `stage`; undefined when it can not. */
function findPlace(
  world: World,
  wanted: {
    readonly pipeline: Pipeline;
    readonly stage: Stage;
    readonly sidecar: PlanSidecar;
    readonly lastEndpoint: string | undefined;
  },
): Place | undefined {
  const { pipeline, stage, sidecar, lastEndpoint } = wanted;
  const need = needOf(stage);
  if (need.kind === 'connector') {
    return sidecar.offers.includes(connectorsCapability) ? { endpoint: undefined } : undefined;
  }
  if (need.kind === 'endpoint') return { endpoint: need.endpoint };
  const services = servicesOf(world, { pipeline, stage, name: need.service }).filter(
    (service) => service.sidecar === undefined || service.sidecar === sidecar.id,
  );
  const service =
    services.find(({ endpoint }) => endpoint === lastEndpoint) ??
    services.find((candidate) => candidate.sidecar === sidecar.id) ??
    services.find(({ zone }) => zone !== undefined && zone === sidecar.zone) ??
    services[0];
  return service === undefined ? undefined : { endpoint: service.endpoint, service };
}

type Need =
  | { readonly kind: 'connector' }
  | { readonly kind: 'endpoint'; readonly endpoint: string }
  | { readonly kind: 'service'; readonly service: string };

function needOf({ connector, ref }: Stage): Need {
  if (connector?.type !== 'grpc') return { kind: 'connector' };
  const { endpoint, service } = connector.config;
  if (typeof endpoint === 'string' && endpoint !== '') return { kind: 'endpoint', endpoint };
  return { kind: 'service', service: typeof service === 'string' ? service : ref };
}

function servicesOf(
  world: World,
  wanted: { readonly pipeline: Pipeline; readonly stage: Stage; readonly name: string },
): readonly PlanService[] {
  const { pipeline, stage, name } = wanted;
  return world.services.filter(
    (service) =>
      service.name === name &&
      service.kind === stage.kind &&
      (service.namespace ?? pipeline.namespace) === pipeline.namespace,
  );
}

function explain(world: World, pipeline: Pipeline): readonly UnplacedStage[] {
  const unplaced: UnplacedStage[] = [];
  for (const stage of pipeline.stages) {
    const reason = explainStage(world, pipeline, stage);
    if (reason !== undefined) unplaced.push({ stage: stage.name, ...reason });
  }
  if (unplaced.length > 0) return unplaced;
  return pipeline.stages.map(({ name }) => ({
    stage: name,
    reason: 'NotTogether',
    message: 'each stage has a place, but no sidecar can run all of them',
  }));
}

function explainStage(
  world: World,
  pipeline: Pipeline,
  stage: Stage,
): Omit<UnplacedStage, 'stage'> | undefined {
  if (world.sidecars.length === 0) {
    return { reason: 'NoSidecar', message: 'no sidecar is registered' };
  }
  const need = needOf(stage);
  const wanted = { pipeline, stage, name: need.kind === 'service' ? need.service : '' };
  if (need.kind === 'service' && servicesOf(world, wanted).length === 0) {
    const message = `no ${stage.kind} service ${JSON.stringify(need.service)} is registered`;
    return { reason: 'ServiceNotRegistered', message };
  }
  const offered = world.sidecars.some(({ offers }) => offers.includes(connectorsCapability));
  if (need.kind === 'connector' && !offered) {
    const message = `no sidecar runs built-in connectors such as ${stage.connector?.type}`;
    return { reason: 'NoConnectors', message };
  }
  return undefined;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
