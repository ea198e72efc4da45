// Who belongs to the cluster, with names and addresses: what entries of the log change, what is stored with the applied
// state, and how both look in bytes.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import {
  ConfigurationChangeSchema,
  ConfigurationSchema,
  ConfigurationStep,
  MembershipSchema,
  type Configuration as WireConfiguration,
} from '@etl-router/proto/raft';
import {
  type Configuration,
  type ConfigurationChange,
  changeConfiguration,
  checkConfiguration,
  type MemberStep,
  membersOf,
  noMembers,
} from './configuration.ts';
import type { Peer } from './transport.ts';

export interface Membership {
  readonly configuration: Configuration;
  /** One for each id of the configuration, ascending. */
  readonly members: readonly Peer[];
  /** Ids that were removed, in that order, the latest {@link maxRemoved}: none comes back. */
  readonly removed: readonly number[];
}

/** One step, with who it is where someone is added. */
export interface MembershipStep extends MemberStep {
  readonly name: string;
  readonly address: string;
}

export interface MembershipChange extends ConfigurationChange {
  readonly steps: readonly MembershipStep[];
}

export const noMembership: Membership = { configuration: noMembers, members: [], removed: [] };

const maxRemoved = 1000;
const maxNameBytes = 64;
const maxAddressBytes = 255;

/** The next membership. Throws ETL_INVALID_ARGUMENT that says why there is none. */
export function changeMembership(membership: Membership, change: MembershipChange): Membership {
  const configuration = changeConfiguration(membership.configuration, change);
  const known = new Map(membership.members.map((member) => [member.id, member]));
  for (const { step, id, name, address } of change.steps) {
    if (step === 'remove') continue;
    if (membership.removed.includes(id))
      throw refused(
        `member ${id} was removed; a member that comes back has a new data directory and id`,
      );
    checkText(name, 'name', maxNameBytes);
    checkText(address, 'address', maxAddressBytes);
    known.set(id, { id, name, address });
  }
  const ids = membersOf(configuration);
  const gone = membership.members.filter(({ id }) => !ids.includes(id)).map(({ id }) => id);
  return {
    configuration,
    members: ids.map((id) => known.get(id) ?? { id, name: String(id), address: '' }),
    removed: [...membership.removed, ...gone].slice(-maxRemoved),
  };
}

export function encodeMembership({ configuration, members, removed }: Membership): Uint8Array {
  const message = create(MembershipSchema, {
    configuration: toWireConfiguration(configuration),
    members: members.map(({ id, name, address }) => ({ raftId: BigInt(id), name, address })),
    removed: removed.map(BigInt),
  });
  return toBinary(MembershipSchema, message);
}

/** Throws ETL_STORAGE_CORRUPT for what encodeMembership() did not make. */
export function decodeMembership(bytes: Uint8Array): Membership {
  try {
    const { configuration, members, removed } = fromBinary(MembershipSchema, bytes);
    return {
      configuration: fromWireConfiguration(configuration),
      members: members.map(({ raftId, name, address }) => ({ id: toId(raftId), name, address })),
      removed: removed.map(toId),
    };
  } catch (cause) {
    throw new EtlError('ETL_STORAGE_CORRUPT', 'the members of the cluster can not be read', {
      cause,
    });
  }
}

const steps = {
  addVoter: ConfigurationStep.ADD_VOTER,
  addLearner: ConfigurationStep.ADD_LEARNER,
  remove: ConfigurationStep.REMOVE,
} as const;

/** Leaving a joint configuration takes no bytes. */
export function encodeMembershipChange({
  steps: changes,
  autoLeave,
}: MembershipChange): Uint8Array {
  const message = create(ConfigurationChangeSchema, {
    autoLeave,
    changes: changes.map(({ step, id, name, address }) => ({
      step: steps[step],
      raftId: BigInt(id),
      name,
      address,
    })),
  });
  return toBinary(ConfigurationChangeSchema, message);
}

/** Throws ETL_STORAGE_CORRUPT: an entry that is committed was made by encodeMembershipChange(). */
export function decodeMembershipChange(bytes: Uint8Array): MembershipChange {
  try {
    const { changes, autoLeave } = fromBinary(ConfigurationChangeSchema, bytes);
    return {
      autoLeave,
      steps: changes.map(({ step, raftId, name, address }) => ({
        step: fromWireStep(step),
        id: toId(raftId),
        name,
        address,
      })),
    };
  } catch (cause) {
    throw new EtlError('ETL_STORAGE_CORRUPT', 'a change of members can not be read', { cause });
  }
}

export function toWireConfiguration(configuration: Configuration): WireConfiguration {
  const { voters, outgoing, learners, nextLearners, autoLeave } = configuration;
  return create(ConfigurationSchema, {
    voters: voters.map(BigInt),
    outgoingVoters: outgoing.map(BigInt),
    learners: learners.map(BigInt),
    nextLearners: nextLearners.map(BigInt),
    autoLeave,
  });
}

/** Throws for ids out of range and lists that make no configuration. */
export function fromWireConfiguration(wire: WireConfiguration | undefined): Configuration {
  if (wire === undefined) return noMembers;
  return checkConfiguration({
    voters: wire.voters.map(toId),
    outgoing: wire.outgoingVoters.map(toId),
    learners: wire.learners.map(toId),
    nextLearners: wire.nextLearners.map(toId),
    autoLeave: wire.autoLeave,
  });
}

function fromWireStep(step: ConfigurationStep): MemberStep['step'] {
  const [name] = Object.entries(steps).find(([, value]) => value === step) ?? [];
  if (name === undefined) throw refused(`step ${step} is unknown`);
  return name as MemberStep['step'];
}

function toId(id: bigint): number {
  if (id < 1n || id > BigInt(Number.MAX_SAFE_INTEGER)) throw refused(`id ${id} is out of range`);
  return Number(id);
}

function checkText(text: string, field: string, maxBytes: number): void {
  const isSafe = /^[\x21-\x7e]+$/.test(text) && text.length <= maxBytes;
  if (!isSafe)
    throw refused(`${field}: 1 to ${maxBytes} printable ASCII characters without spaces`);
}

function refused(why: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `members: ${why}`);
}
