// What is told to whoever is woken: the way out that is really one, and no word that makes people delete what is whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plan } from '../../src/cluster/plan.ts';
import type { ClusterView, PodView } from '../../src/cluster/view.ts';
import { noTrouble, Operator } from './operator.ts';
import { Story } from './story.ts';

/** What the operator sees of a cluster at this moment. */
function viewOf({ world }: Story): ClusterView {
  const seen: ClusterView[] = [];
  new Operator(world, (view) => {
    seen.push(view);
    return plan(view);
  }).run(noTrouble);
  return seen[0] as ClusterView;
}

/** What it sees of one of three that is ready. */
const wellView = (): ClusterView => viewOf(new Story(3).untilReady());

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

test('who is away is not said to be lost, whether it runs as far as Kubernetes knows or not', () => {
  const view = wellView();
  const messages = [true, false].map((running) => {
    const pods = podsWith(view, { ready: false, running }, 1, 2, 3);
    return told({ ...view, words: [], pods }, 'Available');
  });
  assert.match(
    messages[0] ?? '',
    /^False QuorumLost: Fewer than 2 of 3 members answer .* on a node that is away, cut off .* before you delete anything\.$/,
  );
  // A process that ends again and again changes nothing of it.
  assert.equal(messages[0], messages[1]);
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
    /^True MemberTimedOut: Pod main-\d should have ended by now: its node does not answer, or something holds/,
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

test('a pod that a finalizer holds after it was deleted by force is told, and not deleted for ever', () => {
  const story = new Story(3).untilReady();
  const pod = story.world.pods.get(3);
  assert.ok(pod !== undefined);
  story.world.loseNode(pod);
  story.world.giveUp(pod);
  let view = viewOf(story);
  for (let steps = 0; plan(view).act?.kind !== 'deletePod'; steps++) {
    assert.ok(steps < 100, 'it is never deleted');
    view = viewOf(story.pass(1));
  }
  assert.partialDeepStrictEqual(plan(view).act, { kind: 'deletePod', force: true });
  const held = { ...view, pods: podsWith(view, { isForced: true }, 3) };
  assert.equal(plan(held).act, undefined);
  assert.match(
    told(held, 'Progressing'),
    /Pod main-3 was deleted by force and is still there: a finalizer/,
  );
});

test('a claim that is being deleted costs no volume: others are to have the data first', () => {
  for (const [replicas, wayOut] of [
    [3, /Do not delete the pod: while all members work, annotate it/],
    [
      1,
      /Do not delete the pod: raise spec\.replicas to 3, and annotate it .* when all of them work/,
    ],
  ] as const) {
    const view = viewOf(new Story(replicas).untilReady());
    const claims = view.claims.map((claim) => ({ ...claim, terminating: true }));
    const pods = view.pods.map((pod) => ({ ...pod, revision: 'of before' }));
    const ending = { ...view, claims, pods };
    assert.equal(plan(ending).act, undefined);
    assert.match(told(ending, 'Progressing'), /^False ClaimBeingDeleted: /);
    assert.match(told(ending, 'Progressing'), wayOut);
  }
});
