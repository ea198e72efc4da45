// Between the messages of sidecars and the server's plain values: what they say of themselves, what they report, and
// what they are told to run.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampToMs } from '@etl-router/core';
import { toCount, toLane, toTimestamp } from '@etl-router/proto';
import {
  type LaneReport as LaneMessage,
  type PipelineAssignmentSchema,
  type PipelineRevocationSchema,
  type PipelineReport as ReportMessage,
  RunState,
  type SidecarInfo as SidecarMessage,
  type StageReport as StageMessage,
} from '@etl-router/proto/sidecar';
import type { Assignment } from '../../server/assignment-view.ts';
import type { LaneReport, PipelineReport, RunPhase, StageReport } from '../../server/live.ts';
import type { KnownAssignment, SidecarInfo } from '../../server/sidecars.ts';
import { invalid } from '../../state/names.ts';
import { atMost, optionalCount, pipelineId, required, text, wordOf } from './fields.ts';

const phases: { readonly [state: number]: RunPhase } = {
  [RunState.STARTING]: 'starting',
  [RunState.RUNNING]: 'running',
  [RunState.PAUSED]: 'paused',
  [RunState.DRAINING]: 'draining',
  [RunState.COMPLETED]: 'completed',
  [RunState.FAILED]: 'failed',
};

const connectorsMax = 256;
const connectorMaxBytes = 63;
const stagesMax = 1000;
const lanesMax = 1000;
const failureMaxBytes = 4096;
const stageFailureMaxBytes = 1024;
/** What a sidecar gets to finish what it read, when a pipeline is taken from it. */
const revokeDrainMs = 30_000;

/** What a sidecar says of itself; `field` names the message in errors. */
export function toSidecarInfo(message: SidecarMessage | undefined, field: string): SidecarInfo {
  const info = required(field, message);
  atMost(`${field}.connectors`, info.connectors.length, connectorsMax);
  for (const [index, connector] of info.connectors.entries()) {
    const at = `${field}.connectors[${index}]`;
    text(at, required(at, connector), connectorMaxBytes);
  }
  return {
    sidecarId: required(`${field}.sidecar_id`, info.sidecarId),
    namespace: required(`${field}.namespace`, info.namespace),
    podName: info.podName,
    zone: info.zone,
    endpoint: info.endpoint,
    offers: info.connectors.length === 0 ? [] : ['connectors'],
    version: info.version,
  };
}

/**
 * What a sidecar is to run. Every stage has its place at the sidecar; `serviceAt` knows the service that answers at an
 * endpoint, or '' where the pipeline itself names the endpoint.
 */
export function fromAssignment(
  assignment: Assignment,
  serviceAt: (endpoint: string) => string,
): MessageInitShape<typeof PipelineAssignmentSchema> {
  const { pipelineId: pipeline, planVersion, generation, pipelineJson, stages } = assignment;
  return {
    pipeline,
    planVersion: BigInt(planVersion),
    generation: BigInt(generation),
    pipelineJson: Uint8Array.from(pipelineJson),
    stages: stages.map(({ stage, endpoint }) => ({
      stage,
      place: {
        case: 'local',
        value: { serviceId: endpoint === undefined ? '' : serviceAt(endpoint) },
      },
    })),
  };
}

/** What a sidecar is no longer to run. */
export function fromRevocation({
  pipelineId: pipeline,
  planVersion,
}: KnownAssignment): MessageInitShape<typeof PipelineRevocationSchema> {
  return { pipeline, planVersion: BigInt(planVersion), drainTimeoutMs: revokeDrainMs };
}

/**
 * What a sidecar says of a pipeline it runs. `assignment` is the one that holds, if any: of its version the message
 * tells, and counters begin anew with each version.
 */
export function toPipelineReport(
  message: ReportMessage,
  at: { readonly field: string; readonly nowMs: number },
  assignmentOf: (pipelineId: string) => Assignment | undefined,
): PipelineReport {
  const { field, nowMs } = at;
  const id = pipelineId(`${field}.pipeline`, message.pipeline);
  const planVersion = toCount(message.planVersion, `${field}.plan_version`);
  const phase = wordOf(`${field}.state`, phases, message.state);
  atMost(`${field}.stages`, message.stages.length, stagesMax);
  atMost(`${field}.lanes`, message.lanes.length, lanesMax);
  const assignment = assignmentOf(id);
  const held = assignment?.planVersion === planVersion ? assignment : undefined;
  const stages = message.stages.map((stage, index) =>
    toStageReport(stage, { field: `${field}.stages[${index}]`, nowMs, phase }),
  );
  const lanes = message.lanes.map((lane, index) =>
    toLaneReport(lane, `${field}.lanes[${index}]`, id),
  );
  const buffered = message.stages.map(({ bufferedBytes }) => Number(bufferedBytes));
  return {
    pipelineId: id,
    version: held?.generation ?? 0,
    planVersion,
    phase,
    message: text(`${field}.failure_message`, message.failureMessage, failureMaxBytes),
    startedAtMs: held?.assignedAtMs ?? 0,
    inFlightRecords: sum(lanes.map(({ inFlightRecords }) => inFlightRecords)),
    inFlightBytes: sum(buffered),
    lagRecords: sumOfKnown(lanes.map(({ lagRecords }) => lagRecords)),
    watermarkMs: leastOfKnown(lanes.filter(({ ended }) => !ended)),
    lastCommitAtMs: undefined,
    stages,
    edges: [],
    lanes,
  };
}

function toStageReport(
  message: StageMessage,
  at: { readonly field: string; readonly nowMs: number; readonly phase: RunPhase },
): StageReport {
  const { field, nowMs, phase } = at;
  const count = (name: string, value: bigint): number => toCount(value, `${field}.${name}`);
  count('buffered_records', message.bufferedRecords);
  count('buffered_bytes', message.bufferedBytes);
  count('spilled_bytes', message.spilledBytes);
  const failure = text(`${field}.failure_message`, message.failureMessage, stageFailureMaxBytes);
  return {
    name: required(`${field}.stage`, message.stage),
    recordsIn: count('records_in', message.recordsIn),
    bytesIn: count('bytes_in', message.bytesIn),
    recordsOut: count('records_out', message.recordsOut),
    bytesOut: count('bytes_out', message.bytesOut),
    filtered: count('records_filtered', message.recordsFiltered),
    failed: 0,
    retried: count('retries', message.retries),
    deadLettered: count('records_dead_lettered', message.recordsDeadLettered),
    dropped: count('records_dropped', message.recordsDropped),
    fault:
      message.failureCode === ''
        ? undefined
        : {
            code: text(`${field}.failure_code`, message.failureCode, connectorMaxBytes),
            message: failure,
            atMs: nowMs,
            standing: phase === 'failed',
          },
  };
}

function toLaneReport(message: LaneMessage, field: string, pipeline: string): LaneReport {
  const lane = toLane(message.lane, `${field}.lane`);
  if (lane.pipeline !== pipeline) {
    throw invalid(`${field}.lane.pipeline`, `is ${lane.pipeline} in the report of ${pipeline}`);
  }
  const watermark = toTimestamp(message.watermark, `${field}.watermark`);
  return {
    source: lane.source,
    partition: lane.partition,
    epoch: toCount(message.epoch, `${field}.epoch`),
    inFlightRecords: toCount(message.inFlightRecords, `${field}.in_flight_records`),
    lagRecords: optionalCount(`${field}.lag_records`, message.lagRecords),
    lagBytes: optionalCount(`${field}.lag_bytes`, message.lagBytes),
    watermarkMs: watermark === undefined ? undefined : timestampToMs(watermark),
    ended: message.ended,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function sumOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 || known.length < values.length ? undefined : sum(known);
}

function leastOfKnown(lanes: readonly LaneReport[]): number | undefined {
  const known = lanes.map(({ watermarkMs }) => watermarkMs).filter((at) => at !== undefined);
  return known.length === 0 || known.length < lanes.length ? undefined : Math.min(...known);
}
