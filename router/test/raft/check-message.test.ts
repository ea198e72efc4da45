import { equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { checkMessage, checkTermJump, maxAppendEntries } from '../../src/raft/check-message.ts';
import { configurationOf } from '../../src/raft/configuration.ts';
import type { AppendEntries, Message, MessageBody } from '../../src/raft/messages.ts';
import { type Entry, maxEntryBytes } from '../../src/storage/log-types.ts';

const noData = new Uint8Array(0);
const max = Number.MAX_SAFE_INTEGER;

function entry(index: number, term: number, data: Uint8Array = noData): Entry {
  return { index, term, type: 'normal', data };
}

function append(...entries: readonly Entry[]): MessageBody {
  return { type: 'appendEntries', previousIndex: 4, previousTerm: 2, entries, commitIndex: 9 };
}

const vote = {
  type: 'requestVote',
  preVote: false,
  lastIndex: 3,
  lastTerm: 2,
  transfer: false,
} as const;
const taken = {
  type: 'appendEntriesReply',
  rejected: false,
  index: 7,
  hintIndex: 0,
  hintTerm: 0,
} as const;
const beat = { type: 'heartbeat', commitIndex: 0, readContext: 0 } as const;
const snapshot = {
  type: 'installSnapshot',
  index: 5,
  indexTerm: 3,
  configuration: configurationOf(1, 2),
} as const;

const good: readonly MessageBody[] = [
  vote,
  { ...vote, lastIndex: 0, lastTerm: 0 },
  { ...vote, transfer: true },
  { ...vote, preVote: true },
  { type: 'requestVoteReply', preVote: true, granted: false },
  append(),
  append(entry(5, 2), entry(6, 3), entry(7, 3)),
  append(entry(5, 3, new Uint8Array(maxEntryBytes))),
  append(...Array.from({ length: maxAppendEntries }, (_, at) => entry(5 + at, 3))),
  { type: 'appendEntries', previousIndex: 0, previousTerm: 0, entries: [], commitIndex: max },
  taken,
  { ...taken, rejected: true, hintIndex: 7, hintTerm: 3 },
  beat,
  { type: 'heartbeatReply', readContext: max },
  { type: 'timeoutNow' },
  { type: 'readIndex', context: 1 },
  { type: 'readIndexReply', context: max, index: 0 },
  snapshot,
];

for (const body of good) {
  test(`passes: ${JSON.stringify(body).slice(0, 90)}`, () => {
    equal(checkMessage({ from: 2, to: 1, term: 3, ...body }, 1), undefined);
  });
}

const envelopes: readonly [string, Partial<Message>, RegExp][] = [
  ['is for another member', { to: 3 }, /^to: is for member 3/],
  ['comes from id 0', { from: 0 }, /^from:/],
  ['comes from half an id', { from: 1.5 }, /^from:/],
  ['comes from the reader itself', { from: 1 }, /nothing to itself/],
  ['has term 0', { term: 0 }, /^term:/],
  ['has term -1', { term: -1 }, /^term:/],
  ['has term 2^53', { term: 2 ** 53 }, /^term:/],
  ['has no number as term', { term: Number.NaN }, /^term:/],
];

for (const [name, parts, why] of envelopes) {
  test(`dropped when it ${name}`, () => {
    const message = { from: 2, to: 1, term: 3, ...beat, ...parts } as Message;
    match(checkMessage(message, 1) ?? '', why);
  });
}

const prevote = { ...vote, preVote: true, transfer: true };
const gone = { ...entry(5, 3), type: 'gone' } as unknown as Entry;
const bad: readonly [string, MessageBody, RegExp][] = [
  ['a vote asked for by a log of the term', { ...vote, lastTerm: 3 }, /not below the term/],
  ['a vote for a log of index 0 with a term', { ...vote, lastIndex: 0 }, /lastTerm: is 2 at/],
  ['a vote for a log without a term', { ...vote, lastTerm: 0 }, /lastTerm: is 0 at/],
  ['a transfer that asks first', prevote, /^transfer:/],
  ['an index of 2^53', { ...vote, lastIndex: 2 ** 53 }, /^lastIndex:/],
  ['a gap before the first entry', append(entry(6, 2)), /entries\[0\].index: is 6 where 5/],
  ['a gap between entries', append(entry(5, 2), entry(7, 2)), /entries\[1\].index/],
  ['an entry twice', append(entry(5, 2), entry(5, 2)), /entries\[1\].index/],
  ['an entry below what precedes', append(entry(4, 2)), /entries\[0\].index/],
  ['terms that fall', append(entry(5, 3), entry(6, 2)), /entries\[1\].term: is 2 after 3/],
  ['a term below the one that precedes', append(entry(5, 1)), /entries\[0\].term: is 1 after 2/],
  ['an entry of a later term', append(entry(5, 4)), /above the term/],
  ['an entry of half a term', append(entry(5, 2.5)), /entries\[0\].term/],
  ['an entry of an unknown type', append(gone), /entries\[0\].type/],
  [
    'a byte too many',
    append(entry(5, 3, new Uint8Array(maxEntryBytes)), entry(6, 3, new Uint8Array(1))),
    /have 1048577 bytes/,
  ],
  ['an entry a byte too long', append(entry(5, 3, new Uint8Array(maxEntryBytes + 1))), /bytes/],
  [
    'an entry too many',
    append(...Array.from({ length: maxAppendEntries + 1 }, (_, at) => entry(5 + at, 3))),
    /has 513 items/,
  ],
  [
    'a million empty entries',
    {
      ...(append() as AppendEntries),
      entries: Array.from({ length: 1_000_000 }, () => entry(5, 3)),
    },
    /has 1000000 items/,
  ],
  [
    'entries before the first',
    { type: 'appendEntries', previousIndex: 0, previousTerm: 2, entries: [], commitIndex: 0 },
    /previousTerm: is 2 at index 0/,
  ],
  [
    'an append after an entry of a later term',
    { type: 'appendEntries', previousIndex: 4, previousTerm: 9, entries: [], commitIndex: 0 },
    /above the term/,
  ],
  [
    'an append behind the last index there is',
    {
      type: 'appendEntries',
      previousIndex: max,
      previousTerm: 2,
      entries: [entry(2 ** 53, 2)],
      commitIndex: 0,
    },
    /entries\[0\].index/,
  ],
  ['a hint without a refusal', { ...taken, hintIndex: 3 }, /goes with a refusal/],
  ['a hint from the future', { ...taken, rejected: true, hintIndex: 8 }, /behind what was refused/],
  ['a hint of a later term', { ...taken, rejected: true, hintTerm: 4 }, /above the term/],
  ['an index below zero', { ...taken, index: -1 }, /^index:/],
  ['a commit index below zero', { ...beat, commitIndex: -1 }, /^commitIndex:/],
  ['a read without a context', { type: 'readIndex', context: 0 }, /^context:/],
  ['an answer without a context', { type: 'readIndexReply', context: 0, index: 3 }, /^context:/],
  ['an answer with half an index', { type: 'readIndexReply', context: 1, index: 0.5 }, /^index:/],
  ['a snapshot of nothing', { ...snapshot, index: 0 }, /an entry at least/],
  ['a snapshot of a later term', { ...snapshot, indexTerm: 4 }, /above the term/],
  [
    'a snapshot of a cluster without voters',
    { ...snapshot, configuration: configurationOf() },
    /no voters/,
  ],
  [
    'a snapshot with a member of id 0',
    { ...snapshot, configuration: configurationOf(0, 1) },
    /out of range/,
  ],
  [
    'a snapshot with a member twice',
    { ...snapshot, configuration: configurationOf(1, 1) },
    /ascending/,
  ],
  [
    'a snapshot of a hundred members',
    {
      ...snapshot,
      configuration: configurationOf(...Array.from({ length: 100 }, (_, at) => at + 1)),
    },
    /more than 9/,
  ],
  ['a type of another release', { type: 'gossip' } as unknown as MessageBody, /gossip is unknown/],
  ['no type', {} as unknown as MessageBody, /undefined is unknown/],
];

for (const [name, body, why] of bad) {
  test(`dropped: ${name}`, () => {
    match(checkMessage({ from: 2, to: 1, term: 3, ...body }, 1) ?? '', why);
  });
}

test('a term a million above the own one is followed, one more raises an alarm', () => {
  const at = (term: number): Message => ({ from: 2, to: 1, term, ...beat });
  equal(checkTermJump(at(1_000_007), 7), undefined);
  equal(checkTermJump(at(1_000_008), 7)?.code, 'ETL_INVALID_ARGUMENT');
  equal(checkTermJump(at(max), 7) === undefined, false);
  equal(checkTermJump(at(1), 2_000_000), undefined);
});
