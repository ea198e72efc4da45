import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import { Pacing } from '../../src/raft/pacing.ts';
import type { Raft } from '../../src/raft/raft.ts';
import { NodeCluster } from './nodes.ts';

type Seen = Pick<Raft, 'role' | 'commitIndex' | 'owesCommit'>;

function paced(): { clock: ManualClock; pacing: Pacing; over: () => number; told: () => number } {
  const clock = new ManualClock();
  let [over, told] = [0, 0];
  const pacing = new Pacing({ clock, onHoldOver: () => over++, onTellDue: () => told++ });
  return { clock, pacing, over: () => over, told: () => told };
}

const leading = (commitIndex: number): Seen => ({ role: 'leader', commitIndex, owesCommit: true });
const nothingOwed: Seen = { role: 'leader', commitIndex: 0, owesCommit: false };

test('a batch waits for the one before to be committed', () => {
  const { pacing } = paced();
  equal(pacing.holdsBack(leading(0)), false, 'nothing is under way');
  pacing.sent(7);
  equal(pacing.holdsBack(leading(6)), true);
  equal(pacing.holdsBack(leading(7)), false);
});

test('a batch waits 20 ms at most, and is told once that it is over', () => {
  const { clock, pacing, over } = paced();
  pacing.sent(7);
  clock.advance(5);
  equal(pacing.holdsBack(leading(6)), true);
  equal(pacing.holdsBack(leading(6)), true);
  clock.advance(14);
  equal(over(), 0);
  clock.advance(1);
  equal(over(), 1);
  equal(pacing.holdsBack(leading(6)), false);
});

test('who does not lead holds nothing back', () => {
  const { pacing } = paced();
  pacing.sent(7);
  equal(pacing.holdsBack({ role: 'follower', commitIndex: 0 }), false);
});

test('a commit is told once, 10 ms after the first turn that owed it', () => {
  const { clock, pacing, told } = paced();
  pacing.note(nothingOwed);
  clock.advance(100);
  equal(told(), 0);
  pacing.note(leading(1));
  clock.advance(9);
  pacing.note(leading(2));
  equal(told(), 0);
  clock.advance(1);
  equal(told(), 1);
});

test('a commit that leaves with something else is not told again, and the next one has its own 10 ms', () => {
  const { clock, pacing, told } = paced();
  pacing.note(leading(1));
  clock.advance(4);
  pacing.note(nothingOwed);
  clock.advance(4);
  pacing.note(leading(2));
  clock.advance(9);
  equal(told(), 0);
  clock.advance(1);
  equal(told(), 1);
  pacing.note(nothingOwed);
  clock.advance(100);
  equal(told(), 1);
});

test('nothing fires once it ended', () => {
  const { clock, pacing, over, told } = paced();
  pacing.sent(7);
  pacing.holdsBack(leading(6));
  pacing.note(leading(6));
  pacing.end();
  clock.advance(1000);
  equal(over() + told(), 0);
});

test('other members hear of a commit though nothing else is proposed', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  const { index } = await cluster.node(leader).propose(Buffer.from('set a 1'));
  const others = [1, 2, 3].filter((id) => id !== leader).map((id) => cluster.node(id));
  for (const node of others) equal(node.status().commitIndex < index, true, 'it leaves later');
  await cluster.clock.advanceAsync(10);
  await cluster.pass(0);
  for (const node of others) equal(node.status().commitIndex, index);
});

test('who handed a command over hears of its commit at once', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3], { forwards: true });
  const follower = (await cluster.leader()) === 1 ? 2 : 1;
  const startMs = cluster.clock.monotonicMs();
  const { index } = await cluster.node(follower).propose(Buffer.from('set a 1'));
  equal(cluster.node(follower).status().lastApplied >= index, true);
  equal(cluster.clock.monotonicMs(), startMs, 'no time passed');
});

test('a change of members is told at once: who does not know of it may not campaign', async (t) => {
  const cluster = await NodeCluster.found(t, [1, 2, 3]);
  const leader = await cluster.leader();
  await cluster.pass(0);
  const index = cluster.node(leader).status().commitIndex;
  for (const id of [1, 2, 3]) equal(cluster.node(id).status().commitIndex, index);
});
