// Who belongs to the cluster, and how that changes: one member at a time, or several through a joint configuration
// (thesis 4.1 and 4.3). Pure: a configuration and a change in, the next configuration or the reason against it out.

import { EtlError } from '@etl-router/core';

/** Raft ids, each list ascending. */
export interface Configuration {
  /** Vote; while joint: those of the half that begins. */
  readonly voters: readonly number[];
  /** While joint: those of the half that ends. Empty: not joint. */
  readonly outgoing: readonly number[];
  /** Receive entries, are never counted. */
  readonly learners: readonly number[];
  /** While joint: outgoing voters that become learners when it ends. */
  readonly nextLearners: readonly number[];
  /** While joint: the leader ends it by itself. */
  readonly autoLeave: boolean;
}

export interface MemberStep {
  readonly step: 'addVoter' | 'addLearner' | 'remove';
  readonly id: number;
}

/** No steps: leaves a joint configuration. Several: enters one, unless there were no members before. */
export interface ConfigurationChange {
  readonly steps: readonly MemberStep[];
  /** Whether the leader ends the joint configuration by itself. */
  readonly autoLeave: boolean;
}

/** Members of a cluster, learners included. */
export const maxMembers = 9;

export const noMembers: Configuration = {
  voters: [],
  outgoing: [],
  learners: [],
  nextLearners: [],
  autoLeave: false,
};

/** A configuration of voters only. */
export function configurationOf(...voters: readonly number[]): Configuration {
  return { ...noMembers, voters: voters.toSorted((a, b) => a - b) };
}

export function isJoint({ outgoing }: Configuration): boolean {
  return outgoing.length > 0;
}

/** Every id of it, ascending. */
export function membersOf(configuration: Configuration): readonly number[] {
  const { voters, outgoing, learners } = configuration;
  return [...new Set([...voters, ...outgoing, ...learners])].toSorted((a, b) => a - b);
}

export function isVoter({ voters, outgoing }: Configuration, id: number): boolean {
  return voters.includes(id) || outgoing.includes(id);
}

/** The next configuration. Throws ETL_INVALID_ARGUMENT that says why there is none. */
export function changeConfiguration(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration {
  if (change.steps.length === 0) return leaveJoint(configuration);
  if (isJoint(configuration)) throw refused('a change of several members is not completed yet');
  const next = applySteps(configuration, change.steps);
  if (next.voters.length === 0) throw refused('no voter would be left');
  if (membersOf(next).length > maxMembers) throw refused(`at most ${maxMembers} members`);
  // A cluster that begins has no half that ends.
  const isSimple = change.steps.length === 1 || configuration.voters.length === 0;
  if (isSimple) return checkConfiguration(withoutNext(next));
  return checkConfiguration({
    ...next,
    outgoing: configuration.voters,
    nextLearners: next.learners.filter((id) => configuration.voters.includes(id)),
    learners: next.learners.filter((id) => !configuration.voters.includes(id)),
    autoLeave: change.autoLeave,
  });
}

function leaveJoint(configuration: Configuration): Configuration {
  if (!isJoint(configuration)) throw refused('there is no change of several members to complete');
  const learners = [...configuration.learners, ...configuration.nextLearners];
  return checkConfiguration({
    ...noMembers,
    voters: configuration.voters,
    learners: learners.toSorted((a, b) => a - b),
  });
}

function applySteps(
  { voters, learners }: Configuration,
  steps: readonly MemberStep[],
): Configuration {
  const [voting, learning] = [new Set(voters), new Set(learners)];
  const named = new Set<number>();
  for (const { step, id } of steps) {
    if (!Number.isSafeInteger(id) || id < 1) throw refused('a member id is from 1 to 2^53 - 1');
    if (named.has(id)) throw refused(`member ${id} is named twice`);
    named.add(id);
    voting.delete(id);
    learning.delete(id);
    if (step === 'addVoter') voting.add(id);
    if (step === 'addLearner') learning.add(id);
  }
  const ascending = (ids: ReadonlySet<number>): number[] => [...ids].toSorted((a, b) => a - b);
  return { ...noMembers, voters: ascending(voting), learners: ascending(learning) };
}

function withoutNext(configuration: Configuration): Configuration {
  return { ...configuration, nextLearners: [], autoLeave: false };
}

/** A configuration that no sequence of changes leads to is damage, or comes from another release. */
export function checkConfiguration(configuration: Configuration): Configuration {
  const { voters, outgoing, learners, nextLearners } = configuration;
  for (const ids of [voters, outgoing, learners, nextLearners]) {
    const isAscending = ids.every((id, at) => at === 0 || id > (ids[at - 1] as number));
    if (!isAscending) throw refused('members are not listed in ascending order, each once');
  }
  if (learners.some((id) => isVoter(configuration, id))) throw refused('a learner votes');
  if (nextLearners.some((id) => !outgoing.includes(id) || voters.includes(id)))
    throw refused('a voter that is to become a learner is no outgoing voter, or stays a voter');
  return configuration;
}

function refused(why: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `members: ${why}`);
}
