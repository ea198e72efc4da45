// Who may disturb a leader and who may stand: pre-vote, the lease of a leader, learners. Sections are those of the thesis.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf } from '../../src/raft/configuration.ts';
import { encodeChange, Member } from './member.ts';
import { Network } from './network.ts';
import { ask, beat, beatReply, lead, one, only, says, stand, voted } from './says.ts';

test('9.6: asking whether it could win changes neither term nor vote, and writes nothing', () => {
  const member = one(3);
  member.seed([2], 2);
  const written = member.log.count;
  member.raft.campaign();
  const [question] = only(member.drain(), 'requestVote');
  deepEqual([question?.preVote, question?.term], [true, 3]);
  deepEqual([member.raft.status().term, member.raft.status().vote], [2, 0]);
  equal(member.log.count, written);
  const other = one(3);
  other.seed([2], 2);
  other.raft.step(ask({ from: 2, to: 1, term: 3 }, [1, 2], { preVote: true }));
  const [answer] = only(other.drain(), 'requestVoteReply');
  deepEqual([answer?.granted, answer?.term], [true, 3]);
  deepEqual([other.raft.status().term, other.raft.status().vote], [2, 0]);
});

test('9.6: a question of a term that is over is refused with the term of today', () => {
  const member = one(3);
  member.seed([], 5);
  member.raft.step(ask({ from: 2, to: 1, term: 3 }, [9, 2], { preVote: true }));
  const [answer] = only(member.drain(), 'requestVoteReply');
  deepEqual([answer?.granted, answer?.preVote, answer?.term], [false, true, 5]);
});

test('9.6: who voted in this term would still vote in the next', () => {
  const member = one(3);
  member.raft.step(ask({ from: 2, to: 1, term: 1 }, [0, 0]));
  member.drain();
  member.raft.step(ask({ from: 3, to: 1, term: 2 }, [0, 0], { preVote: true }));
  equal(only(member.drain(), 'requestVoteReply')[0]?.granted, true);
});

test('9.6: an answer to an earlier question does not count for this one', () => {
  const member = one(3);
  member.raft.campaign();
  member.drain();
  member.raft.step(beat({ from: 3, to: 1, term: 1 }));
  member.raft.campaign();
  member.drain();
  equal(member.raft.role, 'preCandidate');
  // Asked about term 1, while the question is now about term 2.
  member.raft.step(voted({ from: 2, to: 1, term: 1 }, true, true));
  equal(member.raft.role, 'preCandidate');
  member.raft.step(voted({ from: 2, to: 1, term: 9 }, true, true));
  equal(member.raft.role, 'preCandidate');
  member.raft.step(voted({ from: 2, to: 1, term: 2 }, true, true));
  equal(member.raft.role, 'candidate');
});

test('9.6: a member that was cut off does not raise the term when it comes back', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  network.isolate(3);
  network.tick(100);
  equal(network.member(3).raft.status().term, 1);
  network.heal();
  network.tick(30);
  deepEqual([network.member(1).raft.role, network.member(1).raft.status().term], ['leader', 1]);
  equal(network.member(3).raft.status().leader, 1);
});

test('4.2.3: whoever hears a leader ignores campaigns, and answers them when it is silent', () => {
  for (const preVote of [false, true]) {
    const member = one(3);
    member.raft.step(beat({ from: 2, to: 1, term: 1 }));
    member.drain();
    member.raft.step(ask({ from: 3, to: 1, term: 2 }, [9, 1], { preVote }));
    deepEqual(member.drain(), []);
    equal(member.raft.status().term, 1);
    const silent = one(3, { random: () => 0.99 });
    silent.raft.step(beat({ from: 2, to: 1, term: 1 }));
    silent.drain();
    for (let tick = 0; tick < 10; tick++) silent.raft.tick();
    silent.raft.step(ask({ from: 3, to: 1, term: 2 }, [9, 1], { preVote }));
    equal(only(silent.drain(), 'requestVoteReply')[0]?.granted, true);
  }
});

test('4.2.3: a leader that hears a quorum ignores campaigns', () => {
  const member = one(3);
  lead(member);
  member.raft.step(ask({ from: 3, to: 1, term: 2 }, [9, 1]));
  deepEqual(member.drain(), []);
  equal(member.raft.role, 'leader');
});

test('3.10: the campaign of one that leadership is handed to is heard at once', () => {
  const member = one(3);
  member.raft.step(beat({ from: 2, to: 1, term: 1 }));
  member.drain();
  member.raft.step(ask({ from: 3, to: 1, term: 2 }, [9, 1], { transfer: true }));
  equal(only(member.drain(), 'requestVoteReply')[0]?.granted, true);
});

test('6.2: a leader that does not hear a quorum for E steps down', () => {
  const member = one(3);
  lead(member);
  for (let tick = 1; tick <= 10; tick++) member.raft.tick();
  // New as it is, it gives all of them the time of an election.
  equal(member.raft.role, 'leader');
  for (let tick = 1; tick <= 9; tick++) member.raft.tick();
  equal(member.raft.role, 'leader');
  member.raft.tick();
  const { role, leader, term } = member.raft.status();
  deepEqual([role, leader, term], ['follower', 0, 1]);
});

test('6.2: one answer of a quorum in E keeps it leading', () => {
  const member = one(3);
  lead(member);
  for (let round = 0; round < 5; round++) {
    for (let tick = 1; tick <= 10; tick++) member.raft.tick();
    member.raft.step(beatReply({ from: 2, to: 1, term: 1 }));
    member.drain();
  }
  equal(member.raft.role, 'leader');
});

test('6.2: a leader that is heard and does not hear is replaced', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  network.cut(2, 1);
  network.cut(3, 1);
  network.tick(60);
  equal(network.member(1).raft.role === 'leader', false);
  const leaders = [2, 3].filter((id) => network.member(id).raft.role === 'leader');
  equal(leaders.length, 1);
});

test('6.2: a member with a later term and a leader that is heard are brought together', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  // Member 3 stood for election while it was cut off, with votes that it asked for before.
  network.isolate(3);
  stand(network.member(3));
  network.settle();
  equal(network.member(3).raft.status().term, 2);
  network.heal();
  network.tick(60);
  const terms = [1, 2, 3].map((id) => network.member(id).raft.status().term);
  equal(new Set(terms).size, 1);
  equal([1, 2, 3].filter((id) => network.member(id).raft.role === 'leader').length, 1);
});

test('4.2.1: a learner never stands, and votes when it is asked', () => {
  const configuration = { ...configurationOf(1, 2), learners: [3] };
  const learner = new Member(3, configuration, { random: () => 0 });
  for (let tick = 0; tick < 100; tick++) learner.raft.tick();
  learner.raft.campaign();
  deepEqual(learner.drain(), []);
  equal(learner.raft.role, 'follower');
  learner.raft.step(ask({ from: 1, to: 3, term: 1 }, [0, 0]));
  equal(only(learner.drain(), 'requestVoteReply')[0]?.granted, true);
});

test('4.2.1: a learner is not asked for its vote', () => {
  const configuration = { ...configurationOf(1, 2), learners: [3] };
  const member = new Member(1, configuration, { random: () => 0 });
  deepEqual(
    stand(member).map(({ to }) => to),
    [2],
  );
});

test('4.1: whoever has a change of members to apply does not stand', () => {
  const change = { steps: [{ step: 'addVoter', id: 4 }], autoLeave: true } as const;
  const member = one(3);
  member.isApplyHeld = true;
  member.raft.step(
    says(
      { from: 2, to: 1, term: 1 },
      {
        type: 'appendEntries',
        previousIndex: 0,
        previousTerm: 0,
        entries: [{ index: 1, term: 1, type: 'configuration', data: encodeChange(change) }],
        commitIndex: 1,
      },
    ),
  );
  member.drain();
  for (let tick = 0; tick < 30; tick++) member.raft.tick();
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'timeoutNow' }));
  equal(member.raft.role, 'follower');
  member.isApplyHeld = false;
  member.drain();
  for (let tick = 0; tick < 10; tick++) member.raft.tick();
  equal(member.raft.role, 'preCandidate');
});

test('a follower that is told to forget its leader votes at once', () => {
  const member = one(3);
  member.raft.step(beat({ from: 2, to: 1, term: 1 }));
  member.drain();
  member.raft.forgetLeader();
  equal(member.raft.status().leader, 0);
  member.raft.step(ask({ from: 3, to: 1, term: 2 }, [0, 0], { preVote: true }));
  equal(only(member.drain(), 'requestVoteReply')[0]?.granted, true);
  member.raft.step(beat({ from: 2, to: 1, term: 1 }));
  equal(member.raft.status().leader, 2);
});

test('a leader does not forget itself', () => {
  const member = one(3);
  lead(member);
  member.raft.forgetLeader();
  deepEqual([member.raft.role, member.raft.status().leader], ['leader', 1]);
});

test('10.1: a cluster of one leads and commits without a message', () => {
  const member = one(1);
  for (let tick = 0; tick < 10; tick++) member.raft.tick();
  deepEqual(member.drain(), []);
  equal(member.raft.role, 'leader');
  member.raft.propose([Buffer.from('a')]);
  deepEqual(member.drain(), []);
  deepEqual(member.applied, ['a']);
});
