// Assignments as the server's objects speak of them. A stored row never changes, so what it says is read once.

import type { Pipeline, StagePlacement } from '@etl-router/pipeline';
import type { StoredAssignment } from '@etl-router/proto';
import { msOfNs, toCount } from './numbers.ts';
import { decodePipeline } from './pipeline-json.ts';

/** What to run of a pipeline. */
export interface Assignment {
  /** `namespace/name`. */
  readonly pipelineId: string;
  /** Sidecar that holds its lanes. */
  readonly sidecarId: string;
  /** Names the assignment when lanes are opened. */
  readonly planVersion: number;
  /** Generation that `pipeline` is of. */
  readonly generation: number;
  /** The normalised pipeline with its references resolved. */
  readonly pipeline: Pipeline;
  /** The same as JSON. */
  readonly pipelineJson: Uint8Array;
  /** Where each stage runs, in the pipeline's order. */
  readonly stages: readonly StagePlacement[];
  readonly assignedAtMs: number;
}

const views = new WeakMap<StoredAssignment, Assignment>();

/** A stored assignment. */
export function toAssignment(row: StoredAssignment): Assignment {
  const known = views.get(row);
  if (known !== undefined) return known;
  const view: Assignment = {
    pipelineId: row.pipeline,
    sidecarId: row.sidecarId,
    planVersion: toCount(row.planVersion),
    generation: toCount(row.generation),
    pipeline: decodePipeline(row.pipelineJson),
    pipelineJson: row.pipelineJson,
    stages: row.placements.map(({ stage, sidecarId, endpoint }) => ({
      stage,
      sidecar: sidecarId,
      endpoint: endpoint === '' ? undefined : endpoint,
    })),
    assignedAtMs: msOfNs(row.assignedAtNs),
  };
  views.set(row, view);
  return view;
}
