// Linearizable reads and the handing over of leadership, one test for each rule (thesis 6.4 and 3.10).

import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf } from '../../src/raft/configuration.ts';
import type { RaftOptions } from '../../src/raft/core-state.ts';
import { encodeChange, Member } from './member.ts';
import { Network } from './network.ts';
import { append, beat, beatReply, lead, one, only, says, taken } from './says.ts';

/** A leader of that many that has committed an entry of its term. */
function leader(voters = 3, options: Partial<RaftOptions> = {}): Member {
  const member = one(voters, options);
  lead(member);
  for (let from = 2; from <= voters; from++) member.raft.step(taken({ from, to: 1, term: 1 }, 1));
  member.drain();
  return member;
}

test('6.4: a read is granted by a quorum that answers heartbeats which left after it came', () => {
  const member = leader(5);
  member.raft.readIndex(7);
  const beats = only(member.drain(), 'heartbeat');
  deepEqual(
    beats.map(({ to, readContext }) => [to, readContext]),
    [2, 3, 4, 5].map((to) => [to, 1]),
  );
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, []);
  member.raft.step(beatReply({ from: 3, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, [{ context: 7, index: 1 }]);
});

test('6.4: the answer to a heartbeat that left before the read came confirms nothing', () => {
  const member = leader();
  member.raft.tick();
  member.drain();
  member.raft.readIndex(1);
  member.drain();
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 0));
  member.drain();
  deepEqual(member.reads, []);
  member.raft.readIndex(2);
  member.drain();
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, [{ context: 1, index: 1 }]);
});

test('6.4: a later round confirms the reads of earlier ones, and no member counts twice', () => {
  const member = leader(5);
  member.raft.readIndex(1);
  member.drain();
  member.raft.readIndex(2);
  member.drain();
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 2));
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 2));
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, []);
  member.raft.step(beatReply({ from: 3, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(
    member.reads.map(({ context }) => context),
    [1],
  );
  member.raft.step(beatReply({ from: 4, to: 1, term: 1 }, 2));
  member.drain();
  deepEqual(
    member.reads.map(({ context }) => context),
    [1, 2],
  );
});

test('6.4: a round that never began is confirmed by nobody', () => {
  const member = leader();
  member.raft.readIndex(1);
  member.drain();
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 99));
  member.drain();
  deepEqual(member.reads, []);
});

test('6.4: reads that come together share one round of heartbeats', () => {
  const member = leader();
  for (let context = 1; context <= 100; context++) member.raft.readIndex(context);
  equal(only(member.drain(), 'heartbeat').length, 2);
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 1));
  member.drain();
  equal(member.reads.length, 100);
});

test('6.4: a round whose heartbeats were lost is repeated with the next ones', () => {
  const member = leader();
  member.raft.readIndex(1);
  member.drain();
  member.raft.tick();
  deepEqual(
    only(member.drain(), 'heartbeat').map(({ readContext }) => readContext),
    [1, 1],
  );
});

test('6.4: a read is granted with the commit index of when it came', () => {
  const member = leader();
  member.raft.readIndex(1);
  member.drain();
  member.raft.propose([Buffer.from('a')]);
  member.drain();
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, [{ context: 1, index: 1 }]);
});

test('6.4: a new leader answers no read before it has committed an entry of its term', () => {
  const member = one(3);
  member.seed([1, 1], 1, 2);
  lead(member);
  member.raft.readIndex(5);
  member.raft.step(says({ from: 2, to: 1, term: 2 }, { type: 'readIndex', context: 6 }));
  member.drain();
  member.raft.tick();
  member.raft.step(beatReply({ from: 2, to: 1, term: 2 }, 1));
  deepEqual(only(member.drain(), 'readIndexReply'), []);
  deepEqual(member.reads, []);
  member.raft.step(taken({ from: 2, to: 1, term: 2 }, 3));
  equal(only(member.drain(), 'heartbeat').length, 2);
  member.raft.step(beatReply({ from: 2, to: 1, term: 2 }, 1));
  const [reply] = only(member.drain(), 'readIndexReply');
  deepEqual([reply?.to, reply?.context, reply?.index], [2, 6, 3]);
  deepEqual(member.reads, [{ context: 5, index: 3 }]);
});

test('6.4: reads that wait when leadership ends are refused, of followers too', () => {
  const member = leader();
  member.raft.readIndex(1);
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'readIndex', context: 2 }));
  member.drain();
  member.raft.step(beat({ from: 3, to: 1, term: 2 }));
  const [reply] = only(member.drain(), 'readIndexReply');
  deepEqual([reply?.to, reply?.context, reply?.index], [2, 2, 0]);
  deepEqual(member.reads, [{ context: 1, index: 0 }]);
});

test('6.4: reads that wait for the first commit are refused when leadership ends', () => {
  const member = one(3);
  lead(member);
  member.raft.readIndex(1);
  member.drain();
  for (let tick = 0; tick < 20; tick++) member.raft.tick();
  member.drain();
  equal(member.raft.role, 'follower');
  deepEqual(member.reads, [{ context: 1, index: 0 }]);
});

test('6.4: a leader that was replaced and does not know it grants nothing', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  network.isolate(1);
  network.tick(12, [2, 3]);
  network.tick(20, [2, 3]);
  const next = [2, 3].find((id) => network.member(id).raft.role === 'leader') as number;
  network.member(next).raft.propose([Buffer.from('new')]);
  network.settle();
  network.member(1).raft.readIndex(9);
  network.settle();
  network.tick(30, [1]);
  network.heal();
  network.tick(5);
  deepEqual(network.member(1).reads, [{ context: 9, index: 0 }]);
});

test('6.4: the answers to heartbeats of a leadership that is over do not confirm one of the next', () => {
  const member = leader();
  member.raft.readIndex(1);
  member.drain();
  member.raft.step(beat({ from: 3, to: 1, term: 2 }));
  member.drain();
  lead(member);
  for (const from of [2, 3]) member.raft.step(taken({ from, to: 1, term: 3 }, 2));
  member.raft.readIndex(2);
  member.drain();
  member.raft.step(beatReply({ from: 2, to: 1, term: 1 }, 2));
  member.drain();
  deepEqual(member.reads, [{ context: 1, index: 0 }]);
});

test('6.4: a follower asks its leader, and gets what the leader had committed', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  network.member(1).raft.propose([Buffer.from('a')]);
  network.settle();
  network.member(3).raft.readIndex(4);
  network.settle();
  deepEqual(network.member(3).reads, [{ context: 4, index: 2 }]);
});

test('6.4: an answer to a read counts only from the leader', () => {
  const member = one(3);
  member.raft.step(beat({ from: 2, to: 1, term: 1 }));
  member.drain();
  member.raft.readIndex(4);
  member.drain();
  const reply = { type: 'readIndexReply', context: 4, index: 3 } as const;
  member.raft.step(says({ from: 3, to: 1, term: 1 }, reply));
  member.drain();
  deepEqual(member.reads, []);
  member.raft.step(says({ from: 2, to: 1, term: 1 }, reply));
  member.drain();
  deepEqual(member.reads, [{ context: 4, index: 3 }]);
});

test('6.4: a read that reaches no leader is refused', () => {
  const member = one(3);
  throws(() => member.raft.readIndex(1), { code: 'ETL_UNAVAILABLE' });
  member.raft.step(says({ from: 2, to: 1, term: 0 }, { type: 'readIndex', context: 8 }));
  const [reply] = only(member.drain(), 'readIndexReply');
  deepEqual([reply?.context, reply?.index], [8, 0]);
});

test('6.4: as many reads wait as may; the others are refused', () => {
  const member = leader(3, { maxPendingReads: 2 });
  member.raft.readIndex(1);
  member.raft.readIndex(2);
  throws(() => member.raft.readIndex(3), { code: 'ETL_LIMIT_EXCEEDED' });
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'readIndex', context: 4 }));
  const [reply] = only(member.drain(), 'readIndexReply');
  deepEqual([reply?.context, reply?.index], [4, 0]);
});

test('6.4: one name asked for twice is answered twice', () => {
  const member = leader();
  for (let times = 0; times < 2; times++)
    member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'readIndex', context: 4 }));
  member.drain();
  member.raft.step(beatReply({ from: 3, to: 1, term: 1 }, 1));
  equal(only(member.drain(), 'readIndexReply').length, 2);
});

test('6.4: while joint a read needs both halves', () => {
  const configuration = { ...configurationOf(1, 4, 5), outgoing: [1, 2, 3] };
  const member = new Member(1, configuration, { random: () => 0 });
  lead(member);
  for (const from of [2, 4]) member.raft.step(taken({ from, to: 1, term: 1 }, 1));
  member.raft.readIndex(1);
  member.drain();
  for (const from of [4, 5]) member.raft.step(beatReply({ from, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, []);
  member.raft.step(beatReply({ from: 3, to: 1, term: 1 }, 1));
  member.drain();
  equal(member.reads.length, 1);
});

test('6.4: a cluster of one, and one with learners only beside it, grants at once', () => {
  const configuration = { ...configurationOf(1), learners: [2] };
  const member = new Member(1, configuration, { random: () => 0 });
  lead(member);
  member.drain();
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'readIndex', context: 4 }));
  equal(only(member.drain(), 'readIndexReply')[0]?.index, 1);
  member.raft.readIndex(5);
  member.drain();
  deepEqual(member.reads, [{ context: 5, index: 1 }]);
});

test('6.4: a learner confirms nothing', () => {
  const configuration = { ...configurationOf(1, 2), learners: [3] };
  const member = new Member(1, configuration, { random: () => 0 });
  lead(member);
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 1));
  member.raft.readIndex(5);
  member.drain();
  member.raft.step(beatReply({ from: 3, to: 1, term: 1 }, 1));
  member.drain();
  deepEqual(member.reads, []);
});

test('6.4: a read that waits for one who leaves the cluster is granted by those who stay', () => {
  const member = leader(2);
  const change = { steps: [{ step: 'remove', id: 2 }], autoLeave: false } as const;
  member.raft.proposeConfiguration(change, encodeChange(change));
  member.raft.readIndex(1);
  member.drain();
  // Its answer to the heartbeat is lost, the one to the append is not.
  member.raft.step(taken({ from: 2, to: 1, term: 1 }, 2));
  member.raft.readIndex(2);
  member.drain();
  deepEqual(member.raft.status().configuration, configurationOf(1));
  deepEqual(member.reads, [
    { context: 1, index: 1 },
    { context: 2, index: 2 },
  ]);
});

test('3.10: leadership goes at once to a member that has everything', () => {
  const member = leader();
  member.raft.transferTo(2);
  deepEqual(
    member.drain().map(({ to, type }) => [to, type]),
    [[2, 'timeoutNow']],
  );
});

test('3.10: a member that lacks entries is brought up to date first', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  network.isolate(3);
  for (const text of ['a', 'b', 'c']) network.member(1).raft.propose([Buffer.from(text)]);
  network.settle();
  network.heal();
  network.member(1).raft.transferTo(3);
  network.settle();
  network.tick(3);
  equal(network.member(3).raft.role, 'leader');
  deepEqual(network.member(3).applied, ['a', 'b', 'c']);
});

test('3.10: a member that needs a snapshot gets it, and then leads', () => {
  const network = Network.of([1, 2, 3], { random: () => 0 });
  network.elect(1);
  network.isolate(3);
  for (const text of ['a', 'b', 'c']) network.member(1).raft.propose([Buffer.from(text)]);
  network.settle();
  network.member(1).snapshot(4);
  network.heal();
  network.member(1).raft.transferTo(3);
  network.tick(6);
  equal(network.member(3).raft.role, 'leader');
  deepEqual(network.member(3).applied, ['a', 'b', 'c']);
});

test('3.10: no proposals are taken while leadership is handed over', () => {
  const member = leader();
  member.raft.transferTo(2);
  throws(() => member.raft.propose([Buffer.from('a')]), {
    code: 'ETL_UNAVAILABLE',
    message: /handed over/,
  });
  const change = { steps: [{ step: 'remove', id: 3 }], autoLeave: false } as const;
  throws(() => member.raft.proposeConfiguration(change, encodeChange(change)), {
    code: 'ETL_UNAVAILABLE',
  });
});

test('3.10: a transfer that takes longer than an election is given up', () => {
  const member = leader();
  member.raft.transferTo(2);
  for (let tick = 0; tick < 10; tick++) {
    throws(() => member.raft.propose([Buffer.from('a')]), { code: 'ETL_UNAVAILABLE' });
    member.raft.step(beatReply({ from: 3, to: 1, term: 1 }));
    member.raft.tick();
  }
  equal(member.raft.status().transferee, 0);
  equal(member.raft.role, 'leader');
  member.raft.propose([Buffer.from('a')]);
});

test('3.10: the word to take over is repeated with every heartbeat: it may be lost, or come too early', () => {
  const member = leader();
  member.raft.transferTo(2);
  member.drain();
  for (const from of [2, 3]) member.raft.step(beatReply({ from, to: 1, term: 1 }));
  deepEqual(
    member.drain().map(({ to, type }) => [to, type]),
    [[2, 'timeoutNow']],
  );
});

test('3.10: asking again for the same member begins nothing anew, another one takes its place', () => {
  const member = leader();
  member.raft.transferTo(2);
  member.drain();
  member.raft.transferTo(2);
  deepEqual(member.drain(), []);
  member.raft.transferTo(3);
  deepEqual(
    member.drain().map(({ to, type }) => [to, type]),
    [[3, 'timeoutNow']],
  );
});

for (const [name, to] of [
  ['itself', 1],
  ['a learner', 4],
  ['a stranger', 9],
] as const) {
  test(`3.10: leadership is not handed to ${name}`, () => {
    const configuration = { ...configurationOf(1, 2, 3), learners: [4] };
    const member = new Member(1, configuration, { random: () => 0 });
    lead(member);
    throws(() => member.raft.transferTo(to), { code: 'ETL_INVALID_ARGUMENT' });
    equal(member.raft.status().transferee, 0);
  });
}

test('3.10: only a leader hands over', () => {
  const member = one(3);
  member.raft.step(beat({ from: 2, to: 1, term: 1 }));
  throws(() => member.raft.transferTo(3), { code: 'ETL_NOT_LEADER', details: { leader: 2 } });
});

test('3.10: a transfer ends when its target is removed or becomes a learner', () => {
  for (const step of ['remove', 'addLearner'] as const) {
    const network = Network.of([1, 2, 3, 4], { random: () => 0 });
    network.elect(1);
    const member = network.member(1);
    const change = { steps: [{ step, id: 3 }], autoLeave: false } as const;
    network.isolate(3);
    member.raft.proposeConfiguration(change, encodeChange(change));
    member.raft.transferTo(3);
    network.settle();
    equal(member.raft.status().transferee, 0);
    member.raft.propose([Buffer.from('a')]);
  }
});

test('3.10: whoever is told to campaign does so at once, and does not ask first', () => {
  const member = one(3);
  member.raft.step(append({ from: 2, to: 1, term: 1 }, [0, 0], [1]));
  member.drain();
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'timeoutNow' }));
  deepEqual(
    only(member.drain(), 'requestVote').map(({ preVote, transfer, term }) => [
      preVote,
      transfer,
      term,
    ]),
    [
      [false, true, 2],
      [false, true, 2],
    ],
  );
});

test('3.10: only the leader of the term tells to campaign', () => {
  const member = one(3);
  member.raft.step(append({ from: 2, to: 1, term: 2 }, [0, 0], [1]));
  member.drain();
  member.raft.step(says({ from: 3, to: 1, term: 2 }, { type: 'timeoutNow' }));
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'timeoutNow' }));
  deepEqual(member.drain(), []);
  equal(member.raft.role, 'follower');
});

test('3.10: leadership goes there and back', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  network.member(1).raft.transferTo(3);
  network.settle();
  network.member(3).raft.transferTo(1);
  network.settle();
  equal(network.member(1).raft.role, 'leader');
  equal(network.member(1).raft.status().term, 3);
});

test('3.10: a transfer while writes go on loses none that were answered', () => {
  const network = Network.of([1, 2, 3]);
  network.elect(1);
  const written: string[] = [];
  for (let round = 0; round < 12; round++) {
    const from = [1, 2, 3].find((id) => network.member(id).raft.role === 'leader') as number;
    const leading = network.member(from).raft;
    for (const letter of ['a', 'b']) {
      leading.propose([Buffer.from(`${round}${letter}`)]);
      written.push(`${round}${letter}`);
    }
    leading.transferTo((from % 3) + 1);
    network.settle();
  }
  network.tick(2);
  for (const id of [1, 2, 3]) deepEqual(network.member(id).applied, written);
});
