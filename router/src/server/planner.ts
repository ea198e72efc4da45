// Keeps the assignments as the plan wants them: whenever objects, services or sidecars change, it computes the plan and
// proposes the differences. A pipeline that can not be placed now keeps the assignment it has: a bad reference, a
// service that went or a sidecar that is silent never tears down what runs.

import type { Cancel, Clock, Logger } from '@etl-router/core';
import { isEtlError, sleep } from '@etl-router/core';
import {
  type Pipeline,
  type PipelinePlan,
  type Plan,
  type PlanInput,
  type PlanService,
  type PlanSidecar,
  type StageKind,
} from '@etl-router/pipeline';
import type { StoredAssignment, StoredHealth, StoredObject } from '@etl-router/proto';
import { pipelineKey } from '../state/keys.ts';
import type { CommandBody } from '../state/proposal.ts';
import { toAssignment } from './assignment-view.ts';
import { fromStoredState } from './object-view.ts';
import type { Objects } from './objects.ts';
import { encodePipeline } from './pipeline-json.ts';
import type { Proposer } from './proposer.ts';
import { formatEndpoint, fromStoredHealth, serviceTypeOf } from './service-view.ts';
import type { StateHost } from './state-host.ts';

/** The plan of all pipelines, by a pure function of what there is. */
export type PlanFunction = (input: PlanInput) => Plan;

const watched = ['objects', 'services', 'sidecars', 'assignments'] as const;
const retryMs = 1000;
const restFromMs = 5;
const restMaxMs = 1000;

/** The planner of the leader. */
export class Planner {
  readonly #host: StateHost;
  readonly #proposer: Proposer;
  readonly #objects: Objects;
  readonly #plan: PlanFunction;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #cancels: Cancel[] = [];
  #running: Promise<void> | undefined;
  #isStale = false;
  #cancelRetry: Cancel | undefined;
  #last: Plan = { pipelines: [] };

  constructor(parts: {
    readonly host: StateHost;
    readonly proposer: Proposer;
    readonly objects: Objects;
    readonly plan: PlanFunction;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
    this.#objects = parts.objects;
    this.#plan = parts.plan;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
  }

  /** Begins to plan; the leader does. */
  start(): void {
    if (this.#cancels.length > 0) return;
    this.#cancels = watched.map((table) => this.#host.feed.on(table, () => this.#wake()));
    this.#wake();
  }

  /** Stops planning and waits for the pass that is under way. */
  async stop(): Promise<void> {
    for (const cancel of this.#cancels) cancel();
    this.#cancels = [];
    this.#cancelRetry?.();
    this.#isStale = false;
    await this.#running;
  }

  /** What the last pass wanted for a pipeline, with the reasons of what has no place. */
  planOf(pipelineId: string): PipelinePlan | undefined {
    return this.#last.pipelines.find((entry) => entry.pipeline === pipelineId);
  }

  /** Resolves when everything that had changed before the call is planned and proposed. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #wake(): void {
    this.#isStale = true;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      while (this.#isStale) {
        this.#isStale = false;
        // Lets what is applied in the same turn come into one pass.
        await Promise.resolve();
        const startedAtMs = this.#clock.monotonicMs();
        await this.#pass();
        await this.#rest(this.#clock.monotonicMs() - startedAtMs);
      }
    } catch (error) {
      this.#logger.warn({ err: error }, 'the plan could not be carried out; it is tried again');
      this.#cancelRetry?.();
      this.#cancelRetry = this.#clock.after(retryMs, () => {
        if (this.#cancels.length > 0) this.#wake();
      });
    } finally {
      this.#running = undefined;
    }
  }

  /** Leaves as much time between two passes as the last one took, so that a storm of changes makes few of them. */
  async #rest(tookMs: number): Promise<void> {
    if (!this.#isStale || tookMs < restFromMs) return;
    await sleep(this.#clock, Math.min(tookMs, restMaxMs));
  }

  async #pass(): Promise<void> {
    const { assignments } = this.#host.tables;
    const pipelines = this.#pipelines();
    this.#last = this.#plan({
      pipelines,
      services: this.#services(),
      sidecars: this.#sidecars(),
      last: { pipelines: Array.from(assignments.rows(), toLastPlan) },
    });
    const byId = new Map(pipelines.map((pipeline) => [pipeline.id, pipeline]));
    const steps = this.#last.pipelines
      .map((entry) => this.#difference(entry, byId.get(entry.pipeline)))
      .filter((step) => step !== undefined);
    for (const step of steps) {
      try {
        await this.#proposer.propose(step);
      } catch (error) {
        if (!isEtlError(error) || !isOvertaken(error.code)) throw error;
        this.#isStale = true;
      }
    }
  }

  /** The pipelines as they are now. One that is no longer well-formed is left as it runs. */
  #pipelines(): readonly Pipeline[] {
    const pipelines: Pipeline[] = [];
    for (const row of this.#host.tables.objects.rows()) {
      if (row.kind !== 'EtlPipeline') continue;
      const { pipeline } = this.#objects.normalizeStored(row);
      if (pipeline !== undefined) pipelines.push(pipeline);
    }
    return pipelines;
  }

  #services(): readonly PlanService[] {
    const { services, sidecars } = this.#host.tables;
    const usable: PlanService[] = [];
    for (const { description, health } of services.rows()) {
      if (description?.endpoint === undefined || !isUsable(health)) continue;
      const type = serviceTypeOf(description.type);
      if (type === 'lookup') continue;
      const { name, namespace, sidecarId } = description;
      usable.push({
        name,
        namespace,
        kind: type satisfies StageKind,
        endpoint: formatEndpoint(description.endpoint),
        sidecar: sidecarId === '' ? undefined : sidecarId,
        zone: orUndefined(sidecars.get(sidecarId)?.description?.zone),
      });
    }
    return usable;
  }

  #sidecars(): readonly PlanSidecar[] {
    const usable: PlanSidecar[] = [];
    for (const { description, health } of this.#host.tables.sidecars.rows()) {
      if (description === undefined || !isUsable(health)) continue;
      const { sidecarId: id, zone, offers } = description;
      usable.push({ id, zone: orUndefined(zone), offers });
    }
    return usable;
  }

  /** The command that brings one pipeline closer to its plan; undefined when it is there. */
  #difference(entry: PipelinePlan, pipeline: Pipeline | undefined): CommandBody | undefined {
    const { tables } = this.#host;
    const held = tables.assignments.get(entry.pipeline);
    const object = tables.objects.get(pipelineKey(entry.pipeline));
    if (object === undefined) return undefined;
    if (entry.state === 'stopped') {
      if (held === undefined) return undefined;
      const { pipeline: id, planVersion } = held;
      return { case: 'revokePipeline', value: { pipeline: id, planVersion } };
    }
    const wanted =
      pipeline === undefined || entry.placements.length === 0
        ? lastGood(held, object)
        : {
            ...placed(entry),
            pipelineJson: encodePipeline(pipeline),
            generation: object.generation,
          };
    if (wanted === undefined || (held !== undefined && isSame(held, wanted))) return undefined;
    return {
      case: 'assignPipeline',
      value: {
        ...wanted,
        pipeline: entry.pipeline,
        observedGeneration: object.generation,
        previousVersion: held?.planVersion ?? 0n,
      },
    };
  }
}

type Wanted = Pick<StoredAssignment, 'generation' | 'pipelineJson' | 'sidecarId'> & {
  readonly placements: { stage: string; sidecarId: string; endpoint: string }[];
};

/** What runs now, in the state that is asked for: for a pipeline whose present spec has no place. */
function lastGood(held: StoredAssignment | undefined, object: StoredObject): Wanted | undefined {
  if (held === undefined) return undefined;
  const { sidecarId, placements, generation } = held;
  const state = fromStoredState(object.pipelineState);
  const pipelineJson = encodePipeline({ ...toAssignment(held).pipeline, state });
  return { sidecarId, placements, generation, pipelineJson };
}

function placed({ placements }: PipelinePlan): Pick<Wanted, 'sidecarId' | 'placements'> {
  return {
    sidecarId: placements[0]?.sidecar ?? '',
    placements: placements.map(({ stage, sidecar, endpoint }) => ({
      stage,
      sidecarId: sidecar,
      endpoint: endpoint ?? '',
    })),
  };
}

function isSame(held: StoredAssignment, wanted: Wanted): boolean {
  return (
    held.sidecarId === wanted.sidecarId &&
    Buffer.compare(held.pipelineJson, wanted.pipelineJson) === 0 &&
    held.placements.length === wanted.placements.length &&
    held.placements.every((placement, index) => {
      const other = wanted.placements[index];
      return (
        placement.stage === other?.stage &&
        placement.sidecarId === other.sidecarId &&
        placement.endpoint === other.endpoint
      );
    })
  );
}

function toLastPlan(row: StoredAssignment): PipelinePlan {
  const { pipelineId, pipeline, stages } = toAssignment(row);
  return { pipeline: pipelineId, state: pipeline.state, placements: stages, unplaced: [] };
}

/** Refusals that say the state moved on since the plan was made. */
function isOvertaken(code: string): boolean {
  return code === 'ETL_CONFLICT' || code === 'ETL_NOT_FOUND';
}

function isUsable(health: StoredHealth): boolean {
  const known = fromStoredHealth(health);
  return known === 'healthy' || known === 'degraded';
}

function orUndefined(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
