// Which sidecar runs which pipeline. The planner proposes the difference between what should be and these rows;
// each command names what it replaces, so two planners can not undo each other unseen.

import { create } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import {
  type AssignPipeline,
  AssignPipelineResultSchema,
  type RevokePipeline,
  StoredAssignmentSchema,
  StoredPipelineState,
  type StoredPlacement,
} from '@etl-router/proto';
import { existingPipeline } from './keys.ts';
import { maxPipelineJsonBytes, maxPlacements } from './limits.ts';
import { checkBytes, checkCount, checkId, checkLabel, checkText, invalid } from './names.ts';
import { conflict, done, notFound, type Outcome } from './refusal.ts';
import type { Context } from './tables.ts';

export function assignPipeline(context: Context, command: AssignPipeline): Outcome {
  const { pipeline, sidecarId } = command;
  const { assignments, sidecars } = context.tables;
  const object = existingPipeline(context, pipeline);
  if (object.pipelineState === StoredPipelineState.STOPPED) {
    throw conflict(`pipeline ${pipeline} is stopped and can not be assigned`, { pipeline });
  }
  if (object.generation !== command.observedGeneration) {
    throw conflict(
      `pipeline ${pipeline} is at generation ${object.generation}, the plan was made from ${command.observedGeneration}`,
      { pipeline },
    );
  }
  if (command.generation < 1n || command.generation > object.generation) {
    throw invalid('generation', `must be 1 to ${object.generation}`);
  }
  if (sidecars.get(sidecarId) === undefined) throw notFound('sidecar', sidecarId);
  if (command.pipelineJson.length === 0) throw invalid('pipeline_json', 'must not be empty');
  checkBytes('pipeline_json', command.pipelineJson.length, maxPipelineJsonBytes);
  checkPlacements(command.placements);
  checkPlanVersion(context, pipeline, command.previousVersion);
  const planVersion = context.revise();
  assignments.put(
    pipeline,
    create(StoredAssignmentSchema, {
      pipeline,
      sidecarId,
      planVersion,
      generation: command.generation,
      pipelineJson: command.pipelineJson,
      assignedAtNs: context.nowNs,
      placements: command.placements,
    }),
  );
  return { case: 'assignPipeline', value: create(AssignPipelineResultSchema, { planVersion }) };
}

export function revokePipeline(context: Context, command: RevokePipeline): Outcome {
  const { assignments } = context.tables;
  if (assignments.get(command.pipeline) === undefined) {
    throw notFound('assignment of pipeline', command.pipeline);
  }
  checkPlanVersion(context, command.pipeline, command.planVersion);
  assignments.delete(command.pipeline);
  context.revise();
  return done;
}

/** Throws ETL_FENCED unless `sidecarId` holds the pipeline under exactly this plan version. */
export function checkHolder(
  context: Context,
  holder: { readonly pipeline: string; readonly sidecarId: string; readonly planVersion: bigint },
): void {
  const row = context.tables.assignments.get(holder.pipeline);
  if (row?.sidecarId === holder.sidecarId && row.planVersion === holder.planVersion) return;
  const truth =
    row === undefined
      ? 'is not assigned'
      : `is assigned to ${row.sidecarId} at plan version ${row.planVersion}`;
  throw new EtlError(
    'ETL_FENCED',
    `pipeline ${holder.pipeline} ${truth}, not to ${holder.sidecarId} at ${holder.planVersion}`,
    { details: { pipeline: holder.pipeline, planVersion: String(row?.planVersion ?? 0n) } },
  );
}

function checkPlacements(placements: readonly StoredPlacement[]): void {
  checkCount('placements', placements.length, maxPlacements);
  for (const { stage, sidecarId, endpoint } of placements) {
    checkLabel('placements.stage', stage);
    checkId('placements.sidecar_id', sidecarId);
    checkText('placements.endpoint', endpoint);
  }
}

function checkPlanVersion(context: Context, pipeline: string, expected: bigint): void {
  const found = context.tables.assignments.get(pipeline)?.planVersion ?? 0n;
  if (found === expected) return;
  throw conflict(
    `the assignment of pipeline ${pipeline} is at plan version ${found}, not ${expected}`,
    { pipeline, expected: String(expected), found: String(found) },
  );
}
