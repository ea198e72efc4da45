// A configuration as it goes with a snapshot between members.

import { create } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import {
  ConfigurationSchema,
  type Configuration as WireConfiguration,
} from '@etl-router/proto/raft';
import { type Configuration, noMembers } from '../configuration.ts';
import { checkedConfiguration } from '../membership.ts';

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
  return checkedConfiguration({
    voters: wire.voters.map(toId),
    outgoing: wire.outgoingVoters.map(toId),
    learners: wire.learners.map(toId),
    nextLearners: wire.nextLearners.map(toId),
    autoLeave: wire.autoLeave,
  });
}

function toId(id: bigint): number {
  if (id >= 1n && id <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(id);
  throw new EtlError('ETL_INVALID_ARGUMENT', `members: id ${id} is out of range`);
}
