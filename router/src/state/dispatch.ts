// From a command to its handler.

import { unreachable } from '@etl-router/core';
import type { Command } from '@etl-router/proto';
import { assignPipeline, revokePipeline } from './assignments.ts';
import { saveServiceCheckpoint } from './checkpoints.ts';
import { reportDigest, takeDigest } from './digests.ts';
import {
  assignPartitions,
  commitGroupPositions,
  dropGroup,
  joinGroup,
  leaveGroup,
} from './groups.ts';
import { advanceWatermarks, commitPositions, dropLanes, openLanes, setPositions } from './lanes.ts';
import { invalid } from './names.ts';
import { deleteObject, putObject, setPipelineState } from './objects.ts';
import { raiseOperatorEpoch } from './operators.ts';
import { done, type Outcome } from './refusal.ts';
import { abortRestore, beginRestore, commitRestore, putRestoreChunk } from './restore.ts';
import { deregisterService, registerService, updateServiceHealth } from './services.ts';
import { expireSession, keepSession, openSession } from './sessions.ts';
import { deregisterSidecar, registerSidecar, updateSidecarHealth } from './sidecars.ts';
import type { Context } from './tables.ts';

/** Bodies of {@link dispatchWhole}, none among them. */
type WholeBody = Extract<
  Command['body'],
  {
    case?:
      | 'beginRestore'
      | 'putRestoreChunk'
      | 'commitRestore'
      | 'abortRestore'
      | 'takeDigest'
      | 'reportDigest'
      | 'raiseOperatorEpoch'
      | undefined;
  }
>;

/** Runs one command against the rows. Throws an EtlError to refuse it. */
export function dispatch(context: Context, { body }: Command): Outcome {
  switch (body.case) {
    case 'noop':
      return done;
    case 'putObject':
      return putObject(context, body.value);
    case 'deleteObject':
      return deleteObject(context, body.value);
    case 'setPipelineState':
      return setPipelineState(context, body.value);
    case 'registerService':
      return registerService(context, body.value);
    case 'deregisterService':
      return deregisterService(context, body.value);
    case 'updateServiceHealth':
      return updateServiceHealth(context, body.value);
    case 'registerSidecar':
      return registerSidecar(context, body.value);
    case 'deregisterSidecar':
      return deregisterSidecar(context, body.value);
    case 'updateSidecarHealth':
      return updateSidecarHealth(context, body.value);
    case 'assignPipeline':
      return assignPipeline(context, body.value);
    case 'revokePipeline':
      return revokePipeline(context, body.value);
    case 'openLanes':
      return openLanes(context, body.value);
    case 'commitPositions':
      return commitPositions(context, body.value);
    case 'setPositions':
      return setPositions(context, body.value);
    case 'dropLanes':
      return dropLanes(context, body.value);
    case 'advanceWatermarks':
      return advanceWatermarks(context, body.value);
    case 'saveServiceCheckpoint':
      return saveServiceCheckpoint(context, body.value);
    case 'joinGroup':
      return joinGroup(context, body.value);
    case 'leaveGroup':
      return leaveGroup(context, body.value);
    case 'assignPartitions':
      return assignPartitions(context, body.value);
    case 'commitGroupPositions':
      return commitGroupPositions(context, body.value);
    case 'dropGroup':
      return dropGroup(context, body.value);
    case 'openSession':
      return openSession(context, body.value);
    case 'keepSession':
      return keepSession(context, body.value);
    case 'expireSession':
      return expireSession(context, body.value);
    case 'beginRestore':
    case 'putRestoreChunk':
    case 'commitRestore':
    case 'abortRestore':
    case 'takeDigest':
    case 'reportDigest':
    case 'raiseOperatorEpoch':
    case undefined:
      return dispatchWhole(context, body);
    default:
      return unreachable(body, 'command');
  }
}

/** Commands that concern the whole state. */
function dispatchWhole(context: Context, body: WholeBody): Outcome {
  switch (body.case) {
    case 'beginRestore':
      return beginRestore(context, body.value);
    case 'putRestoreChunk':
      return putRestoreChunk(context, body.value);
    case 'commitRestore':
      return commitRestore(context, body.value);
    case 'abortRestore':
      return abortRestore(context, body.value);
    case 'takeDigest':
      return takeDigest(context);
    case 'reportDigest':
      return reportDigest(context, body.value);
    case 'raiseOperatorEpoch':
      return raiseOperatorEpoch(context, body.value);
    case undefined:
      throw invalid('command', 'must have exactly one body');
    default:
      return unreachable(body, 'command');
  }
}
