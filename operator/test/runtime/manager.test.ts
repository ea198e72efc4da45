// The whole of the runtime together: caches, election, controllers, probes and the end, against a server that misbehaves.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import dotI from '@dot-i/k8s-operator';
import { silentLogger } from '@etl-router/core';
import { Applier } from '../../src/runtime/apply.ts';
import { KubeConnection } from '../../src/runtime/connection.ts';
import { Controller, type Reconcile } from '../../src/runtime/controller.ts';
import { EventRecorder } from '../../src/runtime/events.ts';
import { Informer } from '../../src/runtime/informer.ts';
import { fromKey, keyOf, type UntypedObject } from '../../src/runtime/kube-object.ts';
import { LeaderElection } from '../../src/runtime/leader-election.ts';
import { Manager } from '../../src/runtime/manager.ts';
import { controllerReference } from '../../src/runtime/ownership.ts';
import {
  createProbeHandler,
  LoopLag,
  livenessChecks,
  readinessChecks,
  startupChecks,
} from '../../src/runtime/probes.ts';
import { RawKube } from '../../src/runtime/raw-kube.ts';
import { EtlOperator } from '../../src/runtime/shell.ts';
import { Shutdown } from '../../src/runtime/shutdown.ts';
import { resyncPriority } from '../../src/runtime/work-queue.ts';
import { type Bench, configMaps, objectOf, startBench, turns, widgets } from './harness.ts';

const widgetPath = { collection: '/apis/example.test/v1/widgets', namespace: 'shop' };

interface Operator {
  readonly manager: Manager;
  readonly controller: Controller;
  readonly election: LeaderElection;
  readonly informers: readonly Informer<UntypedObject>[];
  readonly client: RawKube;
}

/** An operator that keeps one ConfigMap for each Widget, with the widget's number in it. */
function operatorOf(bench: Bench, identity: string, reconcile?: Reconcile): Operator {
  const { server, clock, random } = bench;
  const connection = new KubeConnection(server.kubeConfig(), clock);
  const rate = { callsPerSecond: 1000, burst: 1000 };
  const election = new LeaderElection({
    client: new RawKube({ connection, clock }),
    namespace: 'etl',
    name: 'operator',
    identity,
    clock,
    random,
  });
  const client = new RawKube({ connection, clock, mayWrite: () => election.mayWrite(), ...rate });
  const applier = new Applier({ client, fieldManager: 'etl-operator' });
  const common = { client, clock, random };
  const parents = new Informer<UntypedObject>({ ...common, kind: widgets });
  const children = new Informer<UntypedObject>({ ...common, kind: configMaps });
  const keepOne: Reconcile = async (key, { signal }) => {
    const widget = parents.get(key);
    if (widget === undefined || widget.metadata.deletionTimestamp !== undefined) return undefined;
    const { name } = fromKey(key);
    const desired = objectOf(configMaps, name, {
      metadata: { ownerReferences: [controllerReference(widget)] },
      data: widget['spec'],
    });
    await applier.apply(configMaps, desired, { cached: children.get(key), signal });
    return undefined;
  };
  const controller = new Controller({
    name: 'widget',
    clock,
    random,
    reconcile: reconcile ?? keepOne,
  });
  for (const informer of [parents, children]) {
    informer.listen(({ object, fromList }) =>
      controller.queue.add(keyOf(object), fromList ? resyncPriority : 0),
    );
  }
  const events = new EventRecorder({
    client,
    clock,
    random,
    controller: 'test',
    instance: identity,
  });
  const informers = [parents, children];
  const manager = new Manager({
    clock,
    random,
    informers,
    controllers: [controller],
    events,
    election,
    close: () => connection.close(),
  });
  return { manager, controller, election, informers, client };
}

function putWidget({ server }: Bench, name: string, number: number): void {
  const key = { ...widgetPath, name };
  const widget = objectOf(widgets, name, { spec: { number } }) as never;
  if (server.store.find(key) === undefined) server.store.create(key, widget);
  else server.store.replace(key, widget);
}

function childrenOf({ server }: Bench): string[] {
  return server.store
    .list('/api/v1/configmaps')
    .map(({ metadata, data }) => `${metadata.name}=${(data as { number: number }).number}`);
}

function stopAfter(t: TestContext, bench: Bench, operators: readonly Operator[]): void {
  t.after(async () => {
    const ends = operators.map(({ manager }) => manager.shutdown.stop('the test is over'));
    let ended = false;
    void Promise.all(ends).then(() => {
      ended = true;
    });
    await bench.until(() => ended, 'the end', 100);
  });
}

test('through resets, errors, refusals and lost answers the world becomes what is declared', async (t) => {
  const bench = await startBench(t);
  const operator = operatorOf(bench, 'a');
  stopAfter(t, bench, [operator]);
  void operator.manager.run();
  for (let index = 0; index < 10; index++) putWidget(bench, `w${index}`, index);
  const { faults, watchers } = bench.server;
  faults.add({ verb: 'patch' }, { do: 'reset-after' }, 3);
  faults.add({ verb: 'patch' }, { do: 'status', status: 500 }, 3);
  faults.add({ verb: 'patch' }, { do: 'status', status: 429, retryAfterSeconds: 2 }, 2);
  faults.add({ verb: 'patch' }, { do: 'hang' }, 1);
  faults.add({ verb: 'get', plural: 'configmaps' }, { do: 'reset' }, 2);
  faults.add({ verb: 'watch' }, { do: 'cut', afterEvents: 2 }, 2);
  const wanted = Array.from({ length: 10 }, (_, index) => `w${index}=${index}`);
  await bench.until(() => childrenOf(bench).join() === wanted.join(), 'the children', 20);
  watchers.hold();
  for (let index = 0; index < 10; index++) putWidget(bench, `w${index}`, index + 100);
  watchers.release({ reorder: true });
  await turns();
  watchers.reset();
  bench.server.store.delete({ ...widgetPath, name: 'w3' });
  const after = wanted
    .filter((text) => !text.startsWith('w3'))
    .map((text) => text.replace(/=(\d)/, '=10$1'));
  await bench.until(() => childrenOf(bench).join() === after.join(), 'the changes', 20);
});

test('a child that somebody deletes or edits comes back', async (t) => {
  const bench = await startBench(t);
  const operator = operatorOf(bench, 'a');
  stopAfter(t, bench, [operator]);
  void operator.manager.run();
  putWidget(bench, 'a', 1);
  await bench.until(() => childrenOf(bench).join() === 'a=1', 'the child');
  const key = { collection: '/api/v1/configmaps', namespace: 'shop', name: 'a' };
  bench.server.store.replace(key, {
    ...structuredClone(bench.server.store.get(key)),
    data: { number: 9 },
  });
  await bench.until(() => childrenOf(bench).join() === 'a=1', 'the edit undone');
  bench.server.store.delete(key);
  await bench.until(() => childrenOf(bench).join() === 'a=1', 'the child again');
});

test('nothing is written while nothing changes', async (t) => {
  const bench = await startBench(t);
  const operator = operatorOf(bench, 'a');
  stopAfter(t, bench, [operator]);
  void operator.manager.run();
  putWidget(bench, 'a', 1);
  await bench.until(() => childrenOf(bench).length === 1, 'the child');
  await turns();
  const writes = (): number =>
    bench.server.writes.filter(({ path }) => !path.includes('leases')).length;
  const before = writes();
  for (let second = 0; second < 120; second++) {
    bench.clock.advance(1000);
    await turns(10);
  }
  operator.controller.queue.add('shop/a');
  await turns(50);
  assert.equal(writes(), before);
});

test('two operators: one acts, the other takes over when it ends, and neither writes for the other', async (t) => {
  const bench = await startBench(t);
  const [first, second] = [operatorOf(bench, 'a'), operatorOf(bench, 'b')];
  stopAfter(t, bench, [first, second]);
  const end = first.manager.run();
  await bench.until(() => first.election.mayWrite(), 'the first leads');
  void second.manager.run();
  putWidget(bench, 'a', 1);
  await bench.until(() => childrenOf(bench).length === 1, 'the child');
  assert.equal(second.election.mayWrite(), false);
  void first.manager.shutdown.stop('rolled');
  await bench.until(() => second.election.mayWrite(), 'the second leads', 50);
  assert.equal(await end, 'stopped');
  await assert.rejects(first.client.delete({ kind: configMaps, namespace: 'shop', name: 'a' }));
  putWidget(bench, 'a', 2);
  await bench.until(() => childrenOf(bench).join() === 'a=2', 'the change', 50);
});

test('a server that is away for ten minutes: the leader ends as lost, the next one begins by itself', async (t) => {
  const bench = await startBench(t);
  const first = operatorOf(bench, 'a');
  const end = first.manager.run();
  let ended: string | undefined;
  void end.then((how) => {
    ended = how;
  });
  await bench.until(() => first.election.mayWrite(), 'it leads');
  const back = bench.server.faults.add({}, { do: 'reset' });
  bench.server.watchers.reset();
  await bench.until(() => ended !== undefined, 'the end', 100);
  assert.equal(ended, 'lost');
  const second = operatorOf(bench, 'b');
  stopAfter(t, bench, [second]);
  void second.manager.run();
  for (let second10 = 0; second10 < 6; second10++) {
    bench.clock.advance(10_000);
    await turns(10);
  }
  putWidget(bench, 'a', 1);
  back();
  await bench.until(() => childrenOf(bench).join() === 'a=1', 'the child', 100);
});

test('caches that can not be filled in two minutes end the start', async (t) => {
  const bench = await startBench(t);
  bench.server.faults.add({ verb: 'list', plural: 'widgets' }, { do: 'status', status: 403 });
  let failure = '';
  operatorOf(bench, 'a')
    .manager.run()
    .catch((error: unknown) => {
      failure = String(error);
    });
  await bench.until(() => failure !== '', 'the failure', 1000);
  assert.match(failure, /widgets could not be listed within 120000 ms/);
  assert.equal(bench.server.writes.length, 0);
});

test('who is stopped leaves no timer and no connection, whether it had begun or not', async (t) => {
  const bench = await startBench(t);
  const { clock, server } = bench;
  for (const began of [false, true]) {
    const back = server.faults.add({ verb: 'list' }, { do: 'status', status: 500 });
    if (began) back();
    const operator = operatorOf(bench, String(began));
    let ended = false;
    void operator.manager.run().then(() => {
      ended = true;
    });
    putWidget(bench, 'a', Number(began));
    if (began) await bench.until(() => childrenOf(bench).length === 1, 'the child');
    else await turns();
    void operator.manager.shutdown.stop('test');
    await bench.until(() => ended, 'the end', 50);
    back();
    await bench.until(() => server.watchers.count === 0, 'the watches are gone', 1);
    assert.equal(clock.pending, 0);
  }
});

test('a permission that is taken away and given back: no crash, and the copy is in step again', async (t) => {
  const bench = await startBench(t);
  const operator = operatorOf(bench, 'a');
  stopAfter(t, bench, [operator]);
  void operator.manager.run();
  await bench.until(() => operator.election.mayWrite(), 'it leads');
  const back = bench.server.faults.add({ plural: 'widgets' }, { do: 'status', status: 403 });
  bench.server.watchers.reset();
  bench.server.store.compact();
  await bench.until(() => operator.informers[0]?.failure !== undefined, 'it is told', 100);
  putWidget(bench, 'late', 1);
  back();
  await bench.until(() => childrenOf(bench).join() === 'late=1', 'the child', 100);
});

test('deleted and made anew under the same name inside a gap: the new one has a child of its own', async (t) => {
  const bench = await startBench(t);
  const operator = operatorOf(bench, 'a');
  stopAfter(t, bench, [operator]);
  void operator.manager.run();
  putWidget(bench, 'a', 1);
  await bench.until(() => childrenOf(bench).length === 1, 'the child');
  const owner = (): unknown =>
    (
      bench.server.store.list('/api/v1/configmaps')[0]?.metadata['ownerReferences'] as
        | { uid: string }[]
        | undefined
    )?.[0]?.uid;
  const old = owner();
  bench.server.watchers.hold();
  bench.server.store.delete({ ...widgetPath, name: 'a' });
  putWidget(bench, 'a', 2);
  bench.server.watchers.release();
  await bench.until(() => childrenOf(bench).join() === 'a=2', 'the new child');
  assert.notEqual(owner(), old);
});

test('the probes tell what is so', async (t) => {
  const bench = await startBench(t);
  const { clock, registry } = bench;
  const operator = operatorOf(bench, 'a');
  stopAfter(t, bench, [operator]);
  const lag = new LoopLag(clock);
  const started = startupChecks(operator.informers);
  const ready = readinessChecks({
    clients: [operator.client],
    informers: operator.informers,
    clock,
    stopping: () => operator.manager.shutdown.stopping,
  });
  const server = createServer(
    createProbeHandler({
      registry,
      live: livenessChecks(lag, [operator.controller]),
      ready,
      started,
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    lag.close();
    server.closeAllConnections();
    server.close();
  });
  const ask = async (path: string, method = 'GET'): Promise<[number, string]> => {
    const answer = await fetch(
      `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
      { method },
    );
    return [answer.status, await answer.text()];
  };
  assert.equal((await ask('/livez'))[0], 200);
  assert.match((await ask('/startupz')).join(), /^503,\[-\] cache-widgets: not listed yet/);
  assert.equal((await ask('/readyz'))[0], 503);
  void operator.manager.run();
  await bench.until(() => operator.election.mayWrite(), 'it leads');
  assert.deepEqual((await ask('/startupz'))[0], 200);
  assert.deepEqual(await ask('/readyz'), [
    200,
    '[+] running\n[+] cache-widgets\n[+] cache-configmaps\n[+] api-server\nok\n',
  ]);
  bench.server.faults.add({}, { do: 'hang' });
  bench.server.watchers.freeze();
  for (let second = 0; second < 61; second++) clock.advance(1000);
  assert.match(
    (await ask('/readyz')).join(),
    /503.*\[-\] api-server: did not answer for a minute/s,
  );
  assert.equal((await ask('/livez'))[0], 200, 'a restart would not bring the server back');
  assert.equal((await ask('/metrics'))[0], 200);
  assert.deepEqual([(await ask('/other'))[0], (await ask('/livez', 'POST'))[0]], [404, 405]);
  void operator.manager.shutdown.stop('test');
  assert.match((await ask('/readyz')).join(), /\[-\] running: shutting down/);
});

test('a loop that is late is not alive until it turns again', async (t) => {
  const { clock } = await startBench(t);
  let nowMs = 0;
  const stalling = {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs() + nowMs,
    after: clock.after.bind(clock),
  };
  const lag = new LoopLag(stalling);
  const [check] = livenessChecks(lag, []);
  clock.advance(500);
  assert.equal(check?.check(), undefined);
  nowMs = 6000;
  assert.equal(check?.check(), '5500 ms late');
  clock.advance(500);
  assert.equal(check?.check(), '6000 ms late');
  clock.advance(500);
  assert.equal(check?.check(), undefined);
  lag.close();
});

test('the end goes step by step, and a step that hangs or fails keeps none from its turn', async (t) => {
  const { clock, until } = await startBench(t);
  const taken: string[] = [];
  const source = new EventEmitter();
  const shutdown = new Shutdown({
    clock,
    steps: [
      { name: 'fails', maxMs: 1000, run: () => Promise.reject(new Error('defect')) },
      {
        name: 'throws',
        maxMs: 1000,
        run: () => {
          throw new Error('defect');
        },
      },
      { name: 'hangs', maxMs: 5000, run: () => new Promise<void>(() => taken.push('hangs')) },
      { name: 'last', maxMs: 1000, run: () => void taken.push('last') },
    ],
  });
  const unlisten = shutdown.listen(source);
  source.emit('SIGTERM');
  source.emit('SIGTERM');
  assert.equal(shutdown.stopping, true);
  const startMs = clock.monotonicMs();
  await until(() => taken.includes('last'), 'the last step');
  assert.deepEqual(taken, ['hangs', 'last']);
  assert.ok(clock.monotonicMs() - startMs >= 5000);
  await shutdown.stop('again');
  unlisten();
  assert.equal(source.listenerCount('SIGTERM'), 0);
});

test('the shell starts and stops, and no way of its package to the network is left', async (t) => {
  const bench = await startBench(t);
  const operator = operatorOf(bench, 'a');
  const shell = new EtlOperator({
    manager: operator.manager,
    kubeConfig: bench.server.kubeConfig(),
    logger: silentLogger,
  });
  assert.throws(() => shell.ended, /was not started/);
  await shell.start();
  await bench.until(() => operator.election.mayWrite(), 'it leads');
  const received = bench.server.received;
  const harmless = ['constructor', 'start', 'stop', 'init', 'resourceStatusRequest', 'errorToJson'];
  const inherited = Object.getOwnPropertyNames(dotI.default.prototype);
  const own = Object.getOwnPropertyNames(EtlOperator.prototype);
  const reachable = inherited.filter((name) => !harmless.includes(name));
  assert.ok(reachable.length >= 9, String(reachable));
  for (const name of reachable) {
    assert.ok(own.includes(name), `${name} is inherited`);
    const method = (shell as unknown as { [name: string]: (...all: unknown[]) => unknown })[
      name
    ] as (...all: unknown[]) => unknown;
    await assert.rejects(
      async () => await method.call(shell, {}, '', '', () => undefined),
      /is not used here/,
      name,
    );
  }
  // The one private way to the network begins in methods that refuse.
  const bodies = inherited.filter((name) =>
    String((dotI.default.prototype as unknown as { [name: string]: unknown })[name]).includes(
      'this.resourceStatusRequest(',
    ),
  );
  assert.deepEqual(bodies.filter((name) => name !== 'constructor').toSorted(), [
    'patchResourceStatus',
    'setResourceStatus',
  ]);
  assert.equal(bench.server.received, received);
  shell.stop();
  let end: string | undefined;
  void shell.ended.then((how) => {
    end = how;
  });
  await bench.until(() => end !== undefined, 'the end', 100);
  assert.equal(end, 'stopped');
});
