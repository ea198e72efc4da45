// Bytes of the members in log and state: the messages Membership and ConfigurationChange of proto/etl/raft/v1, field by
// field. Written by hand because the descriptors of the generated code take more memory than everything else in the
// log's thread; a test holds both against each other. Bounds are checked by membership.ts, not here.

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Configuration, type MemberStep, noMembers } from './configuration.ts';
import type { Membership, MembershipChange, MembershipStep } from './membership.ts';
import type { Peer } from './transport.ts';

const stepNumbers: { readonly [step in MemberStep['step']]: number } = {
  addVoter: 1,
  addLearner: 2,
  remove: 3,
};

export function writeMembership({ configuration, members, removed }: Membership): Uint8Array {
  const writer = new BinaryWriter();
  nested(writer, 1, () => writeConfiguration(writer, configuration));
  for (const { id, name, address } of members) {
    nested(writer, 2, () => {
      writeId(writer, 1, id);
      writeText(writer, 2, name);
      writeText(writer, 3, address);
    });
  }
  writeIds(writer, 3, removed);
  return writer.finish();
}

/** Throws for what are no such bytes. */
export function readMembership(bytes: Uint8Array): Membership {
  const members: Peer[] = [];
  const removed: number[] = [];
  let configuration = noMembers;
  readFields(new BinaryReader(bytes), bytes.length, (reader, field, wire) => {
    if (field === 1) configuration = readConfiguration(reader);
    else if (field === 2) members.push(readPeer(reader));
    else if (field === 3) readIds(reader, wire, removed);
    else reader.skip(wire, field);
  });
  return { configuration, members, removed };
}

/** Leaving a joint configuration takes no bytes. */
export function writeMembershipChange({ steps, autoLeave }: MembershipChange): Uint8Array {
  const writer = new BinaryWriter();
  for (const { step, id, name, address } of steps) {
    nested(writer, 1, () => {
      writer.tag(1, WireType.Varint).int32(stepNumbers[step]);
      writeId(writer, 2, id);
      writeText(writer, 3, name);
      writeText(writer, 4, address);
    });
  }
  writeFlag(writer, 2, autoLeave);
  return writer.finish();
}

/** Throws for what are no such bytes. */
export function readMembershipChange(bytes: Uint8Array): MembershipChange {
  const steps: MembershipStep[] = [];
  let autoLeave = false;
  readFields(new BinaryReader(bytes), bytes.length, (reader, field, wire) => {
    if (field === 1) steps.push(readStep(reader));
    else if (field === 2) autoLeave = reader.bool();
    else reader.skip(wire, field);
  });
  return { steps, autoLeave };
}

function writeConfiguration(writer: BinaryWriter, configuration: Configuration): void {
  const { voters, outgoing, learners, nextLearners, autoLeave } = configuration;
  for (const [at, ids] of [voters, outgoing, learners, nextLearners].entries())
    writeIds(writer, at + 1, ids);
  writeFlag(writer, 5, autoLeave);
}

function readConfiguration(outer: BinaryReader): Configuration {
  const voters: number[] = [];
  const outgoing: number[] = [];
  const learners: number[] = [];
  const nextLearners: number[] = [];
  const lists = [voters, outgoing, learners, nextLearners];
  let autoLeave = false;
  readFields(outer, outer.uint32(), (reader, field, wire) => {
    const ids = lists[field - 1];
    if (ids !== undefined) readIds(reader, wire, ids);
    else if (field === 5) autoLeave = reader.bool();
    else reader.skip(wire, field);
  });
  return { voters, outgoing, learners, nextLearners, autoLeave };
}

function readPeer(outer: BinaryReader): Peer {
  const peer = { id: 0, name: '', address: '' };
  readFields(outer, outer.uint32(), (reader, field, wire) => {
    if (field === 1) peer.id = readId(reader);
    else if (field === 2) peer.name = reader.string();
    else if (field === 3) peer.address = reader.string();
    else reader.skip(wire, field);
  });
  return peer;
}

function readStep(outer: BinaryReader): MembershipStep {
  const change = { number: 0, id: 0, name: '', address: '' };
  readFields(outer, outer.uint32(), (reader, field, wire) => {
    if (field === 1) change.number = reader.int32();
    else if (field === 2) change.id = readId(reader);
    else if (field === 3) change.name = reader.string();
    else if (field === 4) change.address = reader.string();
    else reader.skip(wire, field);
  });
  const { number, ...member } = change;
  const [step] = Object.entries(stepNumbers).find(([, each]) => each === number) ?? [];
  if (step === undefined) throw new Error(`step ${number} is unknown`);
  return { step: step as MemberStep['step'], ...member };
}

function nested(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

function readFields(
  reader: BinaryReader,
  length: number,
  read: (reader: BinaryReader, field: number, wire: WireType) => void,
): void {
  const end = reader.pos + length;
  while (reader.pos < end) {
    const [field, wire] = reader.tag();
    read(reader, field, wire);
  }
  if (reader.pos !== end) throw new Error(`a field goes beyond byte ${end}`);
}

function writeId(writer: BinaryWriter, field: number, id: number): void {
  writer.tag(field, WireType.Varint).uint64(id);
}

function writeText(writer: BinaryWriter, field: number, text: string): void {
  if (text !== '') writer.tag(field, WireType.LengthDelimited).string(text);
}

function writeFlag(writer: BinaryWriter, field: number, flag: boolean): void {
  if (flag) writer.tag(field, WireType.Varint).bool(flag);
}

function writeIds(writer: BinaryWriter, field: number, ids: readonly number[]): void {
  if (ids.length === 0) return;
  nested(writer, field, () => {
    for (const id of ids) writer.uint64(id);
  });
}

function readIds(reader: BinaryReader, wire: WireType, ids: number[]): void {
  if (wire !== WireType.LengthDelimited) {
    ids.push(readId(reader));
    return;
  }
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) ids.push(readId(reader));
  if (reader.pos !== end) throw new Error(`a list of ids goes beyond byte ${end}`);
}

function readId(reader: BinaryReader): number {
  return Number(reader.uint64());
}
