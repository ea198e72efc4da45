// Changes of members and learners, one test for each rule (thesis 4).

import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ConfigurationChange,
  configurationOf,
  type MemberStep,
} from '../../src/raft/configuration.ts';
import { encodeChange, Member, members } from './member.ts';
import { Network } from './network.ts';
import { lead, only, taken } from './says.ts';

const still = { random: () => 0 };

function change(
  autoLeave: boolean,
  ...steps: readonly [MemberStep['step'], number][]
): ConfigurationChange {
  return { autoLeave, steps: steps.map(([step, id]) => ({ step, id })) };
}

/** Voters 1 to `voters`, of which 1 leads, and beside them those who wait to be added, up to `all`. */
function cluster(voters: number, all: number): Network {
  // Where a log begins, who founded the cluster is known to everyone.
  const founders = configurationOf(...Array.from({ length: voters }, (_, at) => at + 1));
  const network = new Network(
    members(
      Array.from({ length: all }, (_, at) => at + 1),
      {},
      founders,
    ),
  );
  network.elect(1);
  return network;
}

function propose(network: Network, which: ConfigurationChange, id = 1): void {
  network.member(id).raft.proposeConfiguration(which, encodeChange(which));
}

function configurations(network: Network, ids: readonly number[]): readonly unknown[] {
  return ids.map((id) => network.member(id).raft.status().configuration);
}

test('4.1: a member is added and brought up to date, and all know of it', () => {
  const network = cluster(3, 4);
  network.member(1).raft.propose([Buffer.from('a')]);
  propose(network, change(false, ['addVoter', 4]));
  network.tick(4);
  deepEqual(configurations(network, [1, 2, 3, 4]), new Array(4).fill(configurationOf(1, 2, 3, 4)));
  deepEqual(network.member(4).applied, ['a']);
});

test('4.1: one change at a time, the next when it is applied', () => {
  const network = cluster(3, 5);
  const { raft } = network.member(1);
  propose(network, change(false, ['addVoter', 4]));
  throws(() => propose(network, change(false, ['addVoter', 5])), {
    code: 'ETL_CONFLICT',
    retryable: true,
  });
  network.settle();
  propose(network, change(false, ['addVoter', 5]));
  network.tick(4);
  deepEqual(raft.status().configuration, configurationOf(1, 2, 3, 4, 5));
});

test('4.1: a new leader proposes no change before everything it found is applied', () => {
  const member = new Member(1, configurationOf(1, 2, 3), still);
  member.seed([1, 1], 1);
  lead(member);
  throws(() => member.raft.proposeConfiguration(change(false, ['remove', 3]), new Uint8Array(0)), {
    code: 'ETL_CONFLICT',
  });
  member.raft.step(taken({ from: 2, to: 1, term: 2 }, 3));
  member.drain();
  const which = change(false, ['remove', 3]);
  equal(member.raft.proposeConfiguration(which, encodeChange(which)).index, 4);
});

test('4.1: a change that makes no sense is refused before it is in the log', () => {
  const network = cluster(1, 1);
  const { raft } = network.member(1);
  const { lastIndex } = raft.status();
  for (const which of [change(false, ['remove', 1]), change(false), change(false, ['addVoter', 0])])
    throws(() => propose(network, which), { code: 'ETL_INVALID_ARGUMENT' });
  equal(raft.status().lastIndex, lastIndex);
});

test('4.1: a committed change that does not fit changes nothing, on every member alike', () => {
  const member = new Member(1, configurationOf(1, 2), still);
  deepEqual(member.raft.applyConfiguration(change(false)), configurationOf(1, 2));
  deepEqual(
    member.raft.applyConfiguration(change(false, ['remove', 1], ['remove', 2])),
    configurationOf(1, 2),
  );
});

test('4.2.2: a leader that is removed leads until that is committed, and then steps down', () => {
  const network = cluster(3, 3);
  const leader = network.member(1);
  propose(network, change(false, ['remove', 1]));
  equal(leader.raft.role, 'leader');
  network.settle();
  deepEqual([leader.raft.role, leader.raft.status().leader], ['follower', 0]);
  network.tick(40);
  equal(leader.raft.role, 'follower');
  deepEqual(configurations(network, [2, 3]), new Array(2).fill(configurationOf(2, 3)));
  equal([2, 3].filter((id) => network.member(id).raft.role === 'leader').length, 1);
});

test('4.2.2: a leader that becomes a learner steps down', () => {
  const network = cluster(3, 3);
  propose(network, change(false, ['addLearner', 1]));
  network.settle();
  equal(network.member(1).raft.role, 'follower');
  network.tick(40);
  equal(network.member(1).raft.role, 'follower');
  deepEqual(network.member(1).raft.status().configuration, {
    ...configurationOf(2, 3),
    learners: [1],
  });
});

test('4.2.3: a member that was removed and does not know it disturbs nobody', () => {
  const network = cluster(3, 3);
  network.isolate(3);
  propose(network, change(false, ['remove', 3]));
  network.tick(30);
  network.heal();
  network.tick(60);
  deepEqual([network.member(1).raft.role, network.member(1).raft.status().term], ['leader', 1]);
});

test('4.3: while joint an entry needs both majorities', () => {
  const configuration = { ...configurationOf(1, 4, 5), outgoing: [1, 2, 3] };
  for (const [holders, isCommitted] of [
    [[4, 5], false],
    [[2, 3], false],
    [[2, 4], true],
    [[2, 3, 5], true],
  ] as const) {
    const member = new Member(1, configuration, still);
    lead(member);
    for (const from of holders) member.raft.step(taken({ from, to: 1, term: 1 }, 1));
    member.drain();
    equal(member.raft.commitIndex === 1, isCommitted, holders.join());
  }
});

test('4.3: while joint a leader needs the votes of both halves', () => {
  const configuration = { ...configurationOf(1, 4, 5), outgoing: [1, 2, 3] };
  const network = new Network(members([1, 2, 3, 4, 5], still, configuration));
  network.isolate(2);
  network.isolate(3);
  network.elect(1);
  equal(network.member(1).raft.role === 'leader', false);
  network.heal();
  network.isolate(4);
  network.isolate(3);
  network.elect(1);
  equal(network.member(1).raft.role, 'leader');
});

test('4.3: while joint a leader steps down without either quorum', () => {
  const configuration = { ...configurationOf(1, 4, 5), outgoing: [1, 2, 3] };
  const network = new Network(members([1, 2, 3, 4, 5], still, configuration));
  network.elect(1);
  network.isolate(2);
  network.isolate(3);
  network.tick(25, [1, 4, 5]);
  equal(network.member(1).raft.role === 'leader', false);
});

test('4.3: several members are replaced at once, and the leader ends the change', () => {
  const network = cluster(3, 5);
  propose(
    network,
    change(true, ['addVoter', 4], ['addVoter', 5], ['remove', 2], ['addLearner', 3]),
  );
  network.tick(5);
  const expected = { ...configurationOf(1, 4, 5), learners: [3] };
  deepEqual(configurations(network, [1, 3, 4, 5]), new Array(4).fill(expected));
});

test('4.3: a joint configuration that does not end by itself waits to be told', () => {
  const network = cluster(3, 4);
  propose(network, change(false, ['addVoter', 4], ['remove', 3]));
  network.tick(10);
  deepEqual(network.member(1).raft.status().configuration.outgoing, [1, 2, 3]);
  throws(() => propose(network, change(false, ['addVoter', 5])), { code: 'ETL_INVALID_ARGUMENT' });
  propose(network, change(false));
  network.tick(3);
  deepEqual(configurations(network, [1, 2, 4]), new Array(3).fill(configurationOf(1, 2, 4)));
});

test('4.3: a joint configuration is ended by the next leader when the one that began it is gone', () => {
  const network = cluster(3, 4);
  const { raft } = network.member(1);
  propose(network, change(true, ['addVoter', 4], ['remove', 3]));
  // Everyone learns that the cluster is joint, then the leader is gone before it can end that.
  for (let at = 0; at < 200 && raft.status().configuration.outgoing.length === 0; at++) {
    network.drain();
    network.deliver();
  }
  network.isolate(1);
  network.tick(60);
  deepEqual(configurations(network, [2, 4]), new Array(2).fill(configurationOf(1, 2, 4)));
  network.heal();
  network.tick(30);
  deepEqual(network.member(1).raft.status().configuration, configurationOf(1, 2, 4));
});

test('4.3: a leader that only the ending half holds leads through the change, and then steps down', () => {
  const network = cluster(3, 4);
  propose(network, change(true, ['addVoter', 4], ['remove', 1]));
  network.tick(40);
  equal(network.member(1).raft.role, 'follower');
  deepEqual(configurations(network, [2, 3, 4]), new Array(3).fill(configurationOf(2, 3, 4)));
  equal([2, 3, 4].filter((id) => network.member(id).raft.role === 'leader').length, 1);
});

test('4.3: a joint change goes on while leadership is handed over', () => {
  const network = cluster(3, 4);
  propose(network, change(true, ['addVoter', 4], ['remove', 3]));
  network.member(1).raft.transferTo(2);
  network.tick(20);
  equal(network.member(2).raft.role, 'leader');
  deepEqual(configurations(network, [1, 2, 4]), new Array(3).fill(configurationOf(1, 2, 4)));
});

test('4.3: a joint change ends by itself when the transfer that held it up is given up', () => {
  const network = cluster(3, 4);
  propose(network, change(true, ['addVoter', 4], ['remove', 3]));
  network.isolate(2);
  network.member(1).raft.transferTo(2);
  network.settle();
  equal(network.member(1).raft.status().configuration.outgoing.length, 3);
  network.tick(15, [1, 3, 4]);
  deepEqual(network.member(1).raft.status().configuration, configurationOf(1, 2, 4));
});

test('4.3: half of a cluster that can not be reached is replaced', () => {
  const network = cluster(5, 7);
  network.isolate(5);
  network.isolate(4);
  propose(network, change(true, ['addVoter', 6], ['addVoter', 7], ['remove', 4], ['remove', 5]));
  network.tick(8);
  deepEqual(network.member(1).raft.status().configuration, configurationOf(1, 2, 3, 6, 7));
});

test('4.2.1: a learner receives everything and counts for nothing', () => {
  const configuration = { ...configurationOf(1, 2, 3), learners: [4] };
  const network = new Network(members([1, 2, 3, 4], still, configuration));
  network.elect(1);
  network.member(1).raft.propose([Buffer.from('a')]);
  network.settle();
  deepEqual(network.member(4).applied, ['a']);
  network.isolate(2);
  network.isolate(3);
  network.member(1).raft.propose([Buffer.from('b')]);
  network.settle();
  deepEqual(network.member(4).log.lastIndex, 3);
  deepEqual(network.member(4).applied, ['a']);
  network.tick(25, [1, 4]);
  equal(network.member(1).raft.role === 'leader', false);
});

test('4.2.1: a learner becomes a voter that may lead', () => {
  const network = cluster(2, 3);
  propose(network, change(false, ['addLearner', 3]));
  network.tick(3);
  propose(network, change(false, ['addVoter', 3]));
  network.tick(3);
  network.member(1).raft.transferTo(3);
  network.settle();
  equal(network.member(3).raft.role, 'leader');
});

test('4.2.1: a learner that became a voter and does not know it helps to elect a leader', () => {
  const network = cluster(2, 3);
  propose(network, change(false, ['addLearner', 3]));
  network.tick(3);
  // The change makes 3 a voter, but it does not hear that it is committed.
  network.cut(1, 3);
  propose(network, change(false, ['addVoter', 3]));
  network.settle();
  network.tick(1, [2]);
  deepEqual(network.member(3).raft.status().configuration.learners, [3]);
  deepEqual(network.member(2).raft.status().configuration, configurationOf(1, 2, 3));
  network.heal();
  network.isolate(1);
  network.tick(40, [2, 3]);
  equal(network.member(2).raft.role, 'leader');
  deepEqual(network.member(3).raft.status().configuration, configurationOf(1, 2, 3));
});

test('a new member is given the time of an election before it is missed', () => {
  const network = cluster(1, 2);
  network.isolate(2);
  propose(network, change(false, ['addVoter', 2]));
  network.settle();
  equal(network.member(1).raft.role, 'leader');
  network.tick(9, [1]);
  equal(network.member(1).raft.role, 'leader');
  network.tick(12, [1]);
  equal(network.member(1).raft.role === 'leader', false);
});

test('of two members the one that stays goes on alone, if the removal was committed', () => {
  const network = cluster(2, 2);
  propose(network, change(false, ['remove', 2]));
  network.settle();
  network.isolate(2);
  network.member(1).raft.propose([Buffer.from('alone')]);
  network.settle();
  deepEqual(network.member(1).applied, ['alone']);
});

test('entries that waited for one who leaves are committed by those who stay', () => {
  const network = cluster(4, 4);
  network.isolate(4);
  propose(network, change(false, ['remove', 4]));
  network.settle();
  network.isolate(3);
  network.member(1).raft.propose([Buffer.from('a')]);
  network.settle();
  deepEqual(network.member(1).applied, ['a']);
});

test('nothing is sent to one who left', () => {
  const network = cluster(3, 3);
  propose(network, change(false, ['remove', 3]));
  network.settle();
  const leader = network.member(1);
  leader.raft.propose([Buffer.from('a')]);
  leader.raft.tick();
  deepEqual([...new Set(leader.drain().map(({ to }) => to))], [2]);
  leader.raft.step(taken({ from: 3, to: 1, term: 1 }, 2));
  deepEqual(only(leader.drain(), 'appendEntries'), []);
});
