// The two ends of the log's entries: what is proposed, and what it was answered.

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type ErrorCode, EtlError, errorCodes } from '@etl-router/core';
import {
  type CommandResult,
  CommandResultSchema,
  CommandSchema,
  ProposalSchema,
} from '@etl-router/proto';

/** The version of the commands' meaning that this code applies. */
export const commandVersion = 1;

/** One of the commands, as it is written in code: `{ case: 'noop', value: {} }`. */
export type CommandBody = NonNullable<MessageInitShape<typeof CommandSchema>['body']>;

/** What stands on a proposal beside the command. */
export interface ProposalStamps {
  readonly proposedAtNs: bigint;
  readonly uid: string;
  /** Both set, or neither: makes a retry of the same request apply once. */
  readonly request?: { readonly sessionId: string; readonly requestId: string };
}

/** The bytes of a log entry. */
export function encodeProposal(body: CommandBody, stamps: ProposalStamps): Uint8Array {
  return toBinary(
    ProposalSchema,
    create(ProposalSchema, {
      version: commandVersion,
      proposedAtNs: stamps.proposedAtNs,
      uid: stamps.uid,
      command: toBinary(CommandSchema, create(CommandSchema, { body })),
      ...stamps.request,
    }),
  );
}

/** The answer in an applied entry's result. */
export function decodeResult(result: Uint8Array): CommandResult {
  return fromBinary(CommandResultSchema, result);
}

/** The answer, or the refusal thrown as the error it was. */
export function acceptedResult(result: Uint8Array): CommandResult {
  const decoded = decodeResult(result);
  if (decoded.outcome.case !== 'refusal') return decoded;
  const { code, message, details } = decoded.outcome.value;
  throw new EtlError(toErrorCode(code), message, {
    details: Object.fromEntries(details.map((pair) => [pair.name, pair.value])),
  });
}

/** A stored code as a registered one. */
export function toErrorCode(code: string): ErrorCode {
  return Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'ETL_INTERNAL';
}
