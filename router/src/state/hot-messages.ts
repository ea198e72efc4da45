// Encoders for what every command is wrapped in: its proposal, and its answer. The generated encoder allocates a buffer
// a message and doubles it until all fits, which takes longer than what a small command does; these share one. Their
// bytes are those of the generated one (encoding.test.ts).

import { toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type CommandResult, CommandResultSchema } from '@etl-router/proto';

/** Fields of a Proposal. */
export interface ProposalFields {
  readonly version: number;
  readonly proposedAtNs: bigint;
  readonly uid: string;
  readonly sessionId?: string;
  readonly requestId?: string;
  /** A serialised Command. */
  readonly command: Uint8Array;
}

const writer = new BinaryWriter();
/** Number of the answer that most commands get. */
const commitField = 8;

/** A proposal's bytes. */
export function encodeProposalFields(fields: ProposalFields): Uint8Array {
  const { version, proposedAtNs, uid, sessionId = '', requestId = '', command } = fields;
  if (version !== 0) writer.tag(1, WireType.Varint).uint32(version);
  if (proposedAtNs !== 0n) writer.tag(2, WireType.Varint).int64(proposedAtNs);
  if (uid !== '') writer.tag(3, WireType.LengthDelimited).string(uid);
  if (sessionId !== '') writer.tag(4, WireType.LengthDelimited).string(sessionId);
  if (requestId !== '') writer.tag(5, WireType.LengthDelimited).string(requestId);
  if (command.length > 0) writer.tag(6, WireType.LengthDelimited).bytes(command);
  return writer.finish();
}

/** An answer's bytes: by hand where it says no more than that all was done. */
export function encodeResult(result: CommandResult): Uint8Array {
  const { revision, outcome } = result;
  const isCommit = outcome.case === 'commit' && outcome.value.refused.length === 0;
  if (outcome.case !== undefined && !isCommit) return toBinary(CommandResultSchema, result);
  if (revision !== 0n) writer.tag(1, WireType.Varint).uint64(revision);
  if (isCommit) writer.tag(commitField, WireType.LengthDelimited).uint32(0);
  return writer.finish();
}
