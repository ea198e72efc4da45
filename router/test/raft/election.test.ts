// Elections, one test for each rule; sections are those of the thesis.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@etl-router/core';
import { configurationOf } from '../../src/raft/configuration.ts';
import type { Message } from '../../src/raft/messages.ts';
import { Member } from './member.ts';
import { Network } from './network.ts';
import {
  append,
  ask,
  beat,
  beatReply,
  lead,
  one,
  only,
  refused,
  says,
  stand,
  taken,
  voted,
} from './says.ts';

const roles = ['follower', 'preCandidate', 'candidate', 'leader'] as const;

/** Member 1 of three in that role, in term 1 or, before it asked for votes, 0. */
function inRole(role: (typeof roles)[number]): Member {
  const member = one(3);
  if (role === 'preCandidate') member.raft.campaign();
  if (role === 'candidate') stand(member);
  if (role === 'leader') lead(member);
  member.drain();
  equal(member.raft.role, role);
  return member;
}

for (const role of roles) {
  const later: readonly ((term: number) => Message)[] = [
    (term) => append({ from: 2, to: 1, term }, [0, 0]),
    (term) => beat({ from: 2, to: 1, term }),
    (term) => beatReply({ from: 2, to: 1, term }),
    (term) => taken({ from: 2, to: 1, term }, 1),
    (term) => refused({ from: 2, to: 1, term }, 1, 0, 0),
    (term) => voted({ from: 2, to: 1, term }, false),
    (term) => voted({ from: 2, to: 1, term }, false, true),
    (term) => says({ from: 2, to: 1, term }, { type: 'readIndex', context: 1 }),
  ];
  test(`3.3: a ${role} that hears of a later term follows in it`, () => {
    for (const message of later) {
      const member = inRole(role);
      member.raft.step(message(7));
      const { role: now, term, vote } = member.raft.status();
      deepEqual([now, term, vote], ['follower', 7, 0], message(7).type);
      member.drain();
      equal(member.log.hardState.term, 7);
    }
  });

  test(`3.3: a ${role} takes nothing from a term that is over`, () => {
    const old: readonly Message[] = [
      append({ from: 2, to: 1, term: 4 }, [0, 0], [1, 2], 2),
      beat({ from: 2, to: 1, term: 4 }, 2),
      ask({ from: 2, to: 1, term: 4 }, [9, 3]),
      voted({ from: 2, to: 1, term: 4 }, true),
      taken({ from: 2, to: 1, term: 4 }, 1),
      says({ from: 2, to: 1, term: 4 }, { type: 'timeoutNow' }),
      says({ from: 2, to: 1, term: 4 }, { type: 'readIndexReply', context: 3, index: 9 }),
    ];
    for (const message of old) {
      const member = one(3);
      member.seed([1], 5);
      if (role === 'preCandidate') member.raft.campaign();
      if (role === 'candidate') stand(member);
      if (role === 'leader') lead(member);
      member.drain();
      const before = member.raft.status();
      member.raft.step(message);
      member.drain();
      deepEqual(member.raft.status(), before, message.type);
      deepEqual(member.reads, []);
    }
  });
}

test('3.3: who sends entries or heartbeats of a term that is over learns the term', () => {
  const member = one(3);
  member.seed([], 5);
  for (const message of [
    append({ from: 2, to: 1, term: 4 }, [0, 0]),
    beat({ from: 2, to: 1, term: 4 }),
  ]) {
    member.raft.step(message);
    const [reply] = only(member.drain(), 'appendEntriesReply');
    deepEqual([reply?.term, reply?.rejected], [5, true]);
  }
});

test('3.4: a follower that hears nothing asks, then stands for the next term and votes for itself', () => {
  const member = one(3);
  for (let tick = 0; tick < 10; tick++) {
    deepEqual(member.drain(), []);
    member.raft.tick();
  }
  const asked = only(member.drain(), 'requestVote');
  deepEqual(
    asked.map(({ to, term, preVote }) => [to, term, preVote]),
    [
      [2, 1, true],
      [3, 1, true],
    ],
  );
  member.raft.step(voted({ from: 3, to: 1, term: 1 }, true, true));
  const stood = only(member.drain(), 'requestVote');
  deepEqual(
    stood.map(({ to, term, preVote }) => [to, term, preVote]),
    [
      [2, 1, false],
      [3, 1, false],
    ],
  );
  deepEqual(member.log.hardState, { term: 1, vote: 1, commit: 0 });
});

test('3.4: the time-outs are uniform in [E, 2E) and drawn anew each time', () => {
  const random = seededRandom(3);
  const member = one(3, { random: () => random.next() });
  const counts = new Array<number>(20).fill(0);
  for (let round = 1; round <= 2000; round++) {
    member.raft.step(beat({ from: 2, to: 1, term: round }));
    let ticks = 0;
    while (member.raft.role === 'follower') {
      member.raft.tick();
      ticks++;
    }
    member.drain();
    counts[ticks] = (counts[ticks] ?? 0) + 1;
  }
  deepEqual(
    counts.slice(0, 10).map((count) => count > 0),
    new Array(10).fill(false),
  );
  for (const count of counts.slice(10)) equal(count > 130 && count < 280, true, String(counts));
});

test('3.4: members rarely campaign at the same time', () => {
  let together = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const network = new Network(
      [1, 2, 3, 4, 5].map((id) => {
        const random = seededRandom(seed * 10 + id);
        return new Member(id, configurationOf(1, 2, 3, 4, 5), { random: () => random.next() });
      }),
    );
    for (;;) {
      for (const member of network.members.values()) member.raft.tick();
      const asking = [...network.members.values()].filter(({ raft }) => raft.role !== 'follower');
      if (asking.length > 1) together++;
      if (asking.length > 0) break;
    }
  }
  // Of five that draw from ten, the two lowest are equal in about a third of all draws.
  equal(together < 90, true, String(together));
});

const counts: readonly [number, readonly boolean[], 'leader' | 'candidate' | 'follower'][] = [
  [1, [], 'leader'],
  [2, [], 'candidate'],
  [2, [true], 'leader'],
  [2, [false], 'follower'],
  [3, [true], 'leader'],
  [3, [false], 'candidate'],
  [3, [false, false], 'follower'],
  [3, [false, true], 'leader'],
  [4, [true], 'candidate'],
  [4, [true, true], 'leader'],
  [4, [false, false], 'follower'],
  [5, [true, true], 'leader'],
  [5, [true, false, false], 'candidate'],
  [5, [false, false, false], 'follower'],
];

for (const [voters, answers, expected] of counts) {
  test(`3.4: of ${voters} voters, itself and ${answers.map(String).join() || 'nobody'} make a ${expected}`, () => {
    const member = one(voters);
    stand(member);
    for (const [at, granted] of answers.entries())
      member.raft.step(voted({ from: at + 2, to: 1, term: 1 }, granted));
    member.drain();
    equal(member.raft.role, expected);
  });
}

test('3.4: an answer that comes twice counts once', () => {
  const member = one(5);
  stand(member);
  for (let times = 0; times < 4; times++)
    member.raft.step(voted({ from: 2, to: 1, term: 1 }, true));
  member.drain();
  equal(member.raft.role, 'candidate');
});

test('3.4: the vote of one who does not belong to the cluster counts nothing', () => {
  const member = one(3);
  stand(member);
  member.raft.step(voted({ from: 9, to: 1, term: 1 }, true));
  member.drain();
  equal(member.raft.role, 'candidate');
});

test('3.4: a candidate gives way to the leader of its term', () => {
  const member = one(3);
  stand(member);
  member.raft.step(append({ from: 2, to: 1, term: 1 }, [0, 0], [1]));
  member.drain();
  const { role, term, leader, vote } = member.raft.status();
  deepEqual([role, term, leader, vote], ['follower', 1, 2, 1]);
});

test('3.4: when votes are split an election follows in a later term', () => {
  const network = Network.of([1, 2, 3]);
  stand(network.member(1));
  stand(network.member(2));
  network.isolate(3);
  network.settle();
  equal(
    [1, 2].some((id) => network.member(id).raft.role === 'leader'),
    false,
  );
  network.heal();
  network.tick(40);
  equal([1, 2, 3].filter((id) => network.member(id).raft.role === 'leader').length, 1);
});

test('3.4: a leader begins its term with an empty entry that it sends to all', () => {
  const member = one(3);
  member.seed([1, 1], 1);
  const sent = only(lead(member), 'appendEntries');
  deepEqual(
    sent.map(({ to, term, previousIndex, entries }) => [
      to,
      term,
      previousIndex,
      entries.map(({ data }) => data.length),
    ]),
    [
      [2, 2, 2, [0]],
      [3, 2, 2, [0]],
    ],
  );
});

test('3.4: a leader sends heartbeats at its interval', () => {
  const member = one(3, { heartbeatTicks: 2 });
  lead(member);
  const beats: number[] = [];
  for (let tick = 1; tick <= 6; tick++) {
    member.raft.tick();
    for (const { to } of only(member.drain(), 'heartbeat')) beats.push(tick * 10 + to);
  }
  deepEqual(beats, [22, 23, 42, 43, 62, 63]);
});

test('3.4: two members that stand in one term do not both lead it', () => {
  const network = Network.of([1, 2, 3]);
  stand(network.member(1));
  stand(network.member(3));
  network.settle();
  equal([1, 2, 3].filter((id) => network.member(id).raft.role === 'leader').length <= 1, true);
});

const upToDate: readonly [readonly number[], readonly [number, number], boolean][] = [
  [[], [0, 0], true],
  [[1], [0, 0], false],
  [[1], [1, 1], true],
  [[1], [2, 1], true],
  [[1, 1], [1, 1], false],
  [[1, 1], [1, 2], true],
  [[1, 2], [5, 1], false],
  [[1, 2], [2, 2], true],
];

for (const [terms, last, expected] of upToDate) {
  test(`3.6.1: a log of terms ${terms.join() || 'none'} ${expected ? 'votes' : 'does not vote'} for one that ends ${last.join('/')}`, () => {
    for (const preVote of [false, true]) {
      const member = one(3);
      member.seed(terms, 2);
      member.raft.step(ask({ from: 2, to: 1, term: 5 }, last, { preVote }));
      const [reply] = only(member.drain(), 'requestVoteReply');
      equal(reply?.granted, expected);
      equal(member.raft.status().vote, expected && !preVote ? 2 : 0);
    }
  });
}

test('3.6.1: a refused vote does not put off the own election, a given one does', () => {
  const member = one(3);
  member.seed([1], 1);
  for (let tick = 0; tick < 9; tick++) member.raft.tick();
  member.raft.step(ask({ from: 2, to: 1, term: 1 }, [0, 0]));
  member.raft.tick();
  equal(member.raft.role, 'preCandidate');
  const other = one(3);
  for (let tick = 0; tick < 9; tick++) other.raft.tick();
  other.raft.step(ask({ from: 2, to: 1, term: 1 }, [0, 0]));
  other.raft.tick();
  equal(other.raft.role, 'follower');
});

test('3.6: one vote a term, given again to the same member, over a restart too', () => {
  const member = one(3);
  const first = ask({ from: 2, to: 1, term: 1 }, [0, 0]);
  const second = ask({ from: 3, to: 1, term: 1 }, [9, 0]);
  const answers: (boolean | undefined)[] = [];
  const step = (message: Message): void => {
    member.raft.step(message);
    answers.push(only(member.drain(), 'requestVoteReply')[0]?.granted);
  };
  step(first);
  step(second);
  step(first);
  member.restart();
  step(second);
  step(first);
  deepEqual(answers, [true, false, true, false, true]);
});

test('3.8: a vote is told only when it is durable', () => {
  const member = one(3);
  member.isDiskHeld = true;
  member.raft.step(ask({ from: 2, to: 1, term: 1 }, [0, 0]));
  deepEqual(member.drain(), []);
  member.isDiskHeld = false;
  equal(only(member.drain(), 'requestVoteReply')[0]?.granted, true);
});

test('3.8: a vote that a crash took was never told, and another may be given', () => {
  const member = one(3);
  member.isDiskHeld = true;
  member.raft.step(ask({ from: 2, to: 1, term: 1 }, [0, 0]));
  deepEqual(member.drain(), []);
  member.restart();
  member.raft.step(ask({ from: 3, to: 1, term: 1 }, [0, 0]));
  equal(only(member.drain(), 'requestVoteReply')[0]?.granted, true);
});

test('3.8: a candidate counts its own vote only when it is durable', () => {
  const member = one(3);
  member.raft.campaign();
  member.drain();
  member.isDiskHeld = true;
  member.raft.step(voted({ from: 2, to: 1, term: 1 }, true, true));
  member.drain();
  member.raft.step(voted({ from: 2, to: 1, term: 1 }, true));
  member.drain();
  equal(member.raft.role, 'candidate');
  member.isDiskHeld = false;
  member.drain();
  equal(member.raft.role, 'leader');
});

test('3.8: its own vote of an election that was lost meanwhile counts nothing', () => {
  const member = one(3);
  member.raft.campaign();
  member.drain();
  member.isDiskHeld = true;
  member.raft.step(voted({ from: 2, to: 1, term: 1 }, true, true));
  member.drain();
  member.raft.step(voted({ from: 2, to: 1, term: 1 }, true));
  member.raft.step(beat({ from: 3, to: 1, term: 2 }));
  member.isDiskHeld = false;
  member.drain();
  const { role, term, leader } = member.raft.status();
  deepEqual([role, term, leader], ['follower', 2, 3]);
});

test('3.8: who stands for a term tells of its log and of that term only what is durable', () => {
  const member = one(3);
  const from = { from: 2, to: 1, term: 3 };
  member.raft.step(beat(from));
  member.drain();
  member.isDiskHeld = true;
  member.raft.step(append(from, [0, 0], [3]));
  member.raft.step(says(from, { type: 'timeoutNow' }));
  equal(member.raft.role, 'candidate');
  deepEqual(only(member.drain(), 'requestVote'), []);
  member.isDiskHeld = false;
  const asked = only(member.drain(), 'requestVote');
  deepEqual(
    asked.map(({ to, term, lastIndex, lastTerm }) => [to, term, lastIndex, lastTerm]),
    [
      [2, 4, 1, 3],
      [3, 4, 1, 3],
    ],
  );
  equal(member.log.hardState.term, 4);
});
