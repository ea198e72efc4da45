// Messages as tests write them, and the short way to a leader.

import { configurationOf } from '../../src/raft/configuration.ts';
import type { RaftOptions } from '../../src/raft/core-state.ts';
import type { Message, MessageBody, MessageOf } from '../../src/raft/messages.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { Member } from './member.ts';

/** From one to another in a term. */
export interface Way {
  readonly from: number;
  readonly to: number;
  readonly term: number;
}

export function says(way: Way, body: MessageBody): Message {
  return { ...way, ...body };
}

/** Entries of these terms, behind `previousIndex`. */
export function entriesOf(previousIndex: number, terms: readonly number[]): readonly Entry[] {
  return terms.map((term, at): Entry => {
    const index = previousIndex + at + 1;
    return { index, term, type: 'normal', data: Buffer.from(`${term}.${index}`) };
  });
}

export function append(
  way: Way,
  [previousIndex, previousTerm]: readonly [number, number],
  terms: readonly number[] = [],
  commitIndex = 0,
): Message {
  const entries = entriesOf(previousIndex, terms);
  return says(way, { type: 'appendEntries', previousIndex, previousTerm, entries, commitIndex });
}

export function taken(way: Way, index: number): Message {
  const body = { type: 'appendEntriesReply', rejected: false, hintIndex: 0, hintTerm: 0 } as const;
  return says(way, { ...body, index });
}

export function refused(way: Way, index: number, hintIndex: number, hintTerm: number): Message {
  return says(way, { type: 'appendEntriesReply', rejected: true, index, hintIndex, hintTerm });
}

export function beat(way: Way, commitIndex = 0, readContext = 0): Message {
  return says(way, { type: 'heartbeat', commitIndex, readContext });
}

export function beatReply(way: Way, readContext = 0): Message {
  return says(way, { type: 'heartbeatReply', readContext });
}

export function ask(
  way: Way,
  [lastIndex, lastTerm]: readonly [number, number],
  how: { readonly preVote?: boolean; readonly transfer?: boolean } = {},
): Message {
  const { preVote = false, transfer = false } = how;
  return says(way, { type: 'requestVote', preVote, transfer, lastIndex, lastTerm });
}

export function voted(way: Way, granted: boolean, preVote = false): Message {
  return says(way, { type: 'requestVoteReply', preVote, granted });
}

/** Those of one type. */
export function only<Type extends MessageBody['type']>(
  messages: readonly Message[],
  type: Type,
): readonly MessageOf<Type>[] {
  return messages.filter((message): message is MessageOf<Type> => message.type === type);
}

/** Member 1 of that many voters, whose time-outs are all E. */
export function one(voters: number, options: Partial<RaftOptions> = {}): Member {
  const ids = Array.from({ length: voters }, (_, at) => at + 1);
  return new Member(1, configurationOf(...ids), { random: () => 0, ...options });
}

/** Makes a member candidate: everyone would vote for it. Returns what it sends then. */
export function stand(member: Member): readonly Message[] {
  member.raft.campaign();
  member.drain();
  grant(member, true);
  return member.drain();
}

/** Makes a member leader by the votes of all others. Returns what it sends then. */
export function lead(member: Member): readonly Message[] {
  stand(member);
  grant(member, false);
  return member.drain();
}

function grant(member: Member, preVote: boolean): void {
  const { term, configuration } = member.raft.status();
  for (const from of [...configuration.voters, ...configuration.outgoing]) {
    const way = { from, to: member.id, term: preVote ? term + 1 : term };
    if (from !== member.id) member.raft.step(voted(way, true, preVote));
  }
}
