// How a command is refused: a handler throws an EtlError before or after it touched rows, apply undoes what was
// touched and answers with the code. Codes and messages are stored with a session's answers, so they are part of
// what all members must compute alike.

import { create } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import {
  type CommandResult,
  type Refusal,
  RefusalSchema,
  StoredPairSchema,
} from '@etl-router/proto';

/** What a handler answers. */
export type Outcome = CommandResult['outcome'];

/** The answer of commands that have nothing to say. */
export const done: Outcome = { case: undefined };

/** A refusal as it is sent and stored. */
export function toRefusal(error: EtlError): Refusal {
  return create(RefusalSchema, {
    code: error.code,
    message: error.message,
    details: Object.entries(error.details)
      .map(([name, value]) => create(StoredPairSchema, { name, value: String(value) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  });
}

/** Refuses because there is no such row. */
export function notFound(what: string, id: string): EtlError {
  return new EtlError('ETL_NOT_FOUND', `${what} ${id} does not exist`, { details: { what, id } });
}

/** Refuses because the state is not as the command expects. */
export function conflict(message: string, details: EtlError['details'] = {}): EtlError {
  return new EtlError('ETL_CONFLICT', message, { details });
}

/** Refuses a new row where there are `most` already. */
export function checkRoom(what: string, size: number, most: number): void {
  if (size < most) return;
  throw new EtlError(
    'ETL_LIMIT_EXCEEDED',
    `there are ${size} ${what} already, and at most ${most}; delete some first`,
    {
      details: { what, limit: most },
    },
  );
}
