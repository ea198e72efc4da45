// The two ends of the log's entries: what is proposed, and what it was answered.

import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type ErrorCode, EtlError, errorCodes } from '@etl-router/core';
import {
  type CommandResult,
  CommandResultSchema,
  type Proposal,
  ProposalSchema,
} from '@etl-router/proto';
import { type CommandBody, encodeProposalFields } from './hot-messages.ts';

export type { CommandBody } from './hot-messages.ts';

/** The latest version of the commands' meaning that this code applies. */
export const commandVersion = 3;

/** Versions that commands came with. All others mean what they meant in version 1. */
const versions: ReadonlyMap<CommandBody['case'], number> = new Map([
  ['abortRestore', 2],
  ['beginRestore', 2],
  ['commitRestore', 2],
  ['putRestoreChunk', 2],
  ['reportDigest', 2],
  ['takeDigest', 2],
  ['raiseOperatorEpoch', 3],
]);

/** What stands on a proposal beside the command. */
export interface ProposalStamps {
  readonly proposedAtNs: bigint;
  readonly uid: string;
  /** Both set, or neither: makes a retry of the same request apply once. */
  readonly request?: { readonly sessionId: string; readonly requestId: string };
}

/** The bytes of a log entry. */
export function encodeProposal(body: CommandBody, stamps: ProposalStamps): Uint8Array {
  return encodeProposalFields({
    version: versions.get(body.case) ?? 1,
    proposedAtNs: stamps.proposedAtNs,
    uid: stamps.uid,
    command: body,
    ...stamps.request,
  });
}

/**
 * A proposal of another member with this one's time: of several clocks in one log the one that is furthest ahead would
 * rule them all. What a repeat of a request is known by stays. Throws ETL_INVALID_ARGUMENT for what is no proposal, and
 * ETL_UNSUPPORTED for one that members of this release would stop at.
 */
export function restampProposal(bytes: Uint8Array, proposedAtNs: bigint): Uint8Array {
  let proposal: Proposal;
  try {
    proposal = fromBinary(ProposalSchema, bytes);
  } catch (cause) {
    throw new EtlError('ETL_INVALID_ARGUMENT', 'command: is no proposal', { cause });
  }
  if (proposal.version > commandVersion) {
    throw new EtlError(
      'ETL_UNSUPPORTED',
      `command: is of version ${proposal.version}, the leader knows ${commandVersion}; run a later release there, then send it again`,
    );
  }
  return toBinary(ProposalSchema, { ...proposal, proposedAtNs });
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
