// The controller with everything around it: the real client, caches, election and router calls, against a pretend API
// server and members that speak gRPC. What the model forbids ends a test.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import { Bench } from './bench.ts';

test('three members are founded, and their cluster says so', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const { status } = bench;
  assert.equal(status.clusterID, bench.standIn.world.group?.id);
  assert.deepEqual(
    status.members?.map(({ name, role, ready }) => [name, role, ready]),
    [1, 2, 3].map((ordinal) => [`main-${ordinal}`, 'voter', true]),
  );
  assert.equal(bench.condition('Available'), 'True QuorumAvailable');
  assert.equal(bench.condition('CertificatesReady'), 'True Valid');
});

test('one member becomes three, five, and three again, with the acts told', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 1 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'one');
  for (const replicas of [3, 5, 3]) {
    bench.change({ replicas });
    await bench.until(() => bench.isReady, `${replicas} members`);
  }
  await bench.until(() => bench.standIn.world.claims.size === 3, 'the volumes gone');
  const reasons = new Set(bench.events);
  for (const reason of ['LearnerAdded', 'MemberPromoted', 'MemberRemoved', 'Scaled', 'Ready'])
    assert.ok(reasons.has(reason), reason);
});

test('a new version reaches one pod after the other, the leader last, by its own certificate and epoch', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const before = new Map([...bench.standIn.world.pods].map(([ordinal, { uid }]) => [ordinal, uid]));
  const leader = bench.status.leader?.name;
  bench.change({ version: 'v2' });
  await bench.until(() => bench.isReady, 'upgraded');
  for (const [ordinal, { uid }] of bench.standIn.world.pods)
    assert.notEqual(uid, before.get(ordinal));
  assert.notEqual(bench.status.leader?.name, leader);
  assert.equal(bench.status.targetVersion, 'v2');
  const transfer = bench.standIn.calls.find(({ method }) => method === 'transferLeadership');
  assert.match(transfer?.epoch ?? '', /^[1-9]\d*$/);
});

test('an image that does not start stops at one pod, and a good one heals it', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  bench.change({ version: 'bad' });
  const isStuck = (): boolean => [...bench.standIn.world.pods.values()].some(({ isBad }) => isBad);
  await bench.until(isStuck, 'one that does not start');
  await bench.pass(60_000);
  const bad = [...bench.standIn.world.pods.values()].filter(({ isBad }) => isBad);
  assert.equal(bad.length, 1);
  assert.equal(bench.condition('Available'), 'True QuorumAvailable');
  bench.change({ version: 'v3' });
  await bench.until(() => bench.isReady, 'healed');
});

test('a volume that is lost costs a member, who comes back under a new id', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const before = bench.status.members?.find(({ ordinal }) => ordinal === 2)?.memberID;
  bench.standIn.world.loseDisk(2);
  await bench.until(
    () =>
      bench.isReady &&
      bench.status.members?.find(({ ordinal }) => ordinal === 2)?.memberID !== before,
    'replaced',
  );
});

test('nothing is written while nothing changes, and members are asked once a minute', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  const { process } = await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  await bench.pass(70_000);
  const { length } = bench.writes;
  const received = bench.server.requests.length;
  await bench.pass(120_000);
  assert.deepEqual(bench.writes.slice(length), []);
  const reads = bench.server.requests
    .slice(received)
    .filter(({ verb, path }) => verb !== 'watch' && !path.includes('/leases'));
  assert.deepEqual(reads, []);
  assert.ok(process.manager.shutdown.signal.aborted === false);
});

test('caches that stand still, answers that are lost and writers in between cost time and nothing else', async (t) => {
  const bench = await Bench.start(t);
  const { faults, watchers } = bench.server;
  bench.declare({ replicas: 1 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'one');
  bench.change({ replicas: 3, version: 'v2' });
  for (let round = 0; round < 20 && !bench.isReady; round++) {
    faults.add({ verb: 'patch' }, { do: 'reset-after' }, 1);
    faults.add({ verb: ['patch', 'delete'] }, { do: 'status', status: 409 }, 1);
    faults.add({ verb: ['patch', 'delete'] }, { do: 'status', status: 404 }, 1);
    faults.add({ verb: 'list', plural: 'pods' }, { do: 'status', status: 500 }, 1);
    watchers.hold();
    await bench.pass(4000);
    watchers.release();
    await bench.pass(2000);
  }
  faults.clear();
  await bench.until(() => bench.isReady, 'three');
});

test('what a router refuses is told, and tried again later and later', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 1 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'one');
  bench.standIn.refusal = new EtlError('ETL_UNSAFE', 'not while the moon is full');
  bench.change({ replicas: 3 });
  await bench.until(() => bench.condition('Degraded') === 'True ActFails', 'told');
  assert.match(bench.status.operation?.message ?? '', /moon/);
  const { length } = bench.standIn.calls;
  await bench.pass(120_000);
  assert.ok(bench.standIn.calls.length - length <= 10, `${bench.standIn.calls.length - length}`);
  bench.standIn.refusal = undefined;
  await bench.until(() => bench.isReady, 'three');
  assert.equal(bench.condition('Degraded'), 'False AllMembersWork');
});

test('a paused cluster is watched and not touched', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  bench.change({ reconciliation: 'paused', version: 'v2' });
  await bench.until(() => bench.condition('ReconciliationPaused') === 'True Paused', 'paused');
  const others = (): readonly string[] =>
    bench.writes.filter((write) => !/status|event/.test(write));
  const { length } = others();
  await bench.pass(120_000);
  assert.deepEqual(others().slice(length), []);
  bench.change({ reconciliation: 'active' });
  await bench.until(() => bench.isReady, 'upgraded');
  assert.equal(bench.status.targetVersion, 'v2');
});

test('a paused cluster whose certificates are due is looked at now and then, not every second', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 1 });
  const { address } = await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  bench.change({ reconciliation: 'paused' });
  await bench.until(() => bench.condition('ReconciliationPaused') === 'True Paused', 'paused');
  const key = { collection: '/api/v1/secrets', namespace: 'shop', name: 'main-tls' };
  bench.server.store.delete(key);
  const due = (): boolean => bench.condition('CertificatesReady') === 'False Pending';
  await bench.until(due, 'due');
  const before = await reconciles(address);
  await bench.pass(120_000);
  const count = (await reconciles(address)) - before;
  assert.ok(count >= 4 && count <= 12, `${count} in two minutes`);
  assert.equal(bench.server.store.find(key), undefined);
});

async function reconciles({ host, port }: { host: string; port: number }): Promise<number> {
  const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
  const counts = text.matchAll(/^controller_runtime_reconcile_total\{[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

test('an object of somebody else is left alone, and the cluster says which', async (t) => {
  const bench = await Bench.start(t);
  const key = { collection: '/api/v1/services', namespace: 'shop', name: 'main' };
  const theirs = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'main', namespace: 'shop' },
    spec: { ports: [{ port: 80 }] },
  };
  bench.server.store.create(key, theirs);
  bench.declare({ replicas: 1 });
  await bench.operator();
  await bench.until(() => bench.condition('Accepted') === 'False ResourceConflict', 'told');
  assert.deepEqual(bench.server.store.get(key)['spec'], theirs.spec);
  assert.equal(bench.server.store.list('/apis/apps/v1/statefulsets').length, 0);
  bench.server.store.delete(key);
  await bench.until(() => bench.isReady, 'ready');
});

test('a Secret of somebody else is left alone, and the certificates say which', async (t) => {
  const bench = await Bench.start(t);
  const key = { collection: '/api/v1/secrets', namespace: 'shop', name: 'main-tls' };
  const theirs = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'main-tls', namespace: 'shop' },
    data: { note: 'bWluZQ==' },
  };
  bench.server.store.create(key, theirs);
  bench.declare({ replicas: 1 });
  await bench.operator();
  const told = (): boolean =>
    bench.status.conditions?.some(({ message }) => message.includes('Secret main-tls')) === true;
  await bench.until(told, 'told');
  assert.deepEqual(bench.server.store.get(key)['data'], theirs.data);
  bench.server.store.delete(key);
  await bench.until(() => bench.isReady, 'ready');
});

test('an application that fails for a while is told', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 1 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const fault = { do: 'status', status: 500, reason: 'InternalError' } as const;
  bench.server.faults.add({ verb: 'patch', plural: 'statefulsets' }, fault);
  bench.change({ version: 'v2' });
  await bench.until(() => bench.condition('Degraded') === 'True ActFails', 'told');
  bench.server.faults.clear();
  await bench.until(() => bench.isReady && bench.status.currentVersion === 'v2', 'upgraded');
});

test('a volume that can not be taken over while a member joins is asked for when that is over', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  bench.change({ replicas: 5 });
  const { world } = bench.standIn;
  const learnerOf = (): string | undefined =>
    world.group?.members.find(({ role }) => role === 'learner')?.name;
  await bench.until(() => learnerOf() !== undefined, 'a learner');
  const pod = world.pods.get(Number(learnerOf()));
  assert.ok(pod !== undefined);
  // It never comes up, and the volume of another one bears the label of an earlier cluster.
  pod.peers = undefined;
  pod.startsAt = Number.POSITIVE_INFINITY;
  const fault = { do: 'status', status: 403, reason: 'Forbidden' } as const;
  bench.server.faults.add({ verb: 'patch', plural: 'persistentvolumeclaims' }, fault);
  const path = '/metadata/labels/etl.router~1cluster-uid';
  const collection = '/api/v1/persistentvolumeclaims';
  const key = { collection, namespace: 'shop', name: 'data-main-2' };
  bench.server.store.patch(key, [{ op: 'replace', path, value: 'an earlier one' }]);
  await bench.pass(30_000);
  const { length } = bench.writes;
  await bench.pass(60_000);
  const statuses = bench.writes.slice(length).filter((write) => write.includes('/status'));
  assert.ok(statuses.length < 20, `${statuses.length}`);
});

test('a second operator waits, and goes on where the first one ended', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 3 });
  const first = await bench.operator();
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  bench.change({ version: 'v2' });
  await bench.until(() => bench.isReady, 'upgraded');
  const epochOfLast = (): number => Number(bench.standIn.calls.at(-1)?.epoch);
  const before = epochOfLast();
  bench.change({ version: 'v3' });
  await bench.until(() => bench.status.operation !== undefined, 'begun');
  void first.process.manager.shutdown.stop('drained');
  await bench.until(() => bench.isReady, 'upgraded');
  assert.ok(epochOfLast() > before);
});

test('certificates and their authority are renewed in time, members go on answering, and no pod is touched', async (t) => {
  const minuteMs = 60_000;
  const bench = await Bench.start(t, 9 * minuteMs);
  const tls = { certificateDuration: '12m', renewBefore: '5m', authorityDuration: '24m' };
  bench.declare({ replicas: 3, tls });
  await bench.operator();
  await bench.until(() => bench.isReady, 'ready');
  const uids = [...bench.standIn.world.pods.values()].map(({ uid }) => uid);
  const dataOf = (collection: string, name: string): { [key: string]: string } => {
    const key = { collection, namespace: 'shop', name };
    return structuredClone(bench.server.store.get(key)['data']) as { [key: string]: string };
  };
  const read = () => ({
    authority: dataOf('/api/v1/secrets', 'main-ca')['ca.crt'],
    bundle: dataOf('/api/v1/configmaps', 'main-ca')['ca.crt']?.match(/BEGIN/g)?.length,
    members: dataOf('/api/v1/secrets', 'main-tls')['tls.crt'],
    operator: dataOf('/api/v1/secrets', 'main-operator-client')['tls.crt'],
  });
  const first = read();
  await bench.pass(9 * minuteMs, 30);
  const second = read();
  assert.equal(second.authority, first.authority);
  assert.notEqual(second.members, first.members);
  assert.notEqual(second.operator, first.operator);
  // The clock of the bench runs ahead of sockets on a busy machine: a word may be late, and comes.
  await bench.until(() => bench.isReady, 'ready with new certificates');
  await bench.until(() => read().authority !== first.authority, 'the next authority');
  await bench.until(() => read().operator !== second.operator, 'signed by it');
  assert.equal(read().bundle, 2);
  await bench.pass(6 * minuteMs, 30);
  assert.equal(read().bundle, 1);
  await bench.until(() => bench.isReady, 'still ready');
  assert.deepEqual(
    [...bench.standIn.world.pods.values()].map(({ uid }) => uid),
    uids,
  );
});

test('an operator of one namespace leaves clusters elsewhere alone', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 1 });
  await bench.operator({ watchNamespaces: ['bank', 'toys'] });
  await bench.pass(20_000);
  assert.deepEqual(bench.writes, []);
  assert.equal(bench.cluster?.status, undefined);
});

test('a kind that may not be listed ends the process after two minutes, with the reason', async (t) => {
  const bench = await Bench.start(t);
  bench.server.faults.add(
    { verb: 'list', plural: 'secrets' },
    { do: 'status', status: 403, reason: 'Forbidden' },
  );
  const { ended } = await bench.operator();
  let end: string | undefined;
  void ended.then((text) => {
    end = text;
  });
  await bench.until(() => end !== undefined, 'the end');
  assert.match(end ?? '', /secrets could not be listed.*403/);
});

test('a server that keeps no intent is written to less and less, and nothing is done', async (t) => {
  const bench = await Bench.start(t);
  bench.declare({ replicas: 1 });
  await bench.operator();
  await bench.until(() => bench.isReady, 'one');
  bench.server.prune = ({ status, ...object }) => {
    const { operation: _, ...kept } = (status ?? {}) as { readonly [field: string]: never };
    return { ...object, status: kept };
  };
  bench.change({ replicas: 3 });
  await bench.pass(60_000);
  const statuses = bench.writes.filter((write) => write.includes('/status')).length;
  assert.ok(statuses < 40, `${statuses}`);
  assert.equal(bench.standIn.world.pods.size, 1);
  bench.server.prune = undefined;
  await bench.until(() => bench.isReady, 'three');
});
