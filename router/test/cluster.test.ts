// Three routers as processes run them, over sockets and disks, in one process of the test.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunningRouter } from '../src/index.ts';
import { Cluster, until } from './cluster.ts';
import { allText } from './server/harness.ts';

test('three routers found a cluster, agree, and go on without the one that led', async (context) => {
  const cluster = await Cluster.make(context, 3);
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [first, led] = await cluster.leader();
  const { outcomes } = await led.router.objects.applyText(allText);
  assert(outcomes.every(({ error }) => error === undefined));
  for (const { router } of cluster.running) {
    await router.barrier();
    assert.equal(router.revision, led.router.revision);
  }
  const follower = cluster.running.find(({ router }) => router !== led.router) as RunningRouter;
  const handed = await follower.router.objects.applyText(allText.replace('in.jsonl', 'x.jsonl'));
  assert(handed.outcomes.every(({ error }) => error === undefined));
  assert.equal(handed.outcomes[1]?.outcome, 'configured');

  await cluster.stop(first);
  const [second, leads] = await cluster.leader();
  assert.notEqual(second, first);
  const changed = await leads.router.objects.applyText(allText.replace('in.jsonl', 'new.jsonl'));
  assert(changed.outcomes.every(({ error }) => error === undefined));

  const again = await cluster.start(first);
  await cluster.leader();
  await again.router.barrier();
  assert.equal(again.router.revision, leads.router.revision);
  const ids = cluster.running.map(({ router }) => router.cluster().clusterId);
  assert.equal(new Set(ids).size, 1);
});

test('a member that is told of itself alone begins alone, and grows without a restart', async (context) => {
  const cluster = await Cluster.make(context, 2, { founders: 1, everywhere: true });
  const first = await cluster.start(1);
  await cluster.leader();
  assert.deepEqual(
    first.router.members.list().map(({ name, address }) => [name, address]),
    [['1', cluster.addressOf(1)]],
  );
  const second = await cluster.start(2);
  const { nodeId } = second.router.cluster();
  const peer = { id: nodeId, name: '2', address: cluster.addressOf(2) };
  await first.router.members.addLearner(peer);
  await until(() => isCaughtUp(first, nodeId));
  await first.router.members.promote(nodeId);
  await until(() => first.router.members.health() === 'healthy');
  assert.equal(new Set(cluster.running.map(({ router }) => router.cluster().clusterId)).size, 1);
});

test('a leader that is stopped hands over before it goes', async (context) => {
  const cluster = await Cluster.make(context, 3);
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [first, led] = await cluster.leader();
  await until(() => led.router.members.health() === 'healthy');
  await cluster.stop(first);
  const roles = cluster.running.map(({ router }) => router.cluster().role);
  assert.ok(roles.includes('leader'), `nobody leads at once: ${roles.join(', ')}`);
});

test('a member that is lost is replaced by another one, which then leads', async (context) => {
  const cluster = await Cluster.make(context, 4, { founders: 3 });
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [first, led] = await cluster.leader();
  const { outcomes } = await led.router.objects.applyText(allText);
  assert(outcomes.every(({ error }) => error === undefined));
  const lost = first === 3 ? 2 : 3;
  await cluster.stop(lost);

  const fourth = await cluster.start(4);
  const { nodeId } = fourth.router.cluster();
  assert.deepEqual(fourth.router.members.list(), [], 'it belongs to nobody yet');
  const peer = { id: nodeId, name: '4', address: cluster.addressOf(4) };
  await led.router.members.addLearner(peer);
  const idOf = (name: number): number =>
    led.router.members.list().find((member) => member.name === String(name))?.id as number;
  await until(() => isCaughtUp(led, nodeId));
  await led.router.members.promote(nodeId, { replaces: idOf(lost) });
  await until(() => led.router.members.health() === 'healthy');
  assert.deepEqual(
    led.router.members.list().map(({ name, role }) => [name, role]),
    [1, 2, 3, 4]
      .filter((id) => id !== lost)
      .map((id) => [String(id), id === first ? 'leader' : 'voter']),
  );

  assert.equal(await led.router.members.transfer(nodeId), '4');
  const [now] = await cluster.leader();
  assert.equal(now, 4);
  const changed = await fourth.router.objects.applyText(allText.replace('in.jsonl', 'new.jsonl'));
  assert(changed.outcomes.every(({ error }) => error === undefined));
  await fourth.router.members.remove(idOf(first));
  assert.equal(fourth.router.members.list().length, 2);
  const again = await fourth.router.objects.applyText(allText);
  assert(again.outcomes.every(({ error }) => error === undefined));
});

function isCaughtUp({ router }: RunningRouter, id: number): boolean {
  const member = router.members.list().find((each) => each.id === id);
  return member?.healthy === true && member.matchIndex === router.cluster().lastIndex;
}

test('a member that waits for the others ends when it is told to', async (context) => {
  const cluster = await Cluster.make(context, 3);
  const stop = new AbortController();
  const starting = cluster.start(2, stop.signal);
  stop.abort();
  await assert.rejects(starting);
});
