// Replication and commit, one test for each rule; sections are those of the thesis.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf } from '../../src/raft/configuration.ts';
import type { MessageOf } from '../../src/raft/messages.ts';
import { Member } from './member.ts';
import { Network } from './network.ts';
import { append, beat, entriesOf, lead, one, only, taken } from './says.ts';

function termsOf(member: Member): readonly (number | undefined)[] {
  const count = member.log.lastIndex - member.log.firstIndex + 1;
  return Array.from({ length: count }, (_, at) => member.log.term(member.log.firstIndex + at));
}

function answers(member: Member): readonly MessageOf<'appendEntriesReply'>[] {
  return only(member.drain(), 'appendEntriesReply');
}

/** A follower in term 2 with that log, of which the first `commit` entries are committed. */
function follower(terms: readonly number[], term: number, commit = 0): Member {
  const member = one(3);
  member.seed(terms, term, commit);
  return member;
}

const way = { from: 2, to: 1, term: 3 };

interface Case {
  readonly name: string;
  readonly previous: readonly [number, number];
  readonly terms: readonly number[];
  readonly rejected?: boolean;
  /** What the log holds afterwards. */
  readonly log: readonly number[];
  /** What is attested, or what was refused. */
  readonly index: number;
  readonly hint?: readonly [number, number];
}

const cases: readonly Case[] = [
  { name: 'the first entry', previous: [0, 0], terms: [1], log: [1, 2, 2], index: 1 },
  { name: 'entries at the end', previous: [3, 2], terms: [3, 3], log: [1, 2, 2, 3, 3], index: 5 },
  { name: 'entries that are there', previous: [1, 1], terms: [2], log: [1, 2, 2], index: 2 },
  { name: 'a mere probe', previous: [2, 2], terms: [], log: [1, 2, 2], index: 2 },
  { name: 'a conflict', previous: [1, 1], terms: [3], log: [1, 3], index: 2 },
  {
    name: 'some that are there and then a conflict',
    previous: [1, 1],
    terms: [2, 3, 3],
    log: [1, 2, 3, 3],
    index: 4,
  },
  {
    name: 'entries behind the end',
    previous: [5, 3],
    terms: [3],
    rejected: true,
    log: [1, 2, 2],
    index: 5,
    hint: [3, 2],
  },
  {
    name: 'entries after one of a later term here',
    previous: [3, 1],
    terms: [3],
    rejected: true,
    log: [1, 2, 2],
    index: 3,
    hint: [1, 1],
  },
  {
    name: 'entries after one of a later term there',
    previous: [2, 3],
    terms: [3],
    rejected: true,
    log: [1, 2, 2],
    index: 2,
    hint: [2, 2],
  },
];

for (const { name, previous, terms, rejected = false, log, index, hint = [0, 0] } of cases) {
  test(`3.5: ${rejected ? 'refused' : 'taken'}: ${name}`, () => {
    const member = follower([1, 2, 2], 2);
    member.raft.step(append(way, previous, terms));
    const [answer] = answers(member);
    deepEqual(termsOf(member), log);
    deepEqual(
      [answer?.rejected, answer?.index, answer?.hintIndex, answer?.hintTerm],
      [rejected, index, ...hint],
    );
  });
}

test('3.5: an append that comes late does not cut off what came after it', () => {
  const member = follower([1, 2, 2], 3);
  member.raft.step(append(way, [1, 1]));
  member.raft.step(append(way, [0, 0], [1]));
  deepEqual(
    answers(member).map(({ index }) => index),
    [1, 1],
  );
  deepEqual(termsOf(member), [1, 2, 2]);
});

test('3.5: what is held is attested only when it is durable', () => {
  const member = follower([1], 3);
  member.isDiskHeld = true;
  member.raft.step(append(way, [1, 1], [3]));
  deepEqual(member.drain(), []);
  member.isDiskHeld = false;
  equal(answers(member)[0]?.index, 2);
});

test('3.5: what was cut off again is attested under the term it was held in', () => {
  const member = follower([1], 3);
  member.isDiskHeld = true;
  member.raft.step(append(way, [1, 1], [3, 3]));
  member.drain();
  member.raft.step(append({ from: 3, to: 1, term: 4 }, [1, 1], [4]));
  member.isDiskHeld = false;
  deepEqual(
    answers(member).map(({ to, term, index }) => [to, term, index]),
    [
      [2, 3, 3],
      [3, 4, 2],
    ],
  );
  deepEqual(termsOf(member), [1, 4]);
});

test('10.2.1: a leader that was deposed and leads again does not count what it held before', () => {
  const member = one(3);
  lead(member);
  member.isDiskHeld = true;
  member.raft.propose([Buffer.from('a'), Buffer.from('b')]);
  member.drain();
  // The entries are replaced by one of term 2, and member 1 leads term 3 before its disk is done.
  member.raft.step(append({ from: 2, to: 1, term: 2 }, [1, 1], [2]));
  member.drain();
  member.isDiskHeld = false;
  member.drain();
  lead(member);
  equal(member.raft.status().term, 3);
  member.isDiskHeld = true;
  member.raft.propose([Buffer.from('c')]);
  member.drain();
  const [own] = member.raft.status().progress;
  deepEqual([own?.match, member.raft.status().lastIndex], [3, 4]);
});

test('3.5: what is committed goes as far as the entries that came, not as the leader is', () => {
  const rows: readonly [readonly [number, number], readonly number[], number, number][] = [
    [[0, 0], [1], 3, 1],
    [[0, 0], [1, 2], 3, 2],
    [[3, 2], [3], 4, 4],
    [[3, 2], [], 4, 3],
    [[1, 1], [], 3, 1],
    [[0, 0], [1, 2, 2], 2, 2],
  ];
  for (const [previous, terms, commit, expected] of rows) {
    const member = follower([1, 2, 2], 3);
    member.isApplyHeld = true;
    member.raft.step(append(way, previous, terms, commit));
    equal(member.raft.commitIndex, expected);
  }
});

test('3.5: the commit index never falls', () => {
  const member = follower([1, 2, 2], 3);
  member.raft.step(append(way, [3, 2], [], 3));
  member.raft.step(append(way, [3, 2], [], 1));
  member.raft.step(beat(way, 2));
  equal(member.raft.commitIndex, 3);
});

test('3.5: a heartbeat that says more is committed than is here is not believed', () => {
  const member = follower([1, 2, 2], 3);
  member.raft.step(beat(way, 9));
  equal(member.raft.commitIndex, 3);
});

test('3.5: a heartbeat never tells a member of more than it is known to hold', () => {
  const member = one(3);
  lead(member);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 1));
  member.drain();
  member.raft.tick();
  deepEqual(
    only(member.drain(), 'heartbeat').map(({ to, commitIndex }) => [to, commitIndex]),
    [
      [2, 1],
      [3, 0],
    ],
  );
});

const conflicts: readonly [string, readonly [number, number], readonly number[]][] = [
  ['an entry before the last committed', [0, 0], [3, 3]],
  ['the last committed', [1, 1], [3]],
  ['one in the middle of what it sends', [0, 0], [1, 3, 3, 3]],
  ['the entry it follows on', [2, 3], [3]],
  ['one that it follows on further back', [1, 3], [3]],
];

for (const [name, previous, terms] of conflicts) {
  test(`LogInv: a leader that wants what is committed replaced raises an alarm: ${name}`, () => {
    const member = follower([1, 2, 2], 3, 2);
    member.raft.step(append(way, previous, terms, 9));
    deepEqual(answers(member), []);
    deepEqual(termsOf(member), [1, 2, 2]);
    deepEqual([member.raft.commitIndex, member.raft.status().term], [2, 3]);
    equal(member.alarms.length, 1);
    match(member.alarms[0] ?? '', /member 2 .*committed/);
  });
}

test('an append of what is committed and released is answered with what is committed', () => {
  const member = follower([1, 1, 1], 1, 3);
  member.drain();
  member.snapshot(3);
  member.raft.step(append({ ...way, term: 1 }, [1, 1], [1], 3));
  equal(answers(member)[0]?.index, 3);
  deepEqual(member.alarms, []);
});

// The logs of figure 3.5, that are figure 7 of the paper, below the leader's own.
const leaderLog = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const followerLogs: readonly [string, readonly number[]][] = [
  ['a, that lacks the last entry', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
  ['b, that lacks most', [1, 1, 1, 4]],
  ['c, that has one more', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
  ['d, that has another term', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
  ['e, that lacks and has more', [1, 1, 1, 4, 4, 4, 4]],
  ['f, that has two other terms', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ['one that is empty', []],
];

for (const [name, log] of followerLogs) {
  test(`3.5: the log of figure 3.5 is made equal for ${name}`, () => {
    const network = Network.of([1, 2, 3], { random: () => 0 });
    network.member(1).seed(leaderLog, 7);
    network.member(2).seed(log, 7);
    network.member(3).isDown = true;
    // A third that votes stands for those that made member 1 leader.
    lead(network.member(1));
    network.queue = [];
    network.tick(3);
    deepEqual(termsOf(network.member(2)), [...leaderLog, 8]);
    equal(network.member(1).raft.commitIndex, 11);
    equal(network.member(2).raft.commitIndex, 11);
  });
}

test('3.5: a refusal skips a whole term, so the rounds are as many as the terms that differ', () => {
  const network = Network.of([1, 2, 3], { random: () => 0 });
  const common = [1, 1];
  network.member(1).seed([...common, ...new Array<number>(500).fill(9)], 9);
  network.member(2).seed([...common, ...new Array<number>(500).fill(4)], 9);
  network.isolate(3);
  let refusals = 0;
  network.member(2).observer = {
    ready() {},
    applied() {},
    sent(message) {
      if (message.type === 'appendEntriesReply' && message.rejected) refusals++;
    },
  };
  network.elect(1);
  network.tick(3);
  equal(network.member(2).log.lastIndex, 503);
  equal(refusals <= 2, true, `${refusals} refusals`);
});

test('3.6.2: an entry of a former term is committed by one of this term only', () => {
  // Figure 3.7: member 1 leads term 4 and has an entry of term 2 on three of five.
  const member = new Member(1, configurationOf(1, 2, 3, 4, 5), { random: () => 0 });
  member.seed([1, 2], 3);
  lead(member);
  deepEqual([member.raft.status().term, member.log.lastIndex], [4, 3]);
  for (const from of [2, 3]) member.raft.step(taken({ from, to: 1, term: 4 }, 2));
  equal(member.raft.commitIndex, 0);
  for (const from of [2, 3]) member.raft.step(taken({ from, to: 1, term: 4 }, 3));
  equal(member.raft.commitIndex, 3);
});

test('3.6.2: the entry of figure 3.7 is lost with its leader, and nobody applied it', () => {
  const network = Network.of([1, 2, 3, 4, 5], { random: () => 0 });
  for (const [id, log] of [
    [1, [1, 2]],
    [2, [1, 2]],
    [3, [1, 2]],
    [4, [1]],
    [5, [1, 3]],
  ] as const)
    network.member(id).seed(log, 3);
  network.isolate(1);
  network.elect(5);
  deepEqual(network.member(5).applied, ['1.1', '3.2']);
  network.heal();
  network.tick(40);
  for (const id of [1, 2, 3, 4, 5]) deepEqual(network.member(id).applied, ['1.1', '3.2']);
});

const quorums: readonly [readonly number[], number][] = [
  [[2], 2],
  [[2, 1], 1],
  [[2, 2], 2],
  [[2, 1, 1], 1],
  [[2, 2, 1], 2],
  [[2, 2, 1, 1], 1],
  [[2, 2, 2, 1], 2],
  [[2, 2, 2, 1, 1], 2],
  [[2, 2, 1, 1, 1], 1],
];

for (const [matches, expected] of quorums) {
  test(`3.5: with ${matches.join()} held by ${matches.length}, ${expected} is committed`, () => {
    const member = one(matches.length);
    lead(member);
    member.raft.propose([Buffer.from('a')]);
    for (const [at, index] of matches.entries())
      if (at > 0) member.raft.step(taken({ from: at + 1, to: 1, term: 1 }, index));
    member.drain();
    equal(member.raft.commitIndex, expected);
  });
}

test('10.2.1: a leader commits what the others hold before its own disk does', () => {
  const member = one(3);
  lead(member);
  member.drain();
  member.isDiskHeld = true;
  member.raft.propose([Buffer.from('a')]);
  member.drain();
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  equal(member.raft.commitIndex, 1);
  member.raft.step(taken({ from: 3, to: 1, term: 1 }, 2));
  equal(member.raft.commitIndex, 2);
});

test('a leader that is told of entries it does not have believes nothing', () => {
  const member = one(3);
  lead(member);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 99));
  member.raft.step(taken({ from: 3, to: 1, term: 1 }, 99));
  deepEqual([member.raft.commitIndex, member.raft.status().progress[1]?.match], [0, 0]);
});

test('two leaders of one term: the second is refused with an alarm', () => {
  const member = follower([1], 3);
  member.raft.step(append(way, [1, 1]));
  member.drain();
  member.raft.step(append({ ...way, from: 3 }, [1, 1], [3]));
  deepEqual(answers(member), []);
  match(member.alarms[0] ?? '', /members 2 and 3 both lead term 3/);
  equal(member.raft.status().leader, 2);
  const leader = one(3);
  lead(leader);
  leader.raft.step(append({ from: 2, to: 1, term: 1 }, [0, 0], [1]));
  leader.drain();
  deepEqual([leader.raft.role, leader.alarms.length], ['leader', 1]);
});

test('what was applied before a restart is applied once, from the snapshot on', () => {
  const network = Network.of([1, 2, 3], { random: () => 0 });
  network.elect(1);
  for (const text of ['a', 'b', 'c']) network.member(1).raft.propose([Buffer.from(text)]);
  network.settle();
  network.member(2).snapshot(2);
  network.member(1).raft.propose([Buffer.from('d')]);
  network.settle();
  network.member(2).restart();
  network.tick(3);
  deepEqual(network.member(2).applied, ['a', 'b', 'c', 'd']);
});

test('term and vote are written with the entries of that term, or before them', () => {
  const member = one(3);
  member.raft.step(append({ from: 2, to: 1, term: 7 }, [0, 0], [7]));
  const { record } = member.raft.ready();
  deepEqual(record?.hardState, { term: 7, vote: 0, commit: 0 });
  deepEqual(record?.entries, entriesOf(0, [7]));
});
