// Single stories, told step by step where the model has them by chance: what is done, in which order, and what is said.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noTrouble } from './operator.ts';
import { Story, update } from './story.ts';
import type { Pod } from './world.ts';

test('three members are started at once and found one cluster, whose id is written once', () => {
  const story = new Story(3);
  story.pass(4);
  assert.equal(story.world.pods.size, 3);
  assert.equal(story.says('Available'), 'False Founding');
  assert.equal(story.says('Progressing'), 'True Founding');
  story.untilReady();
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.world.cluster.status?.clusterID, story.world.group?.id);
  assert.equal(story.says('Available'), 'True QuorumAvailable');
  assert.equal(story.says('Progressing'), 'False UpToDate');
  assert.equal(story.says('Degraded'), 'False AllMembersWork');
});

test('from one to three each pod learns before it votes, and votes before the next one starts', () => {
  const story = new Story(1).untilReady();
  story.world.setSpec({ replicas: 3 });
  story.untilReady();
  assert.deepEqual(story.takeActs(), [
    ...['setReplicas 2', 'addLearner 2', 'promote main-2'],
    ...['setReplicas 3', 'addLearner 3', 'promote main-3'],
  ]);
});

test('from five to three the highest leave, as members first, then as pods, then with their volumes', () => {
  const story = new Story(5).untilReady();
  const { group, pods } = story.world;
  if (group !== undefined) group.leader = pods.get(5)?.claim.disk.raftId;
  story.world.setSpec({ replicas: 3 });
  story.untilReady();
  const acts = story.takeActs();
  assert.match(acts[0] ?? '', /^transferLeadership main-[123]$/);
  assert.deepEqual(acts.slice(1), [
    ...['removeMember main-5', 'removeMember main-4'],
    ...['setReplicas 4', 'setReplicas 3', 'deleteClaim data-main-5', 'deleteClaim data-main-4'],
  ]);
});

test('who is wanted again after it was removed comes back with an empty disk, under a new id', () => {
  const story = new Story(5).untilReady();
  const removed = story.world.pods.get(5)?.claim.disk.raftId;
  story.world.setSpec({ replicas: 3 });
  while (!story.takeActs().includes('removeMember main-5')) story.pass(1);
  story.pass(1);
  story.world.setSpec({ replicas: 5 });
  story.untilReady();
  assert.notEqual(story.world.pods.get(5)?.claim.disk.raftId, removed);
});

test('a volume that is to be kept is kept, and stands in the way of the next member of its name', () => {
  const retention = { whenDeleted: 'retain', whenScaled: 'retain' };
  const story = new Story(3, { storage: { size: '10Gi', retention } }).untilReady();
  story.world.setSpec({ replicas: 1 });
  story.pass(60);
  assert.equal(story.world.claims.size, 3);
  story.world.setSpec({ replicas: 3 });
  story.pass(30);
  assert.equal(story.says('Progressing'), 'False ClaimInTheWay');
  assert.equal(story.world.replicas, 1);
  story.world.claims.delete(2);
  story.world.claims.delete(3);
  story.untilReady();
});

test('a volume that an earlier cluster of the name kept is not deleted by scaling', () => {
  const story = new Story(3).untilReady();
  const { claims } = story.world;
  const made = claims.get(3);
  assert.ok(made !== undefined);
  claims.set(5, { ...made, ordinal: 5, uid: 'kept', owner: 'an earlier one' });
  story.pass(60);
  assert.equal(claims.get(5)?.uid, 'kept');
  story.world.setSpec({ replicas: 5 });
  story.pass(60);
  assert.equal(story.says('Progressing'), 'False ClaimInTheWay');
  claims.delete(5);
  story.untilReady();
  assert.notEqual(claims.get(5)?.uid, 'kept');
});

test('a volume that was kept is this cluster’s once its member is, and then goes by its policy', () => {
  const story = new Story(3).untilReady();
  const { claims, cluster } = story.world;
  for (const claim of claims.values()) claim.owner = 'an earlier one';
  story.untilReady();
  assert.deepEqual(
    [...claims.values()].map(({ owner }) => owner),
    claims.size === 3 ? Array(3).fill(cluster.metadata.uid) : [],
  );
  story.world.setSpec({ replicas: 1 });
  story.untilReady();
  story.pass(60);
  assert.deepEqual([...claims.keys()], [1]);
});

test('a kept volume of a member that was removed is in the way, where a pod already has it', () => {
  const story = new Story(3).untilReady();
  const { claims, cluster } = story.world;
  const kept = claims.get(3);
  assert.ok(kept !== undefined);
  story.world.setSpec({ replicas: 1 });
  story.untilReady();
  story.pass(60);
  assert.equal(claims.size, 1);
  // The cluster is applied again with three: pods start on all that is there.
  claims.set(3, { ...kept, uid: 'kept', terminating: false, owner: 'an earlier one' });
  claims.set(2, {
    ...kept,
    ordinal: 2,
    uid: 'kept too',
    terminating: false,
    owner: 'an earlier one',
  });
  story.world.setSpec({ replicas: 3 });
  story.world.scaleSet(3);
  story.pass(120);
  assert.deepEqual([claims.get(2)?.uid, claims.get(3)?.uid], ['kept too', 'kept']);
  assert.equal(story.says('Progressing'), 'False ClaimInTheWay');
  assert.equal(cluster.metadata.uid, 'cluster-uid');
  // They are deleted as the message asks, and go only with the pods that use them.
  for (const claim of [claims.get(2), claims.get(3)])
    if (claim !== undefined) claim.terminating = true;
  story.untilReady();
  assert.equal(claims.size, 3);
});

test('a volume that nobody uses does not grow', () => {
  const story = new Story(3).untilReady();
  const { claims } = story.world;
  const made = claims.get(3);
  assert.ok(made !== undefined);
  claims.set(5, { ...made, ordinal: 5, uid: 'kept', owner: 'an earlier one' });
  story.world.setSpec({
    storage: { size: '20Gi', retention: { whenDeleted: 'retain', whenScaled: 'delete' } },
  });
  story.pass(60);
  assert.deepEqual([claims.get(3)?.size, claims.get(5)?.size], ['20Gi', '10Gi']);
});

test('a new image reaches followers from the highest on, and the leader last, after it handed over', () => {
  const story = new Story(3).untilReady();
  const { group, pods } = story.world;
  if (group !== undefined) group.leader = pods.get(3)?.claim.disk.raftId;
  story.world.setSpec({ version: 'v2' });
  story.untilReady();
  const acts = story.takeActs();
  assert.deepEqual(acts.slice(0, 2), ['deletePod main-2', 'deletePod main-1']);
  assert.match(acts[2] ?? '', /^transferLeadership main-[12]$/);
  assert.deepEqual(acts.slice(3), ['deletePod main-3']);
});

test('supervised, the leader waits until somebody deletes its pod', () => {
  const strategy = { ...update, strategy: 'supervised' };
  const story = new Story(3, { update: strategy }).untilReady();
  const { group, pods } = story.world;
  const leader = [...pods.values()].find(({ claim }) => claim.disk.raftId === group?.leader);
  story.world.setSpec({ version: 'v2' });
  story.pass(120);
  assert.equal(story.takeActs().length, 2);
  assert.equal(story.says('Progressing'), 'False WaitingForSupervisor');
  assert.ok(leader !== undefined);
  story.world.endPod(leader, { isOurs: false, force: false });
  story.untilReady();
  assert.deepEqual(story.takeActs(), []);
});

test('an image that does not start stops at one pod, and a good one needs nobody’s hand', () => {
  const story = new Story(3).untilReady();
  story.world.setSpec({ version: 'bad1' });
  story.pass(200);
  assert.equal(story.takeActs().length, 1);
  assert.equal(story.says('Available'), 'True QuorumAvailable');
  assert.equal(story.says('Degraded'), 'True MemberTimedOut');
  story.world.setSpec({ version: 'v2' });
  story.untilReady();
});

test('all pods on an image that does not start are replaced one by one, without anybody’s word', () => {
  const story = new Story(3).untilReady();
  story.world.setSpec({ version: 'bad1' });
  story.pass(30);
  for (const pod of story.world.pods.values())
    if (!pod.isBad) story.world.endPod(pod, { isOurs: false, force: false });
  story.pass(30);
  assert.equal(story.says('Available'), 'False QuorumLost');
  assert.equal(story.says('Ready'), 'False NoLeader');
  story.world.setSpec({ version: 'v2' });
  story.untilReady();
});

test('a member that lost its volume is removed under its old id and added under its new one', () => {
  const story = new Story(3).untilReady();
  story.world.loseDisk(2);
  story.untilReady();
  assert.deepEqual(story.takeActs(), ['removeMember main-2', 'addLearner 2', 'promote main-2']);
});

test('a member whose node is lost is replaced only when somebody says that it does not come back', () => {
  const story = new Story(3).untilReady();
  const pod = story.world.pods.get(3);
  assert.ok(pod !== undefined);
  story.world.loseNode(pod);
  story.pass(60);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Degraded'), 'True MembersNotReady');
  story.world.giveUp(pod);
  story.untilReady();
  assert.deepEqual(story.takeActs(), [
    ...['markClaim data-main-3', 'removeMember main-3'],
    ...['deleteClaim data-main-3', 'deletePod main-3', 'addLearner 3', 'promote main-3'],
  ]);
});

test('a rollout waits for a pod that ends on a lost node, says so, and lets others join meanwhile', () => {
  const story = new Story(3).untilReady();
  const pod = story.world.pods.get(3);
  assert.ok(pod !== undefined);
  story.world.loseNode(pod);
  story.world.setSpec({ version: 'v2' });
  story.pass(60);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Degraded'), 'True MembersNotReady');
  assert.equal(story.says('Ready'), 'False MembersNotReady');
  assert.equal(story.says('Progressing'), 'False WaitingForPod');
  story.world.setSpec({ replicas: 5 });
  story.pass(60);
  assert.deepEqual(story.takeActs().slice(0, 3), [
    ...['setReplicas 4', 'addLearner 4', 'promote main-4'],
  ]);
  assert.equal(story.says('Degraded'), 'True MembersNotReady');
  story.world.giveUp(pod);
  story.untilReady();
});

test('a node that is lost while its pod is made anew ends that operation, and holds up nobody else', () => {
  const story = new Story(3).untilReady();
  story.world.setSpec({ version: 'v2' });
  let ending = undefined as Pod | undefined;
  while (ending === undefined) {
    story.pass(1);
    ending = [...story.world.pods.values()].find(({ isOurs }) => isOurs);
  }
  story.world.loseNode(ending);
  story.takeActs();
  story.pass(20);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.world.cluster.status?.operation, undefined);
  assert.equal(story.says('Degraded'), 'True MembersNotReady');
  story.world.setSpec({ replicas: 5 });
  story.pass(60);
  assert.equal(story.takeActs()[0], 'setReplicas 4');
  story.world.healNode(ending);
  story.untilReady();
});

test('when every volume is lost nothing is deleted and nothing founded anew', () => {
  for (const replicas of [1, 3, 5]) {
    const story = new Story(replicas).untilReady();
    for (let ordinal = 1; ordinal <= replicas; ordinal++) story.world.loseDisk(ordinal);
    story.pass(100);
    assert.deepEqual(story.takeActs(), []);
    assert.equal(story.world.groups.length, 1);
    assert.equal(story.says('Available'), 'False QuorumLost');
    assert.equal(story.says('Degraded'), 'True QuorumLost');
    assert.equal(story.world.claims.size, replicas);
  }
});

test('a majority that came back without its volumes is lost, and is not said to choose', () => {
  for (const [replicas, lost] of [
    [3, 2],
    [5, 3],
  ] as const) {
    const story = new Story(replicas).untilReady();
    for (let ordinal = 1; ordinal <= lost; ordinal++) story.world.loseDisk(ordinal);
    story.pass(100);
    assert.deepEqual(story.takeActs(), []);
    assert.equal(story.world.groups.length, 1);
    assert.equal(story.says('Available'), 'False QuorumLost');
  }
});

test('members of another cluster are left alone', () => {
  const story = new Story(3).untilReady();
  const { status } = story.world.cluster;
  story.world.cluster = { ...story.world.cluster, status: { ...status, clusterID: 'another' } };
  story.world.touch();
  story.world.setSpec({ version: 'v2' });
  story.pass(30);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Available'), 'False OtherCluster');
});

test('an even number that an older schema let in tears nothing down', () => {
  const story = new Story(3).untilReady();
  story.world.setSpec({ replicas: 4 });
  story.pass(30);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Accepted'), 'False Invalid');
  assert.equal(story.says('Available'), 'True QuorumAvailable');
  assert.deepEqual(story.plan.objects, []);
});

test('paused it only reports; active again it goes on', () => {
  const story = new Story(3).untilReady();
  story.world.setSpec({ reconciliation: 'paused', version: 'v2', replicas: 5 });
  story.pass(60);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('ReconciliationPaused'), 'True Paused');
  assert.equal(story.says('Progressing'), 'False Halted');
  story.world.setSpec({ reconciliation: 'active' });
  story.untilReady();
});

test('a new version is under way before Kubernetes has seen it, and no pod is deleted until then', () => {
  const story = new Story(3).untilReady();
  story.world.setSpec({ version: 'v2' });
  // Nobody but the operator does anything.
  for (let turn = 0; turn < 20; turn++) story.operator.run(noTrouble);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Progressing'), 'True RollingOut');
  assert.equal(story.says('Ready'), 'False Changing');
  story.untilReady();
});

test('replicas that somebody set by hand are set back: up at once, down once nobody is a member there', () => {
  const story = new Story(3).untilReady();
  story.world.scaleSet(5);
  story.untilReady();
  assert.deepEqual(story.takeActs().slice(0, 2), ['setReplicas 4', 'setReplicas 3']);
  story.world.scaleSet(0);
  story.untilReady();
  assert.deepEqual(story.takeActs(), []);
});

test('more replicas than a status can count are lowered all the same', () => {
  const story = new Story(3).untilReady();
  story.world.scaleSet(150);
  story.pass(40);
  assert.equal(story.takeActs()[0], 'setReplicas 149');
});

test('a volume grows when the spec says so, and no pod is restarted for it', () => {
  const story = new Story(3, {
    storage: { size: '10Gi', retention: { whenDeleted: 'retain', whenScaled: 'delete' } },
  });
  story.untilReady();
  const { storage } = story.world.cluster.spec;
  story.world.setSpec({ storage: { ...storage, size: '20Gi' } });
  story.untilReady();
  const acts = story.takeActs().map((line) => line.split(' ')[0]);
  assert.deepEqual(acts, ['growClaim', 'growClaim', 'growClaim']);
});

test('a volume that can not grow holds up no upgrade, and is tried again and again', () => {
  const story = new Story(3, {
    storage: { size: '10Gi', retention: { whenDeleted: 'retain', whenScaled: 'delete' } },
  });
  story.untilReady().takeActs();
  const { storage } = story.world.cluster.spec;
  story.world.refusesGrowth = true;
  story.world.setSpec({ version: 'v2', storage: { ...storage, size: '20Gi' } });
  story.pass(100);
  const restarted = story.takeActs().filter((line) => line.startsWith('deletePod'));
  assert.deepEqual(
    restarted.toSorted(),
    [1, 2, 3].map((ordinal) => `deletePod main-${ordinal}`),
  );
  story.world.refusesGrowth = false;
  story.untilReady();
});

test('a cluster that is being deleted is left to the garbage collector', () => {
  const story = new Story(3).untilReady();
  const { cluster } = story.world;
  const deletionTimestamp = '2026-01-01T01:00:00Z';
  story.world.cluster = { ...cluster, metadata: { ...cluster.metadata, deletionTimestamp } };
  story.world.setSpec({ version: 'v2' });
  story.pass(20);
  assert.deepEqual(story.takeActs(), []);
  assert.deepEqual(story.plan.objects, []);
  assert.equal(story.says('Ready'), 'False Deleting');
});

test('a pod whose volume is being deleted is made anew before it becomes a member', () => {
  const story = new Story(1).untilReady();
  story.world.setSpec({ replicas: 3 });
  while (!story.world.pods.has(2)) story.pass(1);
  const claim = story.world.claims.get(2);
  assert.ok(claim !== undefined);
  claim.terminating = true;
  story.untilReady();
  assert.deepEqual(story.takeActs().slice(0, 3), [
    ...['setReplicas 2', 'deletePod main-2', 'addLearner 2'],
  ]);
});

test('members that somebody else added are removed, whatever they are called, and get no pods', () => {
  const story = new Story(3).untilReady();
  const { group } = story.world;
  assert.ok(group !== undefined);
  const stranger = (name: string, raftId: string) => ({ name, raftId, role: 'learner' as const });
  group.members = [...group.members, stranger('4000000000', '7001')];
  story.untilReady();
  group.members = [...group.members, stranger('orders', '7002')];
  story.untilReady();
  assert.deepEqual(story.takeActs(), ['removeMember 7001', 'removeMember 7002']);
  assert.equal(story.world.replicas, 3);
});

test('a budget follows the voters, and goes when none is wanted', () => {
  const story = new Story(5).untilReady().pass(2);
  const budget = () => story.world.objects.get('PodDisruptionBudget/main');
  const most = () =>
    (budget()?.['spec'] as { maxUnavailable?: number } | undefined)?.maxUnavailable;
  assert.equal(most(), 2);
  story.world.setSpec({ replicas: 1 });
  story.untilReady().pass(2);
  assert.equal(most(), 0);
  story.world.setSpec({ disruptionBudget: 'none' });
  story.pass(2);
  assert.equal(budget(), undefined);
});

test('an object of somebody else under a name of ours is left alone, and said', () => {
  const story = new Story(3).untilReady();
  const live = story.world.objects.get('Service/main');
  assert.ok(live !== undefined);
  story.world.objects.set('Service/main', {
    ...live,
    metadata: { ...live.metadata, ownerReferences: [] },
  });
  story.world.setSpec({ version: 'v2' });
  story.pass(20);
  assert.deepEqual(story.takeActs(), []);
  assert.equal(story.says('Accepted'), 'False ResourceConflict');
  assert.equal(story.says('Available'), 'True QuorumAvailable');
});
