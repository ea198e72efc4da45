// Encoders for what every command is wrapped in, its proposal and its answer, and for the commands that come all the
// time. The generated encoder makes a message of what it is given and allocates a buffer for each, which takes longer
// than what a small command does; these write into one that they share. Their bytes are those of the generated one
// (encoding.test.ts).

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  type CommandResult,
  CommandResultSchema,
  CommandSchema,
  type ProposalSchema,
} from '@etl-router/proto';

/** One of the commands, as it is written in code: `{ case: 'noop', value: {} }`. */
export type CommandBody = NonNullable<MessageInitShape<typeof CommandSchema>['body']>;

/** Fields of a Proposal; the command is serialised within it. */
export interface ProposalFields
  extends Pick<
    MessageInitShape<typeof ProposalSchema>,
    'version' | 'proposedAtNs' | 'uid' | 'sessionId' | 'requestId'
  > {
  readonly command: CommandBody;
}

type ValueOf<Case extends CommandBody['case']> = Extract<CommandBody, { case: Case }>['value'];
type CommitItem = NonNullable<ValueOf<'commitPositions'>['items']>[number];

let writer = new BinaryWriter();
/** Numbers of the commands that are written here. */
const commitPositionsField = 14;
const saveServiceCheckpointField = 18;
/** Number of the answer that most commands get. */
const commitField = 8;

/** A proposal's bytes. */
export function encodeProposalFields(fields: ProposalFields): Uint8Array {
  const { version = 0, proposedAtNs = 0n, uid = '', command } = fields;
  const { sessionId = '', requestId = '' } = fields;
  try {
    if (version !== 0) writer.tag(1, WireType.Varint).uint32(version);
    if (proposedAtNs !== 0n) writer.tag(2, WireType.Varint).int64(proposedAtNs);
    writeText(3, uid);
    writeText(4, sessionId);
    writeText(5, requestId);
    writer.tag(6, WireType.LengthDelimited).fork();
    writeCommand(command);
    return writer.join().finish();
  } catch (error) {
    // A value out of its range: what was written of the message is in nobody's way.
    writer = new BinaryWriter();
    throw error;
  }
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

function writeCommand(body: CommandBody): void {
  if (body.case === 'saveServiceCheckpoint') {
    writer.tag(saveServiceCheckpointField, WireType.LengthDelimited).fork();
    writeCheckpoint(body.value);
    writer.join();
  } else if (body.case === 'commitPositions') {
    writer.tag(commitPositionsField, WireType.LengthDelimited).fork();
    for (const item of body.value.items ?? []) writeCommit(item);
    writer.join();
  } else writer.raw(toBinary(CommandSchema, create(CommandSchema, { body })));
}

function writeCheckpoint(value: ValueOf<'saveServiceCheckpoint'>): void {
  const { serviceId, checkpointId, data, positions = [] } = value;
  writeText(1, serviceId);
  writeText(2, checkpointId);
  writeBytes(3, data);
  for (const { source, partition, position } of positions) {
    writer.tag(4, WireType.LengthDelimited).fork();
    writeText(1, source);
    writeText(2, partition);
    writeBytes(3, position);
    writer.join();
  }
}

function writeCommit({ lane, epoch = 0n, position, watermark }: CommitItem): void {
  writer.tag(1, WireType.LengthDelimited).fork();
  if (lane !== undefined) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writeText(1, lane.pipeline);
    writeText(2, lane.source);
    writeText(3, lane.partition);
    writer.join();
  }
  if (epoch !== 0n) writer.tag(2, WireType.Varint).uint64(epoch);
  writeBytes(3, position);
  if (watermark !== undefined) {
    const { seconds = 0n, nanos = 0 } = watermark;
    writer.tag(4, WireType.LengthDelimited).fork();
    if (seconds !== 0n) writer.tag(1, WireType.Varint).int64(seconds);
    if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
    writer.join();
  }
  writer.join();
}

function writeText(field: number, text = ''): void {
  if (text !== '') writer.tag(field, WireType.LengthDelimited).string(text);
}

function writeBytes(field: number, bytes: Uint8Array | undefined): void {
  if (bytes !== undefined && bytes.length > 0)
    writer.tag(field, WireType.LengthDelimited).bytes(bytes);
}
