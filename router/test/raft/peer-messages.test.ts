// What a damaged or hostile peer may send. Whatever it is, the check and the core behind it never throw, and what may
// not change does not: terms fall for nobody, a vote is given once, nothing committed is replaced.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkMessage, checkTermJump } from '../../src/raft/check-message.ts';
import { type ConfigurationChange, configurationOf } from '../../src/raft/configuration.ts';
import type { Message, MessageBody } from '../../src/raft/messages.ts';
import type { RaftStatus } from '../../src/raft/raft.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { encodeChange, type Member } from './member.ts';
import {
  append,
  ask,
  beat,
  beatReply,
  entriesOf,
  lead,
  one,
  only,
  refused,
  says,
  taken,
  voted,
} from './says.ts';

type Receiver = 'follower' | 'candidate' | 'leader';
const receivers: readonly Receiver[] = ['follower', 'candidate', 'leader'];

/** Member 1 of three in term 3, with entries of terms 1, 2, 2 of which two are committed. */
function receiver(role: Receiver): Member {
  const member = one(3);
  member.seed([1, 2, 2], role === 'follower' ? 3 : 2, 2);
  member.drain();
  if (role === 'follower') member.raft.step(beat({ from: 2, to: 1, term: 3 }));
  if (role === 'leader') lead(member);
  if (role === 'candidate') {
    member.raft.campaign();
    member.drain();
    member.raft.step(voted({ from: 3, to: 1, term: 3 }, true, true));
  }
  member.drain();
  equal(member.raft.role, role);
  equal(member.raft.status().term, 3);
  return member;
}

/** As the driver does. */
function receive(member: Member, message: Message): 'dropped' | 'alarm' | readonly Message[] {
  if (checkMessage(message, member.id) !== undefined) return 'dropped';
  if (checkTermJump(message, member.raft.status().term) !== undefined) return 'alarm';
  member.raft.step(message);
  return member.drain();
}

/** What no message that makes no sense may change. */
function facts({ raft, log }: Member): unknown {
  const { role, term, vote, commitIndex, lastIndex, configuration }: RaftStatus = raft.status();
  const terms = Array.from({ length: log.lastIndex }, (_, at) => log.term(at + 1));
  return { role, term, vote, commitIndex, lastIndex, configuration, terms };
}

const way = { from: 2, to: 1, term: 3 };
const over = { ...way, term: 2 };
const snapshot = { type: 'installSnapshot', configuration: configurationOf(1, 2, 3) } as const;

function configurationEntry(data: Uint8Array): Message {
  const entries: readonly Entry[] = [{ index: 4, term: 3, type: 'configuration', data }];
  const body = {
    type: 'appendEntries',
    previousIndex: 3,
    previousTerm: 2,
    commitIndex: 2,
  } as const;
  return says(way, { ...body, entries });
}

/** By the rows of the list of bad peer messages; none of these changes anything. */
const rows: readonly (readonly [string, Message, readonly Receiver[]])[] = [
  ['2: for another member', { ...beat(way), to: 3 }, receivers],
  ['3: of member 0', beat({ ...way, from: 0 }), receivers],
  ['3: of the receiver itself', beat({ ...way, from: 1 }), receivers],
  ['3: a vote of a stranger', voted({ ...way, from: 9 }, true), receivers],
  ['3: an answer of a stranger', taken({ ...way, from: 9 }, 4), receivers],
  ['3: a refusal of a stranger', refused({ ...way, from: 9 }, 3, 1, 1), receivers],
  [
    '3: a read of a stranger',
    says({ ...way, from: 9 }, { type: 'readIndex', context: 1 }),
    receivers,
  ],
  ['4: of no known type', says(way, { type: 'hup' } as unknown as MessageBody), receivers],
  ['5: of term 0', beat({ ...way, term: 0 }), receivers],
  ['5: of term 2^53', beat({ ...way, term: 2 ** 53 }), receivers],
  ['5: of a term far ahead', append({ ...way, term: 2_000_000 }, [0, 0]), receivers],
  ['5: a vote asked for far ahead', ask({ ...way, term: 2_000_000 }, [9, 9]), receivers],
  ['6: an append of a term that is over', append(over, [3, 2], [2], 4), receivers],
  ['6: a heartbeat of a term that is over', beat(over, 3), receivers],
  ['6: a vote asked for a term that is over', ask(over, [9, 1]), receivers],
  ['6: a question about a term that is over', ask(over, [9, 1], { preVote: true }), receivers],
  ['6: a vote for a term that is over', voted(over, true), receivers],
  ['6: an answer of a term that is over', taken(over, 3), receivers],
  ['6: a refusal of a term that is over', refused(over, 3, 0, 0), receivers],
  ['6: an answer to a heartbeat of a term that is over', beatReply(over, 1), receivers],
  ['6: a read of a term that is over', says(over, { type: 'readIndex', context: 1 }), receivers],
  [
    '6: a snapshot of a term that is over',
    says(over, { ...snapshot, index: 9, indexTerm: 2 }),
    receivers,
  ],
  ['7: a second leader', append({ ...way, from: 3 }, [3, 2], [3]), ['follower', 'leader']],
  ['7: heartbeats of a second leader', beat({ ...way, from: 3 }, 3), ['follower', 'leader']],
  ['8: behind the end', append(way, [9, 2], [3]), ['follower']],
  ['8: a first entry with a term before it', append(way, [0, 2], [3]), receivers],
  ['8: a gap', { ...append(way, [3, 2]), entries: entriesOf(5, [3]) } as Message, receivers],
  [
    '8: indexes that stand',
    { ...append(way, [3, 2]), entries: [...entriesOf(3, [3]), ...entriesOf(3, [3])] } as Message,
    receivers,
  ],
  ['8: an entry of a term to come', append(way, [3, 2], [4]), receivers],
  ['8: terms that fall', append(way, [3, 2], [3, 2]), receivers],
  ['9: a conflict with what is committed', append(way, [0, 0], [1, 3]), ['follower']],
  ['10: a commit index of before', append(way, [3, 2], [], 1), ['follower']],
  ['11: entries without end', append(way, [3, 2], new Array<number>(513).fill(3)), receivers],
  ['13: a vote asked for by a log of before', ask(way, [1, 1]), receivers],
  [
    '13: a vote asked for while a leader is heard',
    ask({ ...way, from: 3, term: 4 }, [9, 3]),
    ['follower', 'leader'],
  ],
  [
    '13: a question while a leader is heard',
    ask({ ...way, from: 3, term: 4 }, [9, 3], { preVote: true }),
    ['follower', 'leader'],
  ],
  ['13: a second vote asked for', ask({ ...way, from: 3 }, [9, 2]), ['candidate', 'leader']],
  ['14: a vote that nobody asked for', voted(way, true), ['follower', 'leader']],
  ['14: a grant that nobody asked for', voted({ ...way, term: 4 }, true, true), receivers],
  ['14: an answer that nobody asked for', taken(way, 3), ['follower', 'candidate']],
  ['14: entries held that do not exist', taken(way, 99), receivers],
  ['14: a refusal from the future', refused(way, 99, 99, 3), receivers],
  ['14: a hint from the future', refused(way, 3, 99, 3), receivers],
  ['14: a hint of a term to come', refused(way, 3, 3, 9), receivers],
  ['14: an answer to a heartbeat that nobody sent', beatReply(way, 77), receivers],
  [
    '15: a snapshot of what is committed',
    says(way, { ...snapshot, index: 2, indexTerm: 2 }),
    ['follower'],
  ],
  [
    '15: a snapshot of another past',
    says(way, { ...snapshot, index: 1, indexTerm: 3 }),
    ['follower'],
  ],
  [
    '15: a snapshot of a term to come',
    says(way, { ...snapshot, index: 9, indexTerm: 4 }),
    receivers,
  ],
  ['15: a snapshot of nothing', says(way, { ...snapshot, index: 0, indexTerm: 0 }), receivers],
  [
    '15: a snapshot without members',
    says(way, { ...snapshot, index: 9, indexTerm: 3, configuration: configurationOf() }),
    receivers,
  ],
  ['16: a read without a name', says(way, { type: 'readIndex', context: 0 }), receivers],
  [
    '16: an answer to a read that nobody asked',
    says(way, { type: 'readIndexReply', context: 5, index: 9 }),
    receivers,
  ],
  [
    '17: the word to campaign of no leader',
    says({ ...way, from: 3 }, { type: 'timeoutNow' }),
    receivers,
  ],
  [
    '17: the word to campaign of a term that is over',
    says(over, { type: 'timeoutNow' }),
    receivers,
  ],
];

for (const [name, message, roles] of rows) {
  for (const role of roles) {
    test(`nothing changes on a ${role} by row ${name}`, () => {
      const member = receiver(role);
      const before = facts(member);
      for (let times = 0; times < 3; times++) receive(member, message);
      deepEqual(facts(member), before);
      member.restart();
      equal(member.raft.status().term, 3);
    });
  }
}

test('7, 9: what only damage explains raises an alarm', () => {
  for (const message of [append({ ...way, from: 3 }, [3, 2], [3]), append(way, [0, 0], [1, 3])]) {
    const member = receiver('follower');
    receive(member, message);
    equal(member.alarms.length, 1);
  }
});

test('5: a term a million ahead is followed, and what lies behind it raises an alarm', () => {
  const member = receiver('follower');
  equal(receive(member, beat({ ...way, term: 1_000_004 })), 'alarm');
  equal(member.raft.status().term, 3);
  receive(member, beat({ ...way, term: 1_000_003 }));
  equal(member.raft.status().term, 1_000_003);
});

test('10: a commit index behind the end is believed as far as the log goes', () => {
  const member = receiver('follower');
  receive(member, beat(way, Number.MAX_SAFE_INTEGER));
  equal(member.raft.commitIndex, 3);
  receive(member, append(way, [3, 2], [3], Number.MAX_SAFE_INTEGER));
  equal(member.raft.commitIndex, 4);
});

const changes: readonly (readonly [string, ConfigurationChange])[] = [
  [
    'that leaves no voter',
    { autoLeave: false, steps: [1, 2, 3].map((id) => ({ step: 'remove', id })) },
  ],
  ['of member 0', { autoLeave: false, steps: [{ step: 'addVoter', id: 0 }] }],
  [
    'that names one twice',
    { autoLeave: false, steps: [4, 4].map((id) => ({ step: 'addVoter', id })) },
  ],
  ['that ends what is not joint', { autoLeave: false, steps: [] }],
  [
    'of a hundred members',
    {
      autoLeave: true,
      steps: Array.from({ length: 100 }, (_, at) => ({ step: 'addVoter', id: at + 10 })),
    },
  ],
];

for (const [name, which] of changes) {
  test(`12: a committed change ${name} leaves the members as they are`, () => {
    const member = receiver('follower');
    receive(member, configurationEntry(encodeChange(which)));
    receive(member, beat(way, 4));
    equal(member.raft.status().applied, 4);
    deepEqual(member.raft.status().configuration, configurationOf(1, 2, 3));
  });
}

test('13: whoever forges a handing over gets no second vote of a term', () => {
  const member = receiver('follower');
  receive(member, ask({ from: 2, to: 1, term: 4 }, [3, 2], { transfer: true }));
  equal(member.raft.status().vote, 2);
  const answers = receive(member, ask({ from: 3, to: 1, term: 4 }, [9, 3], { transfer: true }));
  equal(only(answers as readonly Message[], 'requestVoteReply')[0]?.granted, false);
  equal(member.raft.status().vote, 2);
});

test('18, 20: a flood of votes and heartbeats does not put off the own election for ever', () => {
  const member = receiver('follower');
  for (let tick = 0; tick < 10; tick++) {
    for (let count = 0; count < 2000; count++) {
      receive(member, ask({ ...way, from: 3 }, [0, 0]));
      receive(member, beatReply({ ...way, from: 3 }, count));
      receive(member, voted({ ...way, from: 3 }, false));
    }
    member.raft.tick();
  }
  equal(member.raft.role, 'preCandidate');
});

// Anything that passes the check, in any order.

/** Where an append goes on, and the term of the message. */
interface After {
  readonly index: number;
  readonly term: number;
  readonly now: number;
}

const small = fc.integer({ min: 0, max: 8 });
/** Against the receiver's: most messages of peers are of its term. */
const offset = fc.constantFrom(-1, 0, 0, 0, 0, 0, 1);
const age = fc.constantFrom(0, 0, 1);
const data = fc.constantFrom('', 'x', JSON.stringify({ autoLeave: true, steps: [] }));
const entries = fc
  .array(fc.tuple(age, fc.constantFrom('normal' as const, 'configuration' as const), data), {
    maxLength: 4,
  })
  .map((list) => list.toSorted(([a], [b]) => b - a));
const body: fc.Arbitrary<(after: After) => MessageBody> = fc.oneof<
  fc.Arbitrary<(after: After) => MessageBody>[]
>(
  fc
    .record({ lastIndex: small, lastTerm: small, preVote: fc.boolean(), transfer: fc.boolean() })
    .map((fields) => (): MessageBody => ({ type: 'requestVote', ...fields })),
  fc
    .record({ preVote: fc.boolean(), granted: fc.boolean() })
    .map((fields) => (): MessageBody => ({ type: 'requestVoteReply', ...fields })),
  fc.tuple(entries, small).map(
    ([list, commitIndex]) =>
      (after: After): MessageBody => ({
        type: 'appendEntries',
        previousIndex: after.index,
        previousTerm: after.term,
        commitIndex,
        entries: list.map(([of, type, text], at) => ({
          index: after.index + at + 1,
          term: Math.max(after.now - of, after.term),
          type: text === 'x' ? 'normal' : type,
          data: Buffer.from(text),
        })),
      }),
  ),
  fc
    .record({ rejected: fc.boolean(), index: small, hintIndex: small, hintTerm: small })
    .map((fields) => (): MessageBody => ({ type: 'appendEntriesReply', ...fields })),
  fc
    .record({ commitIndex: small, readContext: small })
    .map((fields) => (): MessageBody => ({ type: 'heartbeat', ...fields })),
  fc
    .record({ readContext: small })
    .map((fields) => (): MessageBody => ({ type: 'heartbeatReply', ...fields })),
  fc.constant((): MessageBody => ({ type: 'timeoutNow' })),
  fc
    .record({ context: small })
    .map((fields) => (): MessageBody => ({ type: 'readIndex', ...fields })),
  fc
    .record({ context: small, index: small })
    .map((fields) => (): MessageBody => ({ type: 'readIndexReply', ...fields })),
  fc
    .record({
      index: small,
      indexTerm: small,
      configuration: fc.constantFrom(configurationOf(1, 2, 3), configurationOf(2, 3)),
    })
    .map((fields) => (): MessageBody => ({ type: 'installSnapshot', ...fields })),
);

type Act =
  | {
      readonly act: 'message';
      readonly from: number;
      readonly offset: number;
      readonly at: number;
      readonly body: (after: After) => MessageBody;
    }
  | {
      readonly act: 'tick' | 'propose' | 'read' | 'hold' | 'sync' | 'restart' | 'snapshot' | 'lead';
    };

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      act: fc.constant('message' as const),
      from: fc.integer({ min: 2, max: 4 }),
      offset,
      at: small,
      body,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      act: fc.constantFrom(
        'tick',
        'propose',
        'read',
        'hold',
        'sync',
        'restart',
        'snapshot',
        'lead',
        'lead',
      ),
    }),
  },
);

function perform(member: Member, each: Act): void {
  const { raft, log } = member;
  if (each.act === 'message') {
    const index = Math.min(each.at, log.lastIndex);
    const now = Math.max(raft.status().term + each.offset, 1);
    const after = { index, term: log.term(index) ?? now, now };
    const message = says({ from: each.from, to: 1, term: now }, each.body(after));
    receive(member, message);
  } else if (each.act === 'tick') for (let at = 0; at < 5; at++) raft.tick();
  else if (each.act === 'propose' && raft.role === 'leader') raft.propose([Buffer.from('p')]);
  else if (each.act === 'read' && raft.role === 'leader') raft.readIndex(1);
  else if (each.act === 'lead' && raft.role !== 'leader') lead(member);
  else if (each.act === 'hold') member.isDiskHeld = true;
  else if (each.act === 'sync') member.isDiskHeld = false;
  else if (each.act === 'restart') member.restart();
  else if (each.act === 'snapshot' && raft.status().applied > log.snapshot.index)
    member.snapshot(raft.status().applied);
  member.drain();
}

test('whatever passes the check, in whatever order, no member throws, and terms and commits never fall', () => {
  fc.assert(
    fc.property(fc.array(act, { minLength: 20, maxLength: 60 }), (acts) => {
      const member = one(3);
      for (let index = 1; index < 9; index++) {
        const configuration = configurationOf(1, 2, 3);
        member.snapshots.set(index, { index, term: 1, configuration, applied: [] });
      }
      let [termBefore, commitBefore] = [0, 0];
      for (const each of acts) {
        if (each.act === 'restart') [termBefore, commitBefore] = [0, 0];
        perform(member, each);
        const now = member.raft.status();
        equal(now.term >= termBefore && now.commitIndex >= commitBefore, true);
        equal(now.applied <= now.commitIndex && now.commitIndex <= now.lastIndex, true);
        [termBefore, commitBefore] = [now.term, now.commitIndex];
      }
    }),
    { numRuns: 800 },
  );
});
