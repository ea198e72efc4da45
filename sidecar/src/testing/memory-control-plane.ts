// A router in memory: epochs, positions and assignments with the rules of the real one, and a dial to take it away.
// It outlives the sidecars that use it, so a test can crash one and start the next.

import { comparePositions, EtlError } from '@etl-router/core';
import type { Pipeline } from '@etl-router/pipeline';
import type {
  Assignment,
  AssignmentEvent,
  CommitRefusal,
  ControlPlane,
  LaneCommit,
  OpenedLane,
  OpenLanesRequest,
  SidecarRegistration,
  SidecarReport,
} from '../control-plane.ts';
import { Wake } from '../engine/wake.ts';

interface LaneState {
  epoch: number;
  position: Uint8Array | undefined;
  watermarkMs: number | undefined;
}

export class MemoryControlPlane implements ControlPlane {
  readonly lanes = new Map<string, LaneState>();
  readonly services = new Map<string, string>();
  readonly #assignments = new Map<string, Assignment>();
  readonly #changed = new Wake();
  #revision = 0;
  /** While true every call fails with ETL_UNAVAILABLE. */
  isAway = false;
  registration: SidecarRegistration | undefined;
  lastReport: SidecarReport | undefined;
  /** Commits that were taken. */
  commits = 0;

  /** Assigns a pipeline, or its next version. */
  assign(pipeline: Pipeline, endpoints: { readonly [stage: string]: string } = {}): Assignment {
    const version = (this.#assignments.get(pipeline.id)?.version ?? 0) + 1;
    const stages = pipeline.stages.map(({ name }) => ({
      stage: name,
      sidecar: 'test/sidecar',
      endpoint: endpoints[name],
    }));
    const planVersion = ++this.#revision;
    const assignment = { pipelineId: pipeline.id, version, planVersion, pipeline, stages };
    this.#assignments.set(pipeline.id, assignment);
    this.#changed.wake();
    return assignment;
  }

  revoke(pipelineId: string): void {
    this.#assignments.delete(pipelineId);
    this.#changed.wake();
  }

  /** Raises the epoch of every lane, as a router does that gave them to somebody else. */
  reassign(): void {
    for (const lane of this.lanes.values()) lane.epoch = ++this.#revision;
  }

  /** How far a lane is. */
  position(source: string, partition: string): Uint8Array | undefined {
    for (const [key, { position }] of this.lanes) {
      if (key.endsWith(JSON.stringify([source, partition]))) return position;
    }
    return undefined;
  }

  register(registration: SidecarRegistration): Promise<void> {
    return this.#answer(() => {
      this.registration = registration;
    });
  }

  async *watchAssignments(signal: AbortSignal): AsyncGenerator<AssignmentEvent, void, void> {
    const known = new Map<string, Assignment>();
    signal.addEventListener('abort', () => this.#changed.wake(), { once: true });
    while (!signal.aborted) {
      const seen = this.#changed.version;
      for (const [id, assignment] of this.#assignments) {
        const before = known.get(id);
        known.set(id, assignment);
        if (before === undefined) yield { kind: 'assigned', assignment };
        else if (before !== assignment) yield { kind: 'updated', assignment };
      }
      for (const [id, assignment] of known) {
        if (this.#assignments.has(id)) continue;
        known.delete(id);
        yield { kind: 'revoked', assignment };
      }
      await this.#changed.wait(seen);
    }
  }

  openLanes({ pipelineId, planVersion, lanes }: OpenLanesRequest): Promise<readonly OpenedLane[]> {
    return this.#answer(() => {
      const assignment = this.#assignments.get(pipelineId);
      if (assignment?.planVersion !== planVersion) {
        throw new EtlError('ETL_FENCED', `${pipelineId} is assigned under another plan version`);
      }
      return lanes.map(({ source, partition }) => {
        const key = keyOf(pipelineId, source, partition);
        const state = this.lanes.get(key) ?? {
          epoch: 0,
          position: undefined,
          watermarkMs: undefined,
        };
        state.epoch = ++this.#revision;
        this.lanes.set(key, state);
        return { ...state };
      });
    });
  }

  commitPositions(commits: readonly LaneCommit[]): Promise<readonly CommitRefusal[]> {
    return this.#answer(() => {
      const refused: CommitRefusal[] = [];
      for (const [index, commit] of commits.entries()) {
        const { pipelineId, lane, epoch, position, watermarkMs } = commit;
        const state = this.lanes.get(keyOf(pipelineId, lane.source, lane.partition));
        if (state === undefined) refused.push({ index, code: 'ETL_NOT_FOUND' });
        else if (epoch < state.epoch) refused.push({ index, code: 'ETL_FENCED' });
        else if (state.position !== undefined && comparePositions(position, state.position) < 0) {
          refused.push({ index, code: 'ETL_CONFLICT' });
        } else {
          state.position = position;
          state.watermarkMs = watermarkMs ?? state.watermarkMs;
          this.commits++;
        }
      }
      return refused;
    });
  }

  report(report: SidecarReport): Promise<void> {
    return this.#answer(() => {
      this.lastReport = report;
    });
  }

  resolveService(name: string): Promise<string | undefined> {
    return this.#answer(() => this.services.get(name));
  }

  async #answer<T>(answer: () => T): Promise<T> {
    await Promise.resolve();
    if (this.isAway) throw new EtlError('ETL_UNAVAILABLE', 'the router is away');
    return answer();
  }
}

function keyOf(pipelineId: string, source: string, partition: string): string {
  return `${pipelineId} ${JSON.stringify([source, partition])}`;
}
