// A member that does not come back, of whose pod somebody said so: Kubernetes collects that pod at any moment, and what
// was said holds all the same.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { annotations, givenUpLabel } from '../../src/cluster/names.ts';
import { Bench } from './bench.ts';
import { noTrouble } from './operator.ts';
import { Story } from './story.ts';
import type { Pod } from './world.ts';

/** The node of a member is lost and somebody says so of its pod. */
function giveUp(story: Story, ordinal: number): Pod {
  const pod = story.world.pods.get(ordinal);
  assert.ok(pod !== undefined);
  story.world.loseNode(pod);
  story.world.giveUp(pod);
  return pod;
}

test('what was said of a pod holds when it is collected while its member can not be removed yet', () => {
  const story = new Story(3).untilReady();
  const other = story.world.pods.get(2);
  assert.ok(other !== undefined);
  story.world.loseNode(other);
  const pod = giveUp(story, 3);
  story.pass(8);
  assert.deepEqual(story.takeActs(), ['markClaim data-main-3']);
  story.world.collect(pod);
  story.pass(8);
  assert.equal(story.world.pods.get(3)?.unrecoverable, false);
  story.world.healNode(other);
  story.untilReady();
  assert.notEqual(story.world.pods.get(3)?.claim, pod.claim);
  const acts = story.takeActs();
  assert.deepEqual(acts.slice(-5), [
    ...['removeMember main-3', 'deleteClaim data-main-3', 'deletePod main-3'],
    ...['addLearner 3', 'promote main-3'],
  ]);
});

test('a volume that was given up goes, though its pod is collected when the member was just removed', () => {
  const story = new Story(3).untilReady();
  const pod = giveUp(story, 3);
  while (!story.takeActs().includes('removeMember main-3')) story.pass(1);
  story.world.collect(pod);
  story.untilReady();
  assert.deepEqual(story.takeActs(), [
    ...['deleteClaim data-main-3', 'deletePod main-3'],
    ...['addLearner 3', 'promote main-3'],
  ]);
  assert.notEqual(story.world.pods.get(3)?.claim, pod.claim);
  assert.equal(story.world.claims.get(3)?.givenUpBy, undefined);
});

test('a volume that was given up goes while no pod has it, and the next pod has another one', () => {
  const story = new Story(3).untilReady();
  const { world, operator } = story;
  const pod = giveUp(story, 3);
  while (!story.takeActs().includes('removeMember main-3')) story.pass(1);
  for (let step = 0; step < 10; step++) world.tick();
  world.collect(pod);
  // No pod is made anew before the operator looks.
  for (let turn = 0; turn < 3; turn++) operator.run(noTrouble);
  assert.deepEqual(story.takeActs(), ['deleteClaim data-main-3']);
  story.untilReady();
  assert.deepEqual(story.takeActs(), ['addLearner 3', 'promote main-3']);
});

test('a disk that was given up is not admitted again while the leader alone knows of its removal', () => {
  const story = new Story(3).untilReady();
  const { world, operator } = story;
  const pod = world.pods.get(3);
  assert.ok(pod !== undefined && world.group !== undefined);
  world.giveUp(pod);
  while (!story.takeActs().includes('removeMember main-3')) story.pass(1);
  pod.claim.disk.known = world.group.members;
  for (let turn = 0; turn < 3; turn++) operator.run(noTrouble);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Progressing'), 'True ReplacingMember');
  story.untilReady();
  assert.deepEqual(story.takeActs(), [
    ...['deleteClaim data-main-3', 'deletePod main-3'],
    ...['addLearner 3', 'promote main-3'],
  ]);
});

test('nothing is noted on a volume that somebody deleted, and its member is replaced', () => {
  const story = new Story(3).untilReady();
  const claim = story.world.claims.get(3);
  assert.ok(claim !== undefined);
  claim.terminating = true;
  giveUp(story, 3);
  story.untilReady();
  assert.deepEqual(story.takeActs(), [
    ...['removeMember main-3', 'deletePod main-3'],
    ...['addLearner 3', 'promote main-3'],
  ]);
});

test('a pod that bears no word is not deleted by force, though its volume was given up', () => {
  const story = new Story(3).untilReady();
  const pod = giveUp(story, 3);
  while (!story.takeActs().includes('removeMember main-3')) story.pass(1);
  story.world.collect(pod);
  while (!story.world.pods.has(3)) story.world.tick();
  const next = story.world.pods.get(3);
  assert.ok(next !== undefined && next !== pod);
  story.world.loseNode(next);
  story.pass(30);
  assert.deepEqual(story.takeActs(), ['deleteClaim data-main-3']);
  assert.equal(story.says('Progressing'), 'True ReplacingMember');
  story.world.giveUp(next);
  story.untilReady();
  assert.deepEqual(story.takeActs(), ['deletePod main-3', 'addLearner 3', 'promote main-3']);
});

test('what an earlier cluster of the name gave up costs the next one no member', () => {
  const story = new Story(3).untilReady();
  for (const claim of story.world.claims.values()) {
    claim.owner = 'an earlier one';
    claim.givenUpBy = 'an earlier one';
  }
  const disks = [...story.world.claims.values()].map(({ disk }) => disk.raftId);
  story.untilReady().pass(60);
  assert.deepEqual(story.takeActs(), [
    'adoptClaim data-main-1',
    'adoptClaim data-main-2',
    'adoptClaim data-main-3',
  ]);
  assert.deepEqual(
    [...story.world.claims.values()].map(({ disk }) => disk.raftId),
    disks,
  );
});

/** Somebody annotates the pod main-3 on the server. */
function annotate(bench: Bench): Pod {
  const pod = bench.standIn.world.pods.get(3);
  assert.ok(pod !== undefined);
  const key = { collection: '/api/v1/pods', namespace: 'shop', name: 'main-3' };
  const path = `/metadata/annotations/${annotations.unrecoverable.replace('/', '~1')}`;
  bench.server.store.patch(key, [{ op: 'add', path, value: 'true' }]);
  return pod;
}

test('a volume that can not be marked holds up neither the replacement of its member nor an upgrade', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const refusal = { do: 'status', status: 403, reason: 'Forbidden' } as const;
  bench.server.faults.add({ verb: 'patch', plural: 'persistentvolumeclaims' }, refusal);
  const { claim } = annotate(bench);
  bench.change({ version: 'v2' });
  const { claims } = bench.standIn.world;
  await bench.until(() => bench.isReady && claims.get(3) !== claim, 'replaced');
  assert.equal(bench.status.currentVersion, 'v2');
  assert.ok(!bench.events.includes('MemberGivenUp'));
});

for (const failpoint of [
  'after-act:markClaim',
  'before-act:removeMember',
  'after-act:removeMember',
])
  test(`a pod that is collected while the operator is away after ${failpoint} costs nothing that was said`, async (t) => {
    const bench = await Bench.start(t);
    bench.declare({ replicas: 3 });
    const first = await bench.operator({ failpoint });
    await bench.until(() => bench.isReady, 'ready');
    const { world } = bench.standIn;
    const pod = annotate(bench);
    world.loseNode(pod);
    await bench.until(() => first.dead, failpoint);
    const key = {
      collection: '/api/v1/persistentvolumeclaims',
      namespace: 'shop',
      name: 'data-main-3',
    };
    const labels = bench.server.store.get(key).metadata['labels'] as { [name: string]: string };
    assert.equal(labels[givenUpLabel], bench.cluster?.metadata.uid);
    world.collect(pod);
    await bench.until(() => world.pods.get(3)?.unrecoverable === false, 'made anew');
    await bench.operator();
    await bench.until(() => bench.isReady && world.claims.get(3) !== pod.claim, 'replaced');
    assert.ok(bench.events.includes('ClaimDeleted'));
  });
