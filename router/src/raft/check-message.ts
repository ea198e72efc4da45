// Whether a message of another member can be what a member of a cluster says: pure, from nothing but the message, the
// id of the one who reads it and its term. What fails here never reaches the core, so that no peer can make it assert.

import { EtlError } from '@etl-router/core';
import { maxEntryBytes } from '../storage/log-types.ts';
import { checkConfiguration, maxMembers } from './configuration.ts';
import type {
  AppendEntries,
  AppendEntriesReply,
  InstallSnapshot,
  Message,
  MessageBody,
  RequestVote,
} from './messages.ts';

/** Entries of one append. */
export const maxAppendEntries = 512;

/** Data of the entries of one append; what a single entry may have. */
export const maxAppendBytes: number = maxEntryBytes;

/**
 * How far a message may raise the term. Every election raises it by one: more than this is damage or an attack, and
 * following it would use up the terms there are.
 */
export const maxTermJump = 1_000_000;

/** Why member `id` drops a message; undefined when it can be stepped. */
export function checkMessage(message: Message, id: number): string | undefined {
  const { from, to, term } = message;
  if (to !== id) return `to: is for member ${to}, this is ${id}`;
  if (!isIndex(from) || from === 0) return 'from: must be the id of a member';
  if (from === id) return 'from: a member sends nothing to itself';
  if (!isIndex(term) || term === 0) return 'term: must be from 1 to 2^53 - 1';
  return checkBody(message, term);
}

/** The alarm for a message that would raise the term too far; undefined when it may be stepped. */
export function checkTermJump({ from, term }: Message, ownTerm: number): EtlError | undefined {
  if (term - ownTerm <= maxTermJump) return undefined;
  return new EtlError(
    'ETL_INVALID_ARGUMENT',
    `member ${from} sends term ${term}, this one is in term ${ownTerm}; more than ${maxTermJump} elections between the two can not be: look for a damaged log or a foreign router there, and replace that member under a new id`,
    { details: { from, term, ownTerm } },
  );
}

function checkBody(body: MessageBody, term: number): string | undefined {
  switch (body.type) {
    case 'requestVote':
      return checkVote(body, term);
    case 'appendEntries':
      return checkAppend(body, term);
    case 'appendEntriesReply':
      return checkAppendReply(body, term);
    case 'heartbeat':
      return checkIndexes({ commitIndex: body.commitIndex, readContext: body.readContext });
    case 'heartbeatReply':
      return checkIndexes({ readContext: body.readContext });
    case 'readIndex':
      return checkContext(body.context);
    case 'readIndexReply':
      return checkContext(body.context) ?? checkIndexes({ index: body.index });
    case 'installSnapshot':
      return checkSnapshot(body, term);
    case 'requestVoteReply':
    case 'timeoutNow':
      return undefined;
    default:
      return describeUnknown(body);
  }
}

function checkVote(
  { preVote, transfer, lastIndex, lastTerm }: RequestVote,
  term: number,
): string | undefined {
  const wrong = checkIndexes({ lastIndex, lastTerm }) ?? checkPosition('last', lastIndex, lastTerm);
  if (wrong !== undefined) return wrong;
  // It asks for a term that begins: nobody has entries of it.
  if (lastTerm >= term) return `lastTerm: ${lastTerm} is not below the term asked for, ${term}`;
  return preVote && transfer ? 'transfer: a transfer asks for votes at once' : undefined;
}

function checkAppend(
  { previousIndex, previousTerm, entries, commitIndex }: AppendEntries,
  term: number,
): string | undefined {
  const wrong =
    checkIndexes({ previousIndex, previousTerm, commitIndex }) ??
    checkPosition('previous', previousIndex, previousTerm);
  if (wrong !== undefined) return wrong;
  if (previousTerm > term) return `previousTerm: ${previousTerm} is above the term, ${term}`;
  if (entries.length > maxAppendEntries)
    return `entries: has ${entries.length} items, at most ${maxAppendEntries}`;
  let [bytes, before] = [0, previousTerm];
  for (const [at, entry] of entries.entries()) {
    const expected = previousIndex + at + 1;
    if (entry.index !== expected || !isIndex(expected))
      return `entries[${at}].index: is ${entry.index} where ${expected} follows`;
    if (!isIndex(entry.term) || entry.term < before || entry.term === 0)
      return `entries[${at}].term: is ${entry.term} after ${before}`;
    if (entry.term > term) return `entries[${at}].term: ${entry.term} is above the term, ${term}`;
    if (entry.type !== 'normal' && entry.type !== 'configuration')
      return `entries[${at}].type: is unknown`;
    before = entry.term;
    bytes += entry.data.length;
  }
  return bytes > maxAppendBytes
    ? `entries: have ${bytes} bytes, at most ${maxAppendBytes}`
    : undefined;
}

function checkAppendReply(
  { rejected, index, hintIndex, hintTerm }: AppendEntriesReply,
  term: number,
): string | undefined {
  const wrong = checkIndexes({ index, hintIndex, hintTerm });
  if (wrong !== undefined) return wrong;
  if (!rejected && (hintIndex > 0 || hintTerm > 0)) return 'hintIndex: goes with a refusal';
  if (hintIndex > index) return `hintIndex: ${hintIndex} is behind what was refused, ${index}`;
  return hintTerm > term ? `hintTerm: ${hintTerm} is above the term, ${term}` : undefined;
}

function checkSnapshot(
  { index, indexTerm, configuration }: InstallSnapshot,
  term: number,
): string | undefined {
  const wrong = checkIndexes({ index, indexTerm });
  if (wrong !== undefined) return wrong;
  if (index === 0 || indexTerm === 0) return 'index: a snapshot holds an entry at least';
  if (indexTerm > term) return `indexTerm: ${indexTerm} is above the term, ${term}`;
  const { voters, outgoing, learners, nextLearners } = configuration;
  if (voters.length === 0) return 'configuration: has no voters';
  for (const ids of [voters, outgoing, learners, nextLearners]) {
    if (ids.length > maxMembers) return `configuration: lists more than ${maxMembers} members`;
    if (!ids.every((each) => isIndex(each) && each > 0))
      return 'configuration: an id is out of range';
  }
  try {
    checkConfiguration(configuration);
    return undefined;
  } catch (error) {
    return `configuration: ${(error as Error).message}`;
  }
}

/** Index 0 is before the first entry, and nothing else has term 0. */
function checkPosition(name: string, index: number, term: number): string | undefined {
  if ((index === 0) === (term === 0)) return undefined;
  return `${name}Term: is ${term} at index ${index}`;
}

function checkContext(context: number): string | undefined {
  return isIndex(context) && context > 0 ? undefined : 'context: must be from 1 to 2^53 - 1';
}

function checkIndexes(numbers: Readonly<Record<string, number>>): string | undefined {
  for (const [name, value] of Object.entries(numbers))
    if (!isIndex(value)) return `${name}: must be from 0 to 2^53 - 1`;
  return undefined;
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Another release may know more types than this one. */
function describeUnknown(body: never): string {
  const { type } = body as { readonly type?: unknown };
  return `type: ${String(type).slice(0, 32)} is unknown`;
}
