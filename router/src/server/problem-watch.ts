// Turns what the router notices into problems: reports of runs, healths of services and sidecars, leases that ran out,
// positions that were refused. It only writes them down; whatever has to be done about one is done elsewhere.

import type { Cancel, EtlError } from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import { StoredHealth } from '@etl-router/proto';
import type { PipelineReport } from './live.ts';
import type { LanePosition, RefusedItem } from './positions.ts';
import type { ProblemKind, ProblemReport, Problems } from './problems.ts';
import { fromStoredHealth } from './service-view.ts';
import type { StateHost } from './state-host.ts';

const stageKinds = {
  source: 'sourceError',
  transform: 'transformError',
  sink: 'sinkError',
} as const satisfies { readonly [kind: string]: ProblemKind };

/** The eyes of {@link Problems}. */
export class ProblemWatch {
  readonly #problems: Problems;
  readonly #cancels: readonly Cancel[];

  constructor(parts: { readonly host: StateHost; readonly problems: Problems }) {
    const { host, problems } = parts;
    this.#problems = problems;
    this.#cancels = [
      host.feed.on('services', (ids) => {
        for (const id of ids) this.#look(id, host.tables.services.get(id));
      }),
      host.feed.on('sidecars', (ids) => {
        for (const id of ids) this.#look(id, host.tables.sidecars.get(id));
      }),
      host.feed.on('assignments', (ids) => {
        for (const pipelineId of ids) {
          if (host.tables.assignments.get(pipelineId) === undefined)
            problems.settle({ pipelineId });
        }
      }),
    ];
  }

  close(): void {
    for (const cancel of this.#cancels) cancel();
  }

  /** A run was reported by the sidecar that holds it. */
  reported(report: PipelineReport, pipeline: Pipeline): void {
    const { pipelineId, phase, message, startedAtMs, stages } = report;
    const isStanding = stages.some(({ fault }) => fault?.standing === true);
    const isWell = phase !== 'failed' && message === '' && !isStanding;
    for (const stage of stages) this.#stageReported(stage, pipeline);
    if (isWell) this.#problems.settle({ pipelineId });
    if (isWell || (phase !== 'failed' && isStanding)) return;
    const code = phase === 'failed' ? 'FAILED' : 'WAITING';
    this.#problems.record(
      { ...ofPipeline(pipelineId), kind: 'pipelineFailure', code, message },
      { occurrence: `${startedAtMs} ${message}` },
    );
  }

  /** A service or sidecar is removed because of its silence. */
  expired(what: 'service' | 'sidecar', serviceId: string): void {
    this.#problems.record({
      ...ofService(serviceId),
      kind: 'timeout',
      code: 'ETL_TIMEOUT',
      message: `${what} removed: no heartbeat for three leases`,
    });
  }

  /** Positions were committed, and some of them refused. */
  refused(items: readonly LanePosition[], refused: readonly RefusedItem[]): void {
    for (const { index, code, currentEpoch } of refused) {
      const { lane, epoch } = items[index] as LanePosition;
      this.#problems.record({
        ...ofPipeline(lane.pipeline),
        kind: 'sourceError',
        stage: lane.source,
        code,
        message: `a position of partition ${JSON.stringify(lane.partition)} was refused; its epoch was ${epoch}, the lane's is ${currentEpoch}`,
      });
    }
  }

  /** Members do not hold the same. */
  diverged(message: string, occurrence: string): void {
    const about = { pipelineId: undefined, serviceId: undefined, stage: undefined };
    const code = 'ETL_STATE_DIVERGED';
    this.#problems.record({ ...about, kind: 'unknown', code, message }, { occurrence });
  }

  /** This node itself failed. */
  failed({ code, message }: EtlError): void {
    const about = { pipelineId: undefined, serviceId: undefined, stage: undefined };
    this.#problems.record({ ...about, kind: 'unknown', code, message });
  }

  #stageReported({ name, fault }: PipelineReport['stages'][number], pipeline: Pipeline): void {
    if (fault === undefined) return this.#problems.settle(ofPipeline(pipeline.id), name);
    const stage = pipeline.stages.find((candidate) => candidate.name === name);
    const { code, message, atMs, standing } = fault;
    const kind = stage === undefined ? 'unknown' : stageKinds[stage.kind];
    this.#problems.record(
      { ...ofPipeline(pipeline.id), kind, stage: name, code, message },
      { occurrence: String(atMs), isOver: !standing },
    );
  }

  #look(
    serviceId: string,
    row: { readonly health: StoredHealth; readonly healthMessage?: string } | undefined,
  ): void {
    if (row?.health !== StoredHealth.DEGRADED && row?.health !== StoredHealth.UNHEALTHY) {
      this.#problems.settle({ serviceId });
      return;
    }
    const said = [fromStoredHealth(row.health), row.healthMessage].filter(Boolean).join(': ');
    this.#problems.record(
      {
        ...ofService(serviceId),
        kind: 'serviceUnhealthy',
        code: 'ETL_UNAVAILABLE',
        message: said,
      },
      { occurrence: said },
    );
  }
}

type About = Pick<ProblemReport, 'pipelineId' | 'serviceId' | 'stage'>;

function ofPipeline(pipelineId: string): About {
  return { pipelineId, serviceId: undefined, stage: undefined };
}

function ofService(serviceId: string): About {
  return { pipelineId: undefined, serviceId, stage: undefined };
}
