// Snapshots: when the leader wants one sent, what installing does, and how the stream of entries goes on (thesis 5).

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf, noMembers } from '../../src/raft/configuration.ts';
import type { Message } from '../../src/raft/messages.ts';
import { encodeChange, type Member, members } from './member.ts';
import { Network } from './network.ts';
import { append, beat, beatReply, lead, one, only, says, taken } from './says.ts';

const still = { random: () => 0 };

function install(
  index: number,
  indexTerm: number,
  { term = 3, configuration = configurationOf(1, 2, 3) } = {},
): Message {
  const body = { type: 'installSnapshot', index, indexTerm, configuration } as const;
  return says({ from: 2, to: 1, term }, body);
}

/** A follower of three with that log; the state that any snapshot would bring is at hand. */
function follower(terms: readonly number[], term: number, commit = 0): Member {
  const member = one(3);
  member.seed(terms, term, commit);
  for (let index = 1; index < 20; index++) {
    const configuration = configurationOf(1, 2, 3);
    member.snapshots.set(index, { index, term: 1, configuration, applied: [`to ${index}`] });
  }
  member.drain();
  return member;
}

/** A leader of three whose first five entries are released; 2 holds everything, 3 was never heard of since. */
function releasedLeader(): Network {
  const network = Network.of([1, 2, 3], still);
  network.elect(1);
  network.isolate(3);
  for (const text of ['a', 'b', 'c', 'd']) network.member(1).raft.propose([Buffer.from(text)]);
  network.settle();
  network.member(1).snapshot(5);
  network.member(1).raft.propose([Buffer.from('e')]);
  network.settle();
  return network;
}

test('5: a member that lacks what is released is sent the snapshot, and then the entries behind it', () => {
  const network = releasedLeader();
  network.heal();
  network.tick(3);
  deepEqual(network.member(3).applied, ['a', 'b', 'c', 'd', 'e']);
  equal(network.member(3).log.firstIndex, 6);
  const third = network
    .member(1)
    .raft.status()
    .progress.find(({ id }) => id === 3);
  deepEqual([third?.state, third?.match], ['replicate', 6]);
});

test('5: nothing is sent to a member while its snapshot is on its way', () => {
  const network = releasedLeader();
  const leader = network.member(1);
  network.member(3).raft.step(append({ from: 1, to: 3, term: 1 }, [6, 1]));
  for (const answer of network.member(3).drain()) leader.raft.step(answer);
  deepEqual(
    leader.drain().map(({ to, type }) => [to, type]),
    [[3, 'installSnapshot']],
  );
  leader.raft.propose([Buffer.from('f')]);
  leader.raft.step(beatReply({ from: 3, to: 1, term: 1 }));
  deepEqual(
    only(leader.drain(), 'appendEntries').map(({ to }) => to),
    [2],
  );
});

test('5: a snapshot that did not arrive is sent again, after the next sign of life', () => {
  const network = releasedLeader();
  const leader = network.member(1);
  const refuse = (): void => {
    network.member(3).raft.step(append({ from: 1, to: 3, term: 1 }, [6, 1]));
    for (const answer of network.member(3).drain()) leader.raft.step(answer);
  };
  refuse();
  leader.drain();
  equal(leader.wishes.length, 1);
  leader.raft.reportSnapshot(3, false);
  leader.drain();
  equal(leader.wishes.length, 1);
  leader.raft.step(beatReply({ from: 3, to: 1, term: 1 }));
  leader.drain();
  equal(leader.wishes.length, 2);
});

test('5: a snapshot that arrived makes the leader probe behind it', () => {
  const network = releasedLeader();
  const leader = network.member(1);
  network.member(3).raft.step(append({ from: 1, to: 3, term: 1 }, [6, 1]));
  for (const answer of network.member(3).drain()) leader.raft.step(answer);
  leader.drain();
  leader.raft.reportSnapshot(3, true);
  deepEqual(leader.drain(), []);
  leader.raft.step(beatReply({ from: 3, to: 1, term: 1 }));
  const [probe] = only(leader.drain(), 'appendEntries');
  deepEqual([probe?.to, probe?.previousIndex, probe?.entries.length], [3, 5, 1]);
});

test('5: word of a snapshot that nobody waits for changes nothing', () => {
  const network = releasedLeader();
  const leader = network.member(1);
  const before = leader.raft.status();
  for (const id of [2, 9])
    for (const arrived of [true, false]) leader.raft.reportSnapshot(id, arrived);
  deepEqual(leader.raft.status(), before);
});

test('5: a member that was not heard of is sent no snapshot', () => {
  const network = releasedLeader();
  const leader = network.member(1);
  for (let round = 0; round < 2; round++) {
    for (let tick = 0; tick < 10; tick++) leader.raft.tick();
    leader.raft.step(beatReply({ from: 2, to: 1, term: 1 }));
    leader.drain();
  }
  leader.raft.reportUnreachable(3);
  leader.raft.propose([Buffer.from('x')]);
  leader.drain();
  deepEqual(leader.wishes, []);
});

test('5: a member whose full window was lost gets a snapshot when what it lacks is released', () => {
  const inflight = { maxMessages: 2, maxBytes: 1000 };
  const network = Network.of([1, 2, 3], { ...still, inflight });
  network.elect(1);
  network.isolate(3);
  for (const text of ['a', 'b', 'c', 'd', 'e']) {
    network.member(1).raft.propose([Buffer.from(text)]);
    network.settle();
  }
  network.member(1).snapshot(6);
  network.heal();
  network.tick(3);
  deepEqual(network.member(3).applied, ['a', 'b', 'c', 'd', 'e']);
});

test('5: what one member waits for holds up nobody else', () => {
  const network = releasedLeader();
  network.member(3).raft.step(append({ from: 1, to: 3, term: 1 }, [6, 1]));
  for (const answer of network.member(3).drain()) network.member(1).raft.step(answer);
  network.member(1).drain();
  network.member(1).raft.propose([Buffer.from('f')]);
  network.settle();
  deepEqual(network.member(2).applied, ['a', 'b', 'c', 'd', 'e', 'f']);
});

test('5: entries that catch the member up while its snapshot is on its way open the stream', () => {
  const network = releasedLeader();
  const leader = network.member(1);
  network.member(3).raft.step(append({ from: 1, to: 3, term: 1 }, [6, 1]));
  for (const answer of network.member(3).drain()) leader.raft.step(answer);
  leader.drain();
  // It has entry 5 from elsewhere: below that the answer would not help.
  leader.raft.step(taken({ from: 3, to: 1, term: 1 }, 4));
  equal(leader.raft.status().progress[2]?.state, 'snapshot');
  leader.raft.step(taken({ from: 3, to: 1, term: 1 }, 5));
  equal(leader.raft.status().progress[2]?.state, 'replicate');
  const [sent] = only(leader.drain(), 'appendEntries');
  deepEqual([sent?.to, sent?.entries.map(({ index }) => index)], [3, [6]]);
});

test('5: installing replaces a log that does not have its last entry', () => {
  for (const terms of [[], [1, 1], [1, 1, 2, 2, 2, 2]] as const) {
    const member = follower(terms, 2);
    member.raft.step(install(5, 3));
    const answers = only(member.drain(), 'appendEntriesReply');
    deepEqual(
      answers.map(({ rejected, index }) => [rejected, index]),
      [[false, 5]],
    );
    const { commitIndex, applied, lastIndex } = member.raft.status();
    deepEqual([commitIndex, applied, lastIndex, member.log.firstIndex], [5, 5, 5, 6]);
    deepEqual(member.applied, ['to 5']);
  }
});

test('5: a log that has its last entry stays, and knows that it is committed', () => {
  const member = follower([1, 2, 2, 2], 2, 1);
  member.raft.step(install(3, 2));
  const [answer] = only(member.drain(), 'appendEntriesReply');
  deepEqual([answer?.rejected, answer?.index], [false, 3]);
  deepEqual([member.raft.commitIndex, member.log.lastIndex, member.log.firstIndex], [3, 4, 1]);
});

test('5: a snapshot of what is committed already takes nothing back', () => {
  for (const index of [1, 2, 3]) {
    const member = follower([1, 2, 2, 2], 3, 3);
    const before = member.raft.status();
    member.raft.step(install(index, 9));
    const [answer] = only(member.drain(), 'appendEntriesReply');
    deepEqual([answer?.rejected, answer?.index], [false, 3]);
    deepEqual(member.raft.status(), { ...before, leader: 2 });
  }
});

test('5: what is installed is attested only when that is durable', () => {
  const member = follower([], 2);
  member.isDiskHeld = true;
  member.raft.step(install(5, 3));
  deepEqual(member.drain(), []);
  member.isDiskHeld = false;
  equal(only(member.drain(), 'appendEntriesReply')[0]?.index, 5);
});

test('5: with the snapshot come the members as of it', () => {
  const member = follower([1], 2);
  const configuration = { ...configurationOf(2, 3), learners: [1] };
  member.raft.step(install(5, 3, { configuration }));
  member.drain();
  deepEqual(member.raft.status().configuration, configuration);
  for (let tick = 0; tick < 50; tick++) member.raft.tick();
  equal(member.raft.role, 'follower');
});

test('5: a snapshot that was taken before a member was added brings it to where it was', () => {
  const network = new Network([...members([1, 2], still), ...members([3], still, noMembers)]);
  network.elect(1);
  for (const text of ['a', 'b']) network.member(1).raft.propose([Buffer.from(text)]);
  network.settle();
  network.member(1).snapshot(3);
  const change = { steps: [{ step: 'addVoter', id: 3 }], autoLeave: false } as const;
  network.member(1).raft.proposeConfiguration(change, encodeChange(change));
  network.tick(5);
  deepEqual(network.member(3).raft.status().configuration, configurationOf(1, 2, 3));
  deepEqual(network.member(3).applied, ['a', 'b']);
});

test('5: entries that follow a snapshot in the same turn are written with it', () => {
  const member = follower([1, 1], 2);
  member.raft.step(install(5, 3));
  member.raft.step(append({ from: 2, to: 1, term: 3 }, [5, 3], [3, 3], 6));
  const { record } = member.raft.ready();
  deepEqual(record?.snapshot, { index: 5, term: 3 });
  deepEqual(
    record?.entries?.map(({ index }) => index),
    [6, 7],
  );
  deepEqual(record?.hardState, { term: 3, vote: 0, commit: 6 });
});

test('5: a restart begins behind the snapshot', () => {
  const member = follower([1, 1], 2);
  member.raft.step(install(5, 3));
  member.raft.step(append({ from: 2, to: 1, term: 3 }, [5, 3], [3], 6));
  member.drain();
  member.restart();
  const { applied, commitIndex, lastIndex, term } = member.raft.status();
  deepEqual([applied, commitIndex >= 5, lastIndex, term], [5, true, 6, 3]);
  deepEqual(member.applied, ['to 5']);
});

test('5: a refusal whose hint lies in what is released is not searched there', () => {
  const member = one(3);
  member.seed([1, 1, 1, 1], 1, 4);
  member.drain();
  member.snapshot(3);
  lead(member);
  member.raft.step(beat({ from: 2, to: 1, term: 1 }));
  member.raft.step(
    says(
      { from: 2, to: 1, term: 2 },
      { type: 'appendEntriesReply', rejected: true, index: 4, hintIndex: 2, hintTerm: 1 },
    ),
  );
  member.drain();
  deepEqual(
    member.wishes.map(({ to, snapshot }) => [to, snapshot.index]),
    [[2, 4]],
  );
});
