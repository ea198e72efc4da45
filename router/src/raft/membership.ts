// Who belongs to the cluster, with names and addresses: what entries of the log change, what is stored with the applied
// state, and how both look in bytes.

import { EtlError } from '@etl-router/core';
import {
  type Configuration,
  type ConfigurationChange,
  changeConfiguration,
  checkConfiguration,
  type MemberStep,
  membersOf,
  noMembers,
} from './configuration.ts';
import {
  readMembership,
  readMembershipChange,
  writeMembership,
  writeMembershipChange,
} from './membership-bytes.ts';
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

export function encodeMembership(membership: Membership): Uint8Array {
  return writeMembership(membership);
}

/** Throws ETL_STORAGE_CORRUPT for what encodeMembership() did not make. */
export function decodeMembership(bytes: Uint8Array): Membership {
  try {
    const { configuration, members, removed } = readMembership(bytes);
    for (const id of [...members.map((member) => member.id), ...removed]) checkId(id);
    return { configuration: checkedConfiguration(configuration), members, removed };
  } catch (cause) {
    throw new EtlError('ETL_STORAGE_CORRUPT', 'the members of the cluster can not be read', {
      cause,
    });
  }
}

/** Leaving a joint configuration takes no bytes. */
export function encodeMembershipChange(change: MembershipChange): Uint8Array {
  return writeMembershipChange(change);
}

/** Throws ETL_STORAGE_CORRUPT: an entry that is committed was made by encodeMembershipChange(). */
export function decodeMembershipChange(bytes: Uint8Array): MembershipChange {
  try {
    const change = readMembershipChange(bytes);
    for (const { id } of change.steps) checkId(id);
    return change;
  } catch (cause) {
    throw new EtlError('ETL_STORAGE_CORRUPT', 'a change of members can not be read', { cause });
  }
}

/** Throws for ids out of range and lists that make no configuration. */
export function checkedConfiguration(configuration: Configuration): Configuration {
  for (const id of [...membersOf(configuration), ...configuration.nextLearners]) checkId(id);
  return checkConfiguration(configuration);
}

function checkId(id: number): void {
  if (!Number.isSafeInteger(id) || id < 1) throw refused(`id ${id} is out of range`);
}

function checkText(text: string, field: string, maxBytes: number): void {
  const isSafe = /^[\x21-\x7e]+$/.test(text) && text.length <= maxBytes;
  if (!isSafe)
    throw refused(`${field}: 1 to ${maxBytes} printable ASCII characters without spaces`);
}

function refused(why: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `members: ${why}`);
}
