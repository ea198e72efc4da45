// The sidecar's view of the router, by calls within the process. The same meaning as the gRPC services that a pod
// uses: registration, assignments, lanes, positions, reports.

import { type Timestamp, timestampOfMs, timestampToMs } from '@etl-router/core';
import type { StageKind } from '@etl-router/pipeline';
import type { Router } from '@etl-router/router';
import type {
  AssignmentEvent,
  CommitRefusal,
  ControlPlane,
  LaneCommit,
  OpenedLane,
  OpenLanesRequest,
  SidecarRegistration,
  SidecarReport,
} from '@etl-router/sidecar';

/** Connects a sidecar with the router of its own process. */
export class LocalControlPlane implements ControlPlane {
  readonly #router: Router;
  #sidecarId = '';
  #registrationId = 0;

  constructor(router: Router) {
    this.#router = router;
  }

  async register(registration: SidecarRegistration): Promise<void> {
    const { sidecarId, offers, version } = registration;
    const [namespace = 'standalone'] = sidecarId.split('/');
    const registered = await this.#router.sidecars.register({
      sidecarId,
      namespace,
      offers,
      version,
    });
    this.#sidecarId = sidecarId;
    this.#registrationId = registered.registrationId;
  }

  async *watchAssignments(signal: AbortSignal): AsyncGenerator<AssignmentEvent, void, void> {
    const known = new Map<string, AssignmentEvent['assignment']>();
    const changes = this.#router.sidecars.watch(this.#sidecarId, {
      registrationId: this.#registrationId,
      signal,
    });
    for await (const change of changes) {
      for (const assigned of change.assign) {
        const assignment = {
          pipelineId: assigned.pipelineId,
          version: assigned.generation,
          planVersion: assigned.planVersion,
          pipeline: assigned.pipeline,
          stages: assigned.stages,
        };
        const kind = known.has(assigned.pipelineId) ? 'updated' : 'assigned';
        known.set(assigned.pipelineId, assignment);
        yield { kind, assignment };
      }
      for (const { pipelineId } of change.revoke) {
        const assignment = known.get(pipelineId);
        known.delete(pipelineId);
        if (assignment !== undefined) yield { kind: 'revoked', assignment };
      }
    }
  }

  async openLanes(request: OpenLanesRequest): Promise<readonly OpenedLane[]> {
    const opened = await this.#router.positions.openLanes({
      ...request,
      sidecarId: this.#sidecarId,
    });
    return opened.map(({ epoch, position, watermark }) => ({
      epoch,
      position,
      watermarkMs: toMs(watermark),
    }));
  }

  async commitPositions(commits: readonly LaneCommit[]): Promise<readonly CommitRefusal[]> {
    const items = commits.map(({ pipelineId, lane, epoch, position, watermarkMs }) => ({
      lane: { pipeline: pipelineId, ...lane },
      epoch,
      position,
      ...(watermarkMs === undefined ? {} : { watermark: timestampOfMs(watermarkMs) }),
    }));
    const refused = await this.#router.positions.commit(items);
    return refused.map(({ index, code }) => ({ index, code }));
  }

  async report(report: SidecarReport): Promise<void> {
    await this.#router.sidecars.heartbeat({
      sidecarId: this.#sidecarId,
      registrationId: this.#registrationId,
      health: 'healthy',
      pipelines: report.runs,
    });
  }

  async resolveService(name: string, kind: StageKind): Promise<string | undefined> {
    const [service] = this.#router.registry.list({ name, type: kind });
    if (service === undefined) return undefined;
    const { host, port } = service.endpoint;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }
}

function toMs(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : timestampToMs(time);
}
