// Between the messages of RouterAdmin and the server's plain values: objects, findings, pipelines, dead letters.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { stringifyJson } from '@etl-router/core';
import { type Finding, isErrorFinding } from '@etl-router/pipeline';
import {
  type AppliedObjectSchema,
  type ConditionSchema,
  ConditionStatus,
  type DeadLetterSummarySchema,
  type FindingSchema,
  FindingSeverity,
  type PipelineStatusSchema,
  type PipelineViewSchema,
  type StageStatusSchema,
} from '@etl-router/proto/admin';
import type { DeadLetterView } from '../../server/dead-letters.ts';
import type { RouterObject } from '../../server/object-view.ts';
import type { PipelineView } from '../../server/pipelines.ts';
import { fromMs } from './fields.ts';

/** An object as it is stored, with what is known of it. */
export function fromObject(
  object: RouterObject,
  view: PipelineView | undefined,
): MessageInitShape<typeof AppliedObjectSchema> {
  const { kind, metadata, spec } = object.manifest;
  const { namespace, name, labels, annotations } = metadata;
  return {
    name: { kind, namespace, name },
    uid: object.uid,
    resourceVersion: BigInt(object.resourceVersion),
    generation: BigInt(object.generation),
    createdAt: fromMs(object.createdAtMs),
    updatedAt: fromMs(object.updatedAtMs),
    labels: { ...labels },
    annotations: { ...annotations },
    specJson: Uint8Array.from(stringifyJson(spec)),
    conditions: conditionsOf(object, view),
  };
}

/** Accepted always holds for what is stored; Ready is said of pipelines, from where they stand. */
function conditionsOf(
  object: RouterObject,
  view: PipelineView | undefined,
): MessageInitShape<typeof ConditionSchema>[] {
  const observedGeneration = BigInt(object.generation);
  const accepted = {
    type: 'Accepted',
    status: ConditionStatus.TRUE,
    reason: 'Accepted',
    observedGeneration,
    lastTransitionAt: fromMs(object.createdAtMs),
  };
  if (view === undefined) return [accepted];
  const isReady = view.phase === 'running' || view.phase === 'completed';
  const ready = {
    type: 'Ready',
    status: isReady ? ConditionStatus.TRUE : ConditionStatus.FALSE,
    reason: `${view.phase.charAt(0).toUpperCase()}${view.phase.slice(1)}`,
    message: view.message,
    observedGeneration,
  };
  return [accepted, ready];
}

/** Something to say about a manifest; the way out is part of the message. */
export function fromFinding(finding: Finding): MessageInitShape<typeof FindingSchema> {
  const { object, path, message, suggestion } = finding;
  return {
    severity: isErrorFinding(finding) ? FindingSeverity.ERROR : FindingSeverity.WARNING,
    field: path === '' ? object : path,
    message: suggestion === undefined ? message : `${message}; ${suggestion}`,
  };
}

/** A pipeline and how it goes. */
export function fromPipeline(
  view: PipelineView,
  deadLetters: number,
): MessageInitShape<typeof PipelineViewSchema> {
  return { object: fromObject(view.object, view), status: fromStatus(view, deadLetters) };
}

function fromStatus(
  view: PipelineView,
  deadLetters: number,
): MessageInitShape<typeof PipelineStatusSchema> {
  const { assignment, guarantee, live, object, pipeline } = view;
  const { state } = object.manifest.spec as { readonly state?: string };
  const report = live?.report;
  const lagBytes = report?.lanes.map((lane) => lane.lagBytes) ?? [];
  const knowsBytes = lagBytes.length > 0 && lagBytes.every((lag) => lag !== undefined);
  return {
    state: state ?? 'running',
    guarantee:
      guarantee === undefined || guarantee.delivery === 'unknown' ? '' : guarantee.delivery,
    weakestStage: guarantee?.weakestLink?.stage ?? '',
    planVersion: BigInt(assignment?.planVersion ?? 0),
    sidecarId: assignment?.sidecarId ?? '',
    deadLetters: BigInt(deadLetters),
    stages: (pipeline?.stages ?? []).map(({ name, kind }) => fromStage(name, kind, view)),
    ...(report?.watermarkMs !== undefined && { watermark: fromMs(report.watermarkMs) }),
    ...(report?.lagRecords !== undefined && { lagRecords: BigInt(report.lagRecords) }),
    ...(knowsBytes && { lagBytes: BigInt(lagBytes.reduce((a, b) => a + b, 0)) }),
  };
}

function fromStage(
  stage: string,
  kind: string,
  { live }: PipelineView,
): MessageInitShape<typeof StageStatusSchema> {
  const report = live?.report.stages.find(({ name }) => name === stage);
  if (live === undefined || report === undefined) return { stage, kind };
  const buffered = live.report.edges
    .filter(({ to }) => to === stage)
    .reduce((records, edge) => records + edge.inFlightRecords, 0);
  return {
    stage,
    kind,
    recordsIn: BigInt(report.recordsIn),
    recordsOut: BigInt(report.recordsOut),
    recordsFiltered: BigInt(report.filtered),
    recordsDeadLettered: BigInt(report.deadLettered),
    bufferedRecords: BigInt(buffered),
    recordsPerSecond: live.rates.find((rate) => rate.stage === stage)?.recordsOutPerSecond ?? 0,
    lastFailure: report.fault === undefined ? '' : `${report.fault.code}: ${report.fault.message}`,
  };
}

/** A dead letter without its record. */
export function fromDeadLetter(
  view: DeadLetterView,
): MessageInitShape<typeof DeadLetterSummarySchema> {
  return {
    deadLetterId: view.id,
    pipeline: view.pipelineId,
    stage: view.stage,
    recordId: view.id,
    recordType: view.record.type,
    code: view.code,
    message: view.message,
    attempts: view.attempts,
    failedAt: fromMs(view.lastFailureMs),
    recordBytes: BigInt(view.recordBytes),
    redrives: view.redriving ? 1 : 0,
  };
}
