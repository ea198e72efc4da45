// What members do, a line each, as transcripts show it. Positions are index/term.

import { unreachable } from '@etl-router/core';
import type { Configuration, ConfigurationChange } from '../../src/raft/configuration.ts';
import type { Message } from '../../src/raft/messages.ts';
import type { RaftStatus } from '../../src/raft/raft.ts';
import type { Entry, LogRecord } from '../../src/storage/log-types.ts';
import { decodeChange } from './member.ts';

/** `voters 1 2 3, outgoing 1 2, learners 4`. */
export function describeMembers(configuration: Configuration): string {
  const { voters, outgoing, learners, nextLearners, autoLeave } = configuration;
  const lists = { voters, outgoing, learners, 'next learners': nextLearners };
  const parts = Object.entries(lists).flatMap(([name, ids]) =>
    ids.length === 0 ? [] : [`${name} ${ids.join(' ')}`],
  );
  if (autoLeave) parts.push('ends by itself');
  return parts.join(', ') || 'nobody';
}

export function describeChange({ steps, autoLeave }: ConfigurationChange): string {
  if (steps.length === 0) return 'leave joint';
  const signs = { addVoter: '+', addLearner: '~', remove: '-' } as const;
  const text = steps.map(({ step, id }) => `${signs[step]}${id}`).join(' ');
  return autoLeave ? `${text} auto` : text;
}

export function describeEntry({ index, term, type, data }: Entry): string {
  const at = `${index}/${term}`;
  if (type === 'configuration') return `${at} (${describeChange(decodeChange(data))})`;
  if (data.length > 24) return `${at} ${data.length} bytes`;
  return `${at} "${Buffer.from(data).toString()}"`;
}

function describeEntries(entries: readonly Entry[]): string {
  if (entries.length <= 4) return entries.map(describeEntry).join(' ');
  const [first, last] = [entries[0] as Entry, entries.at(-1) as Entry];
  return `${describeEntry(first)} to ${describeEntry(last)}`;
}

export function describeRecord({ hardState, entries = [], snapshot }: LogRecord): string {
  const parts: string[] = [];
  if (hardState !== undefined)
    parts.push(`term ${hardState.term} vote ${hardState.vote} commit ${hardState.commit}`);
  if (snapshot !== undefined) parts.push(`snapshot ${snapshot.index}/${snapshot.term}`);
  if (entries.length > 0) parts.push(describeEntries(entries));
  return parts.join(', ');
}

export function describeRole({ role, term, leader }: RaftStatus): string {
  const of = role === 'follower' && leader !== 0 ? ` of ${leader}` : '';
  return `${role}${of}, term ${term}`;
}

export function describeStatus(status: RaftStatus): string {
  const { id, vote, commitIndex, applied, lastIndex, configuration, transferee } = status;
  const transfer = transferee === 0 ? '' : `, hands over to ${transferee}`;
  const lines = [
    `${id} ${describeRole(status)}, vote ${vote}, commit ${commitIndex}, applied ${applied}, last ${lastIndex}${transfer}`,
    `  ${describeMembers(configuration)}`,
  ];
  for (const { id: other, match, state, isActive } of status.progress)
    if (other !== id)
      lines.push(`  ${other} ${state}, match ${match}${isActive ? '' : ', not heard of'}`);
  return lines.join('\n');
}

export function describeMessage(message: Message): string {
  return `${message.from}>${message.to} ${describeBody(message)}, term ${message.term}`;
}

function describeBody(message: Message): string {
  switch (message.type) {
    case 'requestVote': {
      const { preVote, lastIndex, lastTerm, transfer } = message;
      return `${preVote ? 'prevote' : 'vote'}? last ${lastIndex}/${lastTerm}${transfer ? ' transfer' : ''}`;
    }
    case 'requestVoteReply':
      return `${message.preVote ? 'prevote' : 'vote'} ${message.granted ? 'yes' : 'no'}`;
    case 'appendEntries': {
      const { previousIndex, previousTerm, entries, commitIndex } = message;
      const what = entries.length === 0 ? 'nothing' : describeEntries(entries);
      return `append ${what} after ${previousIndex}/${previousTerm}, commit ${commitIndex}`;
    }
    case 'appendEntriesReply': {
      const { rejected, index, hintIndex, hintTerm } = message;
      return rejected
        ? `refused after ${index}, try ${hintIndex}/${hintTerm}`
        : `taken to ${index}`;
    }
    case 'heartbeat':
      return `beat, commit ${message.commitIndex}${inRound(message.readContext)}`;
    case 'heartbeatReply':
      return `beat heard${inRound(message.readContext)}`;
    case 'timeoutNow':
      return 'campaign now';
    case 'readIndex':
      return `read ${message.context}?`;
    case 'readIndexReply':
      return `read ${message.context} ${message.index === 0 ? 'refused' : `at ${message.index}`}`;
    case 'installSnapshot':
      return `snapshot ${message.index}/${message.indexTerm} of ${describeMembers(message.configuration)}`;
    default:
      return unreachable(message);
  }
}

function inRound(round: number): string {
  return round === 0 ? '' : ` round ${round}`;
}
