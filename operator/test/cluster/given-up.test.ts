// A member that does not come back, of whose pod somebody said so: Kubernetes collects that pod at any moment, and what
// was said holds all the same.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { annotations, givenUpLabel } from '../../src/cluster/names.ts';
import { Bench } from './bench.ts';
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

/** The node of main-3 is lost, and somebody annotates the pod on the server. */
function annotate(bench: Bench): Pod {
  const { world } = bench.standIn;
  const pod = world.pods.get(3);
  assert.ok(pod !== undefined);
  world.loseNode(pod);
  const key = { collection: '/api/v1/pods', namespace: 'shop', name: 'main-3' };
  const path = `/metadata/annotations/${annotations.unrecoverable.replace('/', '~1')}`;
  bench.server.store.patch(key, [{ op: 'add', path, value: 'true' }]);
  return pod;
}

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
