// What the state machine answers a command with, as what a history says was told.

import type { CommandResult } from '@etl-router/proto';
import type { Operation, OperationName, Operations } from './operations.ts';

/** An operation that is about to be answered. */
export type Request = {
  readonly [Name in OperationName]: { readonly op: Name; readonly in: Operations[Name]['in'] };
}[OperationName];

/** What was told, of whatever operation. */
export type Answer = NonNullable<Operation['out']>;

type Outcome = CommandResult['outcome'];

/** Throws for an answer that the operation can not have. */
export function answerOf({ op }: Request, { outcome }: CommandResult): Answer {
  const answer = outcome.case === 'refusal' ? refusalOf(op, outcome) : doneOf(op, outcome);
  if (answer === undefined) throw new Error(`${op} was answered with ${outcome.case}`);
  return answer;
}

function doneOf(op: OperationName, outcome: Outcome): Answer | undefined {
  if (outcome.case === 'putObject' && (op === 'create' || op === 'update')) {
    const { resourceVersion, changed } = outcome.value;
    return { version: Number(resourceVersion), changed };
  }
  if (outcome.case === 'droppedLanes' && op === 'delete') return {};
  if (outcome.case === 'openLanes' && op === 'acquireEpoch') {
    const [lane] = outcome.value.lanes;
    return lane && { epoch: Number(lane.epoch), position: toHex(lane.position) };
  }
  if (outcome.case !== 'commit') return undefined;
  const [refused] = outcome.value.refused;
  if (refused === undefined) return {};
  const [epoch, position] = [Number(refused.epoch), toHex(refused.position)];
  const isFenced = refused.code === 'ETL_FENCED';
  if (op === 'commitGroupPosition') {
    return isFenced ? { error: 'fenced', generation: epoch } : { error: 'conflict', position };
  }
  if (refused.code === 'ETL_NOT_FOUND') return { error: 'notFound' };
  if (isFenced) return { error: 'fenced', epoch, position };
  return { error: refused.code === 'ETL_CONFLICT' ? 'conflict' : 'invalid', epoch, position };
}

function refusalOf(
  op: OperationName,
  { value }: Extract<Outcome, { case: 'refusal' }>,
): Answer | undefined {
  const isObject = op === 'create' || op === 'update' || op === 'delete';
  if (isObject && value.code === 'ETL_CONFLICT') {
    const found = value.details.find(({ name }) => name === 'found')?.value;
    return found === undefined ? undefined : { error: 'conflict', version: Number(found) };
  }
  if (op === 'delete' && value.code === 'ETL_NOT_FOUND') return { error: 'notFound' };
  // Of a rule that no model has, such as who a pipeline is assigned to. Nothing was done.
  return op === 'commitGroupPosition' && value.code === 'ETL_FENCED'
    ? { error: 'fenced' }
    : { error: 'refused' };
}

/** Bytes as positions are written. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
