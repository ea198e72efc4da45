// Whatever is seen, also what can not be: the plan answers, and keeps to what it may do at all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EtlRouterCluster, etlRouterCluster, withDefaults } from '@etl-router/crds';
import fc from 'fast-check';
import { plan } from '../../src/cluster/plan.ts';
import { actKinds } from '../../src/cluster/step.ts';
import type { ClusterView, MemberWord, PodView } from '../../src/cluster/view.ts';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';

const often = fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false));
const seldom = often.map((is) => !is);
const ordinal = fc.integer({ min: 1, max: 6 });
const id = fc.constantFrom('11', '22', '33', '44', '55');
const index = fc.constantFrom(0, 10, 5000);

const seen = fc.record({
  name: fc.constantFrom('1', '2', '3', '4', '5', '9999999999', 'x'),
  raftId: id,
  role: fc.constantFrom('voter' as const, 'learner' as const),
  healthy: fc.constantFrom(true, false, undefined),
  matchIndex: fc.option(index, { nil: undefined }),
});

const word: fc.Arbitrary<MemberWord> = fc.record({
  ordinal,
  ageMs: fc.constantFrom(0, 60_000),
  raftId: id,
  clusterId: fc.constantFrom('', 'c', 'c', 'c', 'other'),
  role: fc.constantFrom('leader', 'follower', 'candidate', 'learner', 'waiting'),
  leader: fc.constantFrom('1', '2', undefined),
  term: fc.integer({ min: 0, max: 3 }),
  commitIndex: index,
  appliedIndex: index,
  version: fc.constant('1'),
  members: fc.array(seen, { maxLength: 5 }),
});

const pod: fc.Arbitrary<PodView> = fc
  .record({
    ordinal,
    ready: often,
    running: often,
    terminating: seldom,
    isStuck: fc.boolean(),
    unrecoverable: seldom,
    revision: fc.constantFrom('live', 'live', 'live', 'old', undefined),
    unreadySinceMs: fc.constantFrom(0, 1_000_000),
  })
  .map((fields) => ({
    ...fields,
    name: `main-${fields.ordinal}`,
    uid: `uid-${fields.ordinal}`,
    resourceVersion: '1',
  }));

const claim = ordinal.chain((of) =>
  fc.record({
    name: fc.constant(`data-main-${of}`),
    ordinal: fc.constant(of),
    uid: fc.constant('uid'),
    terminating: seldom,
    owner: fc.constantFrom('cluster-uid', 'another', undefined),
    givenUpBy: fc.constantFrom(undefined, undefined, undefined, 'u', 'another'),
    size: fc.oneof({ weight: 30, arbitrary: fc.constant('10Gi') }, fc.constant('1Gi')),
  }),
);

const operation = fc.record({
  type: fc.constantFrom(
    ...(['bootstrap', 'scaleOut', 'scaleIn', 'rollout', 'replaceMember', 'recover'] as const),
  ),
  phase: fc.constantFrom('restart', 'remove', 'learner', 'promote', 'claim', 'replicas', 'pod'),
  target: fc.constantFrom('main-1', 'main-2', 'main-3', 'main-4', 'data-main-1'),
  startedAt: fc.constant('2026-01-01T00:00:00Z'),
  attempt: fc.constant(1),
});

const spec = fc.record(
  {
    replicas: fc.constantFrom(0, 1, 3, 4, 5),
    reconciliation: fc.constantFrom('active', 'active', 'active', 'paused'),
    update: fc.constant({ strategy: 'supervised', memberReadyTimeout: '1m' }),
  },
  { requiredKeys: [] },
);

const status = fc.record({ clusterID: fc.constant('c'), operation }, { requiredKeys: [] });

/** Words that fit together: the first so many members, of whom some are silent and one may have lost its disk. */
const agreeing: fc.Arbitrary<readonly MemberWord[]> = fc
  .record({
    count: fc.integer({ min: 1, max: 5 }),
    learns: fc.boolean(),
    leader: fc.nat(4),
    silent: fc.uniqueArray(ordinal, { maxLength: 2 }),
    lost: fc.option(ordinal),
    waits: fc.option(ordinal),
  })
  .map(({ count, learns, leader, silent, lost, waits }) => {
    const members = Array.from({ length: count }, (_, at) => ({
      name: String(at + 1),
      raftId: String((at + 1) * 11),
      role: learns && at > 0 && at === count - 1 ? ('learner' as const) : ('voter' as const),
      healthy: !silent.includes(at + 1) && lost !== at + 1,
      matchIndex: 5000,
    }));
    const common = { ageMs: 0, clusterId: 'c', leader: '1', commitIndex: 5000, version: '1' };
    const said = members.map(({ role, raftId }, at): MemberWord => {
      const what = at === leader % count ? 'leader' : role === 'voter' ? 'follower' : 'learner';
      const own = { ordinal: at + 1, raftId, role: what, term: 3, appliedIndex: 5000 } as const;
      const isLost = lost === at + 1 && what !== 'leader';
      const other = { raftId: '99', role: 'waiting', members: [] } as const;
      return { ...common, ...own, members, ...(isLost ? other : {}) };
    });
    const waiting = { ...common, role: 'waiting', term: 0, appliedIndex: 0, members: [] } as const;
    if (waits !== null && waits > count) said.push({ ...waiting, ordinal: waits, raftId: '98' });
    return said.filter((each) => !silent.includes(each.ordinal));
  });

function clusterOf(fields: object, isDeleted: boolean): EtlRouterCluster {
  const metadata = {
    ...{ name: 'main', namespace: 'shop', uid: 'u', resourceVersion: '1', generation: 1 },
    creationTimestamp: '2026-01-01T00:00:00Z',
    ...(isDeleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  };
  const object = { apiVersion: 'etl.router/v1', kind: 'EtlRouterCluster', metadata, ...fields };
  return withDefaults(etlRouterCluster, object as unknown as EtlRouterCluster);
}

const setOf = (view: ClusterView, replicas: number): UntypedObject => {
  const wanted = plan({ ...view, objects: new Map() }).objects.find(
    ({ kind }) => kind === 'StatefulSet',
  );
  const fields = wanted?.['spec'] as object | undefined;
  return {
    ...(wanted ?? { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'main' } }),
    spec: { ...fields, replicas },
  };
};

const anyView: fc.Arbitrary<ClusterView> = fc
  .record({
    cluster: fc
      .tuple(fc.record({ spec, status }), fc.constantFrom(false, false, false, true))
      .map(([fields, isDeleted]) => clusterOf(fields, isDeleted)),
    pods: fc.uniqueArray(pod, { selector: (each) => each.ordinal, maxLength: 6 }),
    claims: fc.uniqueArray(claim, { selector: (each) => each.ordinal, maxLength: 6 }),
    words: fc.oneof(
      agreeing,
      fc.uniqueArray(word, { selector: (each) => each.ordinal, maxLength: 6 }),
    ),
    replicas: fc.option(fc.integer({ min: 0, max: 8 })),
  })
  .map(({ replicas, ...fields }) => {
    const view: ClusterView = {
      ...fields,
      nowMs: 1_000_000,
      installed: { repository: 'etl/router', version: '1' },
      objects: new Map(),
      certificates: { state: 'valid' },
    };
    if (replicas === null) return view;
    const set = setOf(view, replicas);
    const marks = (set['spec'] as { template?: { metadata?: { annotations?: object } } }).template;
    const live = (marks?.metadata?.annotations as { readonly [key: string]: string } | undefined)?.[
      'etl.router/revision'
    ];
    const pods = view.pods.map((each) =>
      each.revision === 'live' ? { ...each, revision: live } : each,
    );
    return { ...view, pods, objects: new Map([['StatefulSet/main', set]]) };
  });

/** The view once the intent of its plan is in the status. */
function recorded(view: ClusterView): ClusterView {
  const { act, status: said } = plan(view);
  if (act?.kind !== 'record') return view;
  const { operation: intent } = said;
  const { status: known } = view.cluster;
  return { ...view, cluster: { ...view.cluster, status: { ...known, operation: intent } } };
}

test('whatever is seen, there is an answer; what is to be done is recorded once, then done', () => {
  const made = new Map<string, number>();
  fc.assert(
    fc.property(anyView, (view) => {
      const { act, status: said, conditions } = plan(view);
      assert.equal(conditions.length, 7);
      if (act === undefined) return;
      if (act.kind === 'record') {
        const next = plan(recorded(view));
        assert.ok(next.act !== undefined && next.act.kind !== 'record');
        made.set(next.act.kind, (made.get(next.act.kind) ?? 0) + 1);
        return;
      }
      const { type, phase, target } = view.cluster.status?.operation ?? {};
      const { operation: intent } = said;
      assert.deepEqual([intent?.type, intent?.phase, intent?.target], [type, phase, target]);
    }),
    { numRuns: 5000, seed: 1 },
  );
  for (const kind of actKinds.filter((each) => each !== 'record'))
    assert.ok((made.get(kind) ?? 0) > 0, `${kind} was never met: ${JSON.stringify([...made])}`);
});

test('who is paused, deleted or asked for nonsense is not touched', () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const { spec: asked, metadata } = view.cluster;
      const isLeft =
        asked.reconciliation === 'paused' ||
        asked.replicas % 2 === 0 ||
        metadata.deletionTimestamp !== undefined;
      fc.pre(isLeft);
      const { act, objects } = plan(view);
      assert.deepEqual([act, objects], [undefined, []]);
    }),
    { numRuns: 500 },
  );
});

test('a pause says until when its members still believe each other', () => {
  const view: ClusterView = {
    nowMs: 1_000_000,
    cluster: clusterOf({ spec: { reconciliation: 'paused' } }, false),
    installed: { repository: 'etl/router', version: '1' },
    objects: new Map(),
    ...{ pods: [], claims: [], words: [] },
    certificates: { state: 'valid', notAfterMs: Date.UTC(2026, 3, 1) },
  };
  const paused = plan(view).conditions.find(({ type }) => type === 'ReconciliationPaused');
  assert.equal(paused?.status, 'True');
  assert.match(paused?.message ?? '', /not renewed meanwhile, and end on 2026-04-01/);
});

const voterNamed = (name: string): MemberWord['members'][number] => ({
  ...{ name, raftId: `1${name}`, role: 'voter' as const },
  ...{ healthy: undefined, matchIndex: undefined },
});

/** What a member says whose volume an earlier cluster kept; `voters` are the names that the volume knows. */
const keptWord = (at: number, voters: readonly string[]): MemberWord => ({
  ...{ ordinal: at, ageMs: 0, raftId: `1${at}`, clusterId: 'c', leader: undefined },
  ...{ role: 'candidate', term: 9, commitIndex: 10, appliedIndex: 10, version: '1' },
  members: voters.map(voterNamed),
});

/** What a member says that has an empty volume. */
const emptyWord = (at: number): MemberWord => ({
  ...{ ordinal: at, ageMs: 0, raftId: `9${at}`, clusterId: 'c', leader: undefined },
  ...{ role: 'waiting', term: 0, commitIndex: 0, appliedIndex: 0, version: '1', members: [] },
});

function newView(
  spec: object,
  words: readonly MemberWord[],
  objects: ClusterView['objects'] = new Map(),
): ClusterView {
  return {
    nowMs: 1_000_000,
    cluster: clusterOf({ spec }, false),
    installed: { repository: 'etl/router', version: '1' },
    ...{ objects, pods: [], claims: [], words },
    certificates: { state: 'valid' },
  };
}

const messageOf = (made: ReturnType<typeof plan>, of: string): string =>
  made.conditions.find(({ type }) => type === of)?.message ?? '';

const plannedSet = (made: ReturnType<typeof plan>): UntypedObject => {
  const set = made.objects.find(({ kind }) => kind === 'StatefulSet');
  assert.ok(set !== undefined);
  return set;
};

test('volumes of a larger cluster are told, and as many pods started as are asked for then', () => {
  const words = [keptWord(1, ['1', '2', '3', '4', '5'])];
  const first = plan(newView({ replicas: 1 }, words));
  assert.equal(
    messageOf(first, 'Available'),
    'The volumes hold a cluster of 5, of which no majority is started: set spec.replicas to 5.',
  );
  const objects = new Map([['StatefulSet/main', plannedSet(first)]]);
  const second = plan(newView({ replicas: 5 }, words, objects));
  assert.equal((plannedSet(second)['spec'] as { replicas: number }).replicas, 5);
  assert.equal(messageOf(second, 'Available'), 'The members have not founded the cluster yet.');
});

test('what is told to set is what a spec may say, and holds a majority', () => {
  for (const [voters, replicas] of [
    [['1', '2'], 3],
    [['1', '3'], 3],
    [['1', '2', '3', '4'], 5],
    [['1', '4', '5'], 5],
  ] as const) {
    const words = [keptWord(1, voters)];
    const made = plan(newView({ replicas: 1 }, words));
    assert.match(messageOf(made, 'Ready'), new RegExp(`set spec.replicas to ${replicas}\\.$`));
    const objects = new Map([['StatefulSet/main', plannedSet(made)]]);
    const raised = plan(newView({ replicas }, words, objects));
    assert.equal((plannedSet(raised)['spec'] as { replicas: number }).replicas, replicas);
  }
});

test('kept volumes without a majority are told as such, once everybody who could have one answers', () => {
  const first = plan(newView({ replicas: 3 }, []));
  const objects = new Map([['StatefulSet/main', plannedSet(first)]]);
  const kept = keptWord(1, ['1', '2', '3']);
  const some = plan(newView({ replicas: 3 }, [kept, emptyWord(2)], objects));
  assert.equal(messageOf(some, 'Available'), 'The members have not founded the cluster yet.');
  const all = plan(newView({ replicas: 3 }, [kept, emptyWord(2), emptyWord(3)], objects));
  assert.match(messageOf(all, 'Available'), /^Fewer than 2 of 3 members answer/);
  const degraded = all.conditions.find(({ type }) => type === 'Degraded');
  assert.deepEqual([degraded?.status, degraded?.reason], ['True', 'QuorumLost']);
});

const readyPod = (at: number): PodView => ({
  ...{ name: `main-${at}`, ordinal: at, uid: `uid-${at}`, resourceVersion: '1', revision: 'live' },
  ...{ ready: true, running: true, terminating: false, isStuck: false, unrecoverable: false },
  unreadySinceMs: 0,
});

test('members whose certificates ended, or are not valid yet, are not told as lost', () => {
  const members = ['1', '2', '3'].map((name) => ({
    ...{ name: `main-${name}`, memberID: `1${name}`, ordinal: Number(name) },
    ...{ role: 'voter', ready: false },
  }));
  for (const [reconciliation, wayOut] of [
    ['active', 'see CertificatesReady'],
    ['paused', 'set spec.reconciliation to active'],
  ] as const) {
    const cluster = clusterOf(
      { spec: { replicas: 3, reconciliation }, status: { clusterID: 'c', members } },
      false,
    );
    const message = 'A certificate has expired and is being replaced.';
    const certificates = { state: 'expired', message, outOfDates: true, notAfterMs: 1 } as const;
    const made = plan({ ...newView({}, []), cluster, certificates });
    const available = made.conditions.find(({ type }) => type === 'Available');
    assert.deepEqual([available?.status, available?.reason], ['False', 'NoLeader']);
    assert.match(available?.message ?? '', new RegExp(`alone loses nothing: ${wayOut}\\.$`));
    const isSaid = messageOf(made, 'CertificatesReady').includes('is being replaced');
    assert.equal(isSaid, reconciliation === 'active');
    assert.ok(made.conditions.every(({ reason }) => reason !== 'QuorumLost'));
    // What keeps certificates from being renewed says nothing of who is away, unless they are of no use.
    for (const [outOfDates, reason] of [
      [true, 'NoLeader'],
      [false, 'QuorumLost'],
    ] as const) {
      const refused = { state: 'pending', message: 'exceeded quota', outOfDates } as const;
      const said = plan({ ...newView({}, []), cluster, certificates: refused });
      assert.equal(said.conditions.find(({ type }) => type === 'Available')?.reason, reason);
    }
    // Pods that are ready may well have a leader, whatever the operator's own certificate is.
    const pods = [1, 2, 3].map((ordinal) => readyPod(ordinal));
    const unheard = plan({ ...newView({}, []), cluster, pods, certificates });
    const { status, reason } = unheard.conditions.find(({ type }) => type === 'Available') ?? {};
    assert.deepEqual([status, reason], ['Unknown', 'MembersUnreachable']);
  }
});

test('without the word of who leads, only a pod that is not ready is ever deleted, and nothing else done', () => {
  fc.assert(
    fc.property(anyView, (whole) => {
      const words = whole.words.filter(({ role }) => role !== 'leader');
      const view = recorded({ ...whole, words });
      const { act } = plan(view);
      if (act === undefined || act.kind === 'growClaim' || act.kind === 'markClaim') return;
      assert.ok(act.kind === 'deletePod' && !act.force);
      assert.equal(view.pods.find(({ name }) => name === act.name)?.ready, false);
    }),
    { numRuns: 3000 },
  );
});

test('by force goes only a pod of which somebody said that it does not come back', () => {
  fc.assert(
    fc.property(anyView, (seenView) => {
      const view = recorded(seenView);
      const { act } = plan(view);
      if (act?.kind !== 'deletePod' || !act.force) return;
      const deleted = view.pods.find(({ name }) => name === act.name);
      assert.ok(deleted?.unrecoverable && deleted.isStuck);
    }),
    { numRuns: 3000 },
  );
});
