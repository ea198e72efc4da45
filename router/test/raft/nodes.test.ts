// The driver with everything that production puts around it but sockets and disks: what holds of a cluster as a whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEtlError } from '@etl-router/core';
import { Members } from '../../src/server/members.ts';
import { NodeCluster } from './nodes.ts';

const set = (key: string, value: string): Uint8Array => Buffer.from(`set ${key} ${value}`);

async function fill(cluster: NodeCluster, count: number): Promise<void> {
  const leader = cluster.node(await cluster.leader());
  for (let at = 0; at < count; at++)
    await cluster.during(leader.propose(set(`key-${at}`, String(at))));
}

function membersOf(cluster: NodeCluster, id: number): Members {
  return new Members({ consensus: cluster.node(id), isNetworked: true });
}

test('a proposal on the leader takes effect on every member', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const { index } = await cluster.during(cluster.node(leader).propose(set('a', '1')));
  await cluster.pass(200);
  for (const { machine, node } of cluster.members.values()) {
    assert.deepEqual(machine.sorted, ['a=1']);
    assert.equal(node?.status().lastApplied, index);
    assert.equal(node?.status().leaderId, leader);
  }
});

test('a follower refuses proposals and names the leader', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  for (const id of [1, 2, 3].filter((each) => each !== leader)) {
    await assert.rejects(cluster.node(id).propose(set('a', '1')), (error) => {
      assert.ok(isEtlError(error));
      assert.deepEqual(
        [error.code, error.retryable, error.details['leader']],
        ['ETL_NOT_LEADER', true, leader],
      );
      return true;
    });
    await assert.rejects(membersOf(cluster, id).remove(leader), {
      code: 'ETL_NOT_LEADER',
      message: `member node-${leader} (id ${leader}) leads; ask it to change the members`,
      details: { leader, leaderName: `node-${leader}` },
    });
  }
});

test('a read on a follower sees every proposal answered before it', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  for (let at = 0; at < 20; at++) {
    const { index } = await cluster.during(cluster.node(leader).propose(set('a', String(at))));
    const read = await cluster.during(cluster.node(follower).readIndex());
    assert.ok(read >= index);
    assert.deepEqual(cluster.member(follower).machine.sorted, [`a=${at}`]);
  }
});

test('when the leader is away another takes over, and the first learns of it', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  await fill(cluster, 3);
  const first = await cluster.leader();
  cluster.isolate(first);
  await cluster.pass(5000);
  const second = await cluster.leader();
  assert.notEqual(second, first);
  assert.equal(cluster.node(first).leads, false);
  await cluster.during(cluster.node(second).propose(set('later', '1')));
  await assert.rejects(cluster.node(first).propose(set('lost', '1')), { retryable: true });
  cluster.heal();
  await cluster.pass(2000);
  assert.equal(await cluster.leader(), second);
  assert.deepEqual(cluster.member(first).leadership, [true, false]);
  assert.deepEqual(cluster.member(first).machine.sorted, cluster.member(second).machine.sorted);
});

test('a member is added, promoted, handed the lead, and another one removed', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  await fill(cluster, 10);
  const leader = await cluster.leader();
  const members = membersOf(cluster, leader);
  await cluster.start(4);
  const { peer } = cluster.member(4);
  const added = await cluster.during(members.addLearner(peer));
  assert.deepEqual(
    added.map(({ id, role }) => [id, role]),
    [1, 2, 3, 4].map((id) => [id, id === leader ? 'leader' : id === 4 ? 'learner' : 'voter']),
  );
  assert.deepEqual(await members.addLearner(peer), members.list(), 'again: nothing changes');
  await cluster.pass(500);
  assert.equal(cluster.member(4).machine.sorted.length, 10);
  const replaced = leader === 2 ? 3 : 2;
  const promoted = await cluster.during(members.promote(4, { replaces: replaced }));
  const left = [1, 2, 3, 4].filter((id) => id !== replaced);
  assert.deepEqual(
    promoted.map(({ id, role }) => [id, role]),
    left.map((id) => [id, id === leader ? 'leader' : 'voter']),
  );
  assert.deepEqual(cluster.node(leader).membership.removed, [replaced]);
  await cluster.during(members.promote(4, { replaces: replaced }));
  await cluster.stop(replaced);
  assert.equal(await cluster.during(members.transfer(4)), 'node-4');
  assert.equal(await cluster.leader(), 4);
  assert.equal(cluster.member(leader).leadership.at(-1), false);
  const third = left.find((id) => id !== leader && id !== 4) as number;
  await cluster.during(membersOf(cluster, 4).remove(third));
  await cluster.during(cluster.node(4).propose(set('two', 'left')));
  assert.deepEqual(
    cluster.node(4).membership.configuration.voters,
    [leader, 4].toSorted((a, b) => a - b),
  );
});

test('a leader removes itself, and the others go on without it', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  await cluster.during(membersOf(cluster, leader).remove(leader));
  await cluster.pass(5000);
  const next = await cluster.leader();
  assert.notEqual(next, leader);
  await cluster.during(cluster.node(next).propose(set('a', '1')));
  assert.equal(cluster.node(next).membership.members.length, 2);
});

test('a leader is replaced by a learner in one change, and someone else leads then', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  await fill(cluster, 3);
  const leader = await cluster.leader();
  const members = membersOf(cluster, leader);
  await cluster.start(4);
  await cluster.during(members.addLearner(cluster.member(4).peer));
  await cluster.pass(500);
  await cluster.during(members.promote(4, { replaces: leader }));
  await cluster.pass(5000);
  const next = await cluster.leader();
  assert.notEqual(next, leader);
  await cluster.during(cluster.node(next).propose(set('a', '1')));
  assert.deepEqual(
    cluster.node(next).membership.configuration.voters,
    [1, 2, 3, 4].filter((id) => id !== leader),
  );
});

test('a member that was removed and runs on disturbs nobody', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const removed = leader === 1 ? 2 : 1;
  await cluster.during(membersOf(cluster, leader).remove(removed));
  const { term } = cluster.node(leader).status();
  await cluster.pass(20_000);
  const { role, term: later } = cluster.node(leader).status();
  assert.deepEqual([role, later], ['leader', term]);
  await cluster.during(cluster.node(leader).propose(set('a', '1')));
});

test('a member that moved is known by its new address everywhere, also after a restart', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const moved = leader === 1 ? 2 : 1;
  const peer = { ...cluster.member(moved).peer, address: '10.9.9.9:50052' };
  await cluster.during(membersOf(cluster, leader).addLearner(peer));
  await cluster.pass(500);
  await cluster.stop(moved);
  await cluster.start(moved);
  await cluster.pass(2000);
  for (const { node } of cluster.members.values()) {
    assert.deepEqual(node?.membership.configuration.voters, [1, 2, 3]);
    assert.deepEqual(
      node?.membership.members.find(({ id }) => id === moved),
      peer,
    );
  }
});

test('a member that was stopped finds what it missed, from its disk and from the leader', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  await fill(cluster, 5);
  const leader = await cluster.leader();
  const away = leader === 3 ? 2 : 3;
  await cluster.stop(away);
  await fill(cluster, 12);
  const node = await cluster.start(away);
  assert.equal(node.leads, false);
  await cluster.pass(1000);
  assert.equal(await cluster.leader(), leader, 'whoever comes back disturbs nobody');
  assert.deepEqual(cluster.member(away).machine.sorted, cluster.member(leader).machine.sorted);
  assert.equal(cluster.snapshotsSent, 0);
});

test('all members stop and start again, and nothing is lost', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  await fill(cluster, 5);
  for (const id of [1, 2, 3]) await cluster.stop(id);
  for (const id of [1, 2, 3]) await cluster.start(id);
  const leader = await cluster.leader();
  await cluster.during(cluster.node(leader).readIndex());
  assert.equal(cluster.member(leader).machine.sorted.length, 5);
});

test('a member that lacks released entries gets a snapshot, and the members with it', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], {
    snapshotInterval: 20,
    trailingEntries: 5,
  });
  await fill(cluster, 60);
  const leader = await cluster.leader();
  await cluster.start(4);
  await cluster.during(membersOf(cluster, leader).addLearner(cluster.member(4).peer));
  await cluster.pass(2000);
  assert.ok(cluster.snapshotsSent >= 1);
  assert.deepEqual(cluster.member(4).machine.sorted, cluster.member(leader).machine.sorted);
  assert.deepEqual(cluster.node(4).membership, cluster.node(leader).membership);
  await fill(cluster, 3);
  await cluster.stop(4);
  await cluster.start(4);
  await cluster.pass(1000);
  assert.equal(cluster.node(4).status().lastApplied, cluster.node(leader).status().lastApplied);
});

test('leadership that nobody takes over stays, and who asked for it is told', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const target = leader === 1 ? 2 : 1;
  cluster.isolate(target);
  await assert.rejects(cluster.during(cluster.node(leader).transferTo(target)), {
    code: 'ETL_UNAVAILABLE',
    retryable: true,
    message: new RegExp(`member ${target} did not take over`),
  });
  await cluster.during(cluster.node(leader).propose(set('goes', 'on')));
});

test('a member that closes leaves nobody waiting', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const node = cluster.node(leader);
  const target = leader === 1 ? 2 : 1;
  for (const id of [1, 2, 3]) cluster.isolate(id);
  const waiting = [
    node.changeMembers({
      steps: [{ step: 'remove', id: target, name: 'x', address: 'y' }],
      autoLeave: false,
    }),
    node.readIndex(),
    node.transferTo(target),
  ];
  const ended = Promise.allSettled(waiting);
  await cluster.stop(leader);
  for (const outcome of await cluster.during(ended)) assert.equal(outcome.status, 'rejected');
});

test('a member that answers is healthy at every moment', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const members = membersOf(cluster, leader);
  for (let at = 0; at < 100; at++) {
    cluster.clock.advance(50);
    assert.ok(
      members.list().every(({ healthy }) => healthy === true),
      `after ${at * 50} ms`,
    );
    await cluster.pass(0);
  }
  cluster.isolate(leader === 1 ? 2 : 1);
  await cluster.pass(3000);
  assert.deepEqual(
    members.list().map(({ healthy }) => healthy),
    [1, 2, 3].map((id) => id !== (leader === 1 ? 2 : 1)),
  );
});
