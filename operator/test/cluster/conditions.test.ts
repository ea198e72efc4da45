// What is told to whoever is woken: the way out that is really one, and no word that makes people delete what is whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plan } from '../../src/cluster/plan.ts';
import type { ClusterView, PodView } from '../../src/cluster/view.ts';
import { noTrouble, Operator } from './operator.ts';
import { Story } from './story.ts';

/** What the operator sees of a cluster of three that is ready. */
function wellView(): ClusterView {
  const { world } = new Story(3).untilReady();
  const seen: ClusterView[] = [];
  new Operator(world, (view) => {
    seen.push(view);
    return plan(view);
  }).run(noTrouble);
  return seen[0] as ClusterView;
}

function told(view: ClusterView, type: string): string {
  const found = plan(view).conditions.find((condition) => condition.type === type);
  return `${found?.status} ${found?.reason}: ${found?.message}`;
}

/** The same pods, of which some are changed. */
function podsWith(view: ClusterView, change: Partial<PodView>, ...ordinals: number[]): PodView[] {
  return view.pods.map((pod) => (ordinals.includes(pod.ordinal) ? { ...pod, ...change } : pod));
}

test('one volume of another cluster stops the operator and not the cluster, and goes with claim and pod', () => {
  const story = new Story(3).untilReady();
  story.takeActs();
  const { group, pods } = story.world;
  const disk = pods.get(3)?.claim.disk;
  assert.ok(disk !== undefined && group !== undefined);
  disk.group = { ...group, id: 'another', members: [], leader: undefined };
  story.pass(30);
  assert.equal(story.says('Available'), 'True QuorumAvailable');
  assert.equal(story.says('Degraded'), 'True OtherCluster');
  const { message = '' } = story.plan.conditions.find(({ type }) => type === 'Degraded') ?? {};
  assert.match(message, /, but main-3 holds another: nothing is touched/);
  assert.deepEqual(story.takeActs(), []);
  story.world.loseDisk(3);
  story.untilReady();
  assert.deepEqual(story.takeActs(), ['removeMember main-3', 'addLearner 3', 'promote main-3']);
});

test('members that run and say nothing are lost to the network as far as anyone knows', () => {
  const view = wellView();
  const silent = { ...view, words: [], pods: podsWith(view, { ready: false }, 1, 2, 3) };
  assert.match(
    told(silent, 'Available'),
    /^False QuorumLost: 0 of 3 members answer the operator, 3 run and say nothing: .* Delete nothing before you know\.$/,
  );
  const gone = podsWith(view, { ready: false, running: false }, 2, 3);
  assert.match(
    told({ ...silent, pods: gone }, 'Available'),
    /^False QuorumLost: Fewer than 2 of 3/,
  );
  // Who answers under another id has an empty volume.
  const words = view.words
    .filter(({ ordinal }) => ordinal !== 1)
    .map((word) => ({ ...word, raftId: `9${word.ordinal}`, role: 'waiting' as const }));
  assert.match(told({ ...silent, words }, 'Available'), /^False QuorumLost: Fewer than 2 of 3/);
});

test('a pod on a node that does not answer is told as that, and by whose word it is replaced', () => {
  const view = wellView();
  const nowMs = view.nowMs + 3_600_000;
  const late = { ready: false, running: false, unreadySinceMs: view.nowMs };
  const follower = view.words.find(({ role }) => role !== 'leader')?.ordinal ?? 0;
  const words = view.words.filter(({ ordinal }) => ordinal !== follower);
  const away = podsWith(view, { ...late, terminating: true, isStuck: true }, follower);
  const says = told({ ...view, nowMs, words, pods: away }, 'Degraded');
  assert.match(
    says,
    /^True MemberTimedOut: Pod main-\d does not end, as its node does not answer\./,
  );
  assert.match(says, /annotate the pod etl\.router\/unrecoverable=true/);
  const slow = { ...view, nowMs, words, pods: podsWith(view, late, follower) };
  assert.match(
    told(slow, 'Degraded'),
    /^True MemberTimedOut: Pod main-\d is not ready after 10m\. A spec that works .*"Nodes"\.$/,
  );
});

test('what the operator is refused hides nobody who is missing', () => {
  const view = { ...wellView(), failure: { count: 3, message: 'exceeded quota' } };
  assert.equal(told(view, 'Degraded'), 'True ActFails: exceeded quota');
  const nowMs = view.nowMs + 3_600_000;
  const follower = view.words.find(({ role }) => role !== 'leader')?.ordinal ?? 0;
  const pods = podsWith(view, { ready: false, unreadySinceMs: view.nowMs }, follower);
  assert.match(
    told({ ...view, nowMs, pods }, 'Degraded'),
    /^True MemberTimedOut: Pod main-\d is not ready .* The operator is refused, too: exceeded quota$/,
  );
  const lost = { ...view, words: [], pods: [] };
  assert.match(told(lost, 'Degraded'), /^True QuorumLost/);
});
