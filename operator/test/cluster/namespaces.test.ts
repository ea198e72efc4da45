// An operator of some namespaces, when the rights in one of them are missing: the others are served, nothing is done on half
// of what there is, and a namespace that is deleted takes its clusters along although its Role went first.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Bench, type RunningOperator } from './bench.ts';

const watchNamespaces = ['shop', 'lab'];
const refusal = { do: 'status', status: 403, reason: 'Forbidden' } as const;
const clusterPath = '/apis/etl.router/v1/etlrouterclusters';
const bindingsPath = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
const claimsPath = '/api/v1/persistentvolumeclaims';
const namespaceKey = { collection: '/api/v1/namespaces', name: 'shop' };

const writesIn = (bench: Bench, namespace: string): readonly string[] =>
  bench.writes.filter((write) => write.includes(`/namespaces/${namespace}/`));

/** Whether it runs still. */
function endOf(operator: RunningOperator): { readonly how: string | undefined } {
  const end: { how: string | undefined } = { how: undefined };
  void operator.ended.then((how) => {
    end.how = how;
  });
  return end;
}

async function refusalsOf({ address }: RunningOperator): Promise<number> {
  const answer = await fetch(`http://${address.host}:${address.port}/metrics`);
  const lines = (await answer.text()).split('\n');
  const found = lines.filter(
    (line) => line.startsWith('rest_client_requests_total{') && line.includes('code="403"'),
  );
  return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function probe({ address }: RunningOperator, path: string): Promise<number> {
  return (await fetch(`http://${address.host}:${address.port}${path}`)).status;
}

for (const status of [403, 404]) {
  test(`a namespace whose lists are answered ${status} costs the others nothing, and is served once it may be`, async (t) => {
    const bench = await Bench.start(t);
    const back = bench.server.faults.add(
      { path: /\/namespaces\/lab\// },
      { ...refusal, status, reason: status === 403 ? 'Forbidden' : 'NotFound' },
    );
    bench.declare({ replicas: 3 });
    const operator = await bench.operator({ watchNamespaces });
    const end = endOf(operator);
    const startMs = bench.clock.monotonicMs();
    await bench.until(() => bench.isReady, 'ready');
    assert.ok(bench.clock.monotonicMs() - startMs < 110_000, 'nothing waited for the other one');
    await bench.pass(200_000, 50);
    assert.equal(end.how, undefined);
    assert.equal(await probe(operator, '/startupz'), 200);
    assert.equal(await probe(operator, '/readyz'), 200);
    if (status === 403) assert.ok((await refusalsOf(operator)) > 20);
    const { store } = bench.server;
    const { spec } = store.get({ collection: clusterPath, namespace: 'shop', name: 'main' });
    store.create(
      { collection: clusterPath, namespace: 'lab', name: 'other' },
      {
        apiVersion: 'etl.router/v1',
        kind: 'EtlRouterCluster',
        metadata: { name: 'other', namespace: 'lab' },
        spec: spec as never,
      },
    );
    await bench.pass(20_000);
    assert.deepEqual(writesIn(bench, 'lab'), []);
    back();
    const sets = (): number => store.list('/apis/apps/v1/statefulsets', 'lab').length;
    await bench.until(() => sets() === 1, 'the cluster of the other one');
  });
}

test('an operator that may list no clusters where it looks for them, or not what they are made of anywhere, ends', async (t) => {
  for (const [namespaces, plural] of [
    [['shop'], 'etlrouterclusters'],
    [[], 'pods'],
  ] as const) {
    const bench = await Bench.start(t);
    bench.server.faults.add({ plural }, refusal);
    const operator = await bench.operator({ watchNamespaces: namespaces });
    const end = endOf(operator);
    await bench.until(() => end.how !== undefined, `the end in [${namespaces.join()}]`);
    assert.match(
      String(end.how),
      new RegExp(`${plural}.* could not be listed within 120000 ms.*403`),
    );
    assert.equal(bench.writes.length, 0);
  }
});

test('an operator that may read none of its namespaces says so, and is not started: it takes no place of one that may', async (t) => {
  const bench = await Bench.start(t);
  const back = bench.server.faults.add({ plural: 'pods' }, refusal);
  bench.declare({ replicas: 3 });
  const operator = await bench.operator({ watchNamespaces });
  const end = endOf(operator);
  await bench.until(() => bench.condition('Ready') === 'Unknown Forbidden', 'the word');
  await bench.pass(200_000, 50);
  assert.deepEqual([await probe(operator, '/startupz'), end.how], [503, undefined]);
  back();
  await bench.until(() => bench.isReady, 'ready');
  assert.equal(await probe(operator, '/startupz'), 200);
});

test('a right that is missing for a moment is not told', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  const operator = await bench.operator({ watchNamespaces });
  await bench.until(() => bench.isReady, 'ready');
  const back = bench.server.faults.add({ verb: ['list', 'watch'], plural: 'pods' }, refusal);
  bench.server.watchers.reset();
  bench.change({ replicas: 5 });
  for (let turns = 0; turns < 20; turns++) {
    await bench.pass(200);
    assert.notDeepEqual(saysOf(bench), ['Unknown Forbidden']);
  }
  assert.ok((await refusalsOf(operator)) > 0);
  back();
  await bench.until(() => bench.isReady, 'ready');
});

/** A cluster of three in `shop` that is ready, and the operator that made it. */
async function startReady(
  t: TestContext,
  spec: object = {},
  namespaces: readonly string[] = watchNamespaces,
): Promise<Bench> {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3, ...spec });
  await bench.operator({ watchNamespaces: namespaces });
  await bench.until(() => bench.isReady, 'ready');
  return bench;
}

const kindsOfParts = [
  'etlrouterclusters',
  'pods',
  'persistentvolumeclaims',
  'secrets',
  'statefulsets',
];

for (const plural of kindsOfParts) {
  test(`nothing is done in a namespace while ${plural} can not be listed in it, after a start and while it runs`, async (t) => {
    const bench = await startReady(t);
    const match = { verb: ['list', 'watch'], path: /\/namespaces\/shop\//, plural } as const;
    const lose = async (): Promise<() => void> => {
      const back = bench.server.faults.add(match, refusal);
      bench.server.watchers.reset();
      bench.server.store.compact();
      await bench.pass(5000);
      return back;
    };
    for (const [restarts, replicas] of [
      [false, 5],
      [true, 3],
    ] as const) {
      if (restarts) await bench.stopOperators();
      const back = await lose();
      if (restarts) await bench.operator({ watchNamespaces });
      await bench.pass(5000);
      const before = writesIn(bench, 'shop').length;
      bench.change({ replicas });
      await bench.pass(60_000);
      const writes = writesIn(bench, 'shop').slice(before);
      assert.deepEqual(
        writes.filter((write) => !write.includes('/etlrouterclusters/main/status')),
        [],
      );
      const isBlind = plural === 'etlrouterclusters';
      assert.ok(writes.length <= (isBlind ? 0 : 1), `said once: ${writes.join()}`);
      if (!isBlind) assert.deepEqual(saysOf(bench), ['Unknown Forbidden']);
      back();
      await bench.until(() => bench.isReady, `${replicas} once it may`);
    }
  });
}

/** What is said of whether all is well, each answer once. */
function saysOf(bench: Bench): readonly string[] {
  const types = ['Ready', 'Available', 'Progressing', 'Degraded'];
  return [...new Set(types.map((type) => bench.condition(type)))];
}

test('a right that is missing is told by its kind, and hides no loss behind what was so before', async (t) => {
  for (const namespaces of [watchNamespaces, ['shop']]) {
    const bench = await startReady(t, {}, namespaces);
    bench.server.faults.add({ verb: ['list', 'watch'], plural: 'poddisruptionbudgets' }, refusal);
    bench.server.watchers.reset();
    bench.server.store.compact();
    const { world } = bench.standIn;
    for (const pod of world.pods.values()) world.loseNode(pod);
    await bench.until(() => bench.condition('Available') === 'Unknown Forbidden', 'the word');
    const { message = '' } =
      bench.status.conditions?.find(({ type }) => type === 'Available') ?? {};
    assert.match(message, /^The operator may not list poddisruptionbudgets in this namespace, /);
  }
});

/** What the namespace controller does first: it deletes the Role, and everything that is ours in the namespace. */
function loseRole({ server }: Bench): () => void {
  return server.faults.add(
    { path: /\/namespaces\/shop\/(?!etlrouterclusters)/ },
    { ...refusal, reason: 'Forbidden' },
  );
}

function markNamespace({ server }: Bench): void {
  server.store.create(namespaceKey, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', finalizers: ['kubernetes'] },
  });
  server.store.delete(namespaceKey);
}

const mortal = {
  storage: { size: '10Gi', retention: { whenDeleted: 'delete', whenScaled: 'delete' } },
};

for (const [isAway, namespaces] of [
  [false, watchNamespaces],
  [true, watchNamespaces],
  [true, ['shop']],
] as const) {
  test(`a cluster goes with its namespace, of ${namespaces.length}, although the Role went first, when the operator ${isAway ? 'was away' : 'runs'}`, async (t) => {
    const bench = await startReady(t, mortal, namespaces);
    if (isAway) await bench.stopOperators();
    markNamespace(bench);
    loseRole(bench);
    bench.delete();
    if (isAway) await bench.operator({ watchNamespaces: namespaces });
    await bench.until(() => bench.cluster === undefined, 'gone');
    assert.equal(bench.server.store.list(bindingsPath).length, 0);
  });
}

test('a cluster whose namespace stays is held until what it takes along can be seen', async (t) => {
  const bench = await startReady(t, mortal);
  bench.server.store.create(namespaceKey, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop' },
  });
  const back = loseRole(bench);
  bench.delete();
  await bench.pass(60_000);
  assert.equal(bench.isHeld, true);
  assert.equal(bench.server.store.list(bindingsPath).length, 1);
  back();
  await bench.until(() => bench.cluster === undefined, 'gone');
  const left = bench.server.store
    .list(claimsPath)
    .filter(({ metadata }) => metadata['deletionTimestamp'] === undefined);
  assert.deepEqual(left, []);
});

test('an operator that may not look at namespaces either holds the cluster, and takes nothing for granted', async (t) => {
  const bench = await startReady(t, mortal);
  markNamespace(bench);
  loseRole(bench);
  bench.server.faults.add({ plural: 'namespaces' }, refusal);
  bench.delete();
  await bench.pass(60_000);
  assert.equal(bench.isHeld, true);
  assert.equal(bench.server.store.list(bindingsPath).length, 1);
});
