import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventRecorder } from '../../src/runtime/events.ts';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';
import { eventKind } from '../../src/runtime/kube-options.ts';
import { type Bench, objectOf, startBench, turns, widgets } from './harness.ts';

const claim = {
  type: 'Normal',
  reason: 'LeaderMoved',
  action: 'TransferLeadership',
  note: 'main-0 leads',
} as const;

function recorderOf({ client, clock, random, metrics }: Bench): EventRecorder {
  return new EventRecorder({
    client,
    clock,
    random,
    metrics,
    controller: 'etl.router/operator',
    instance: 'operator-0',
  });
}

function stored({ server }: Bench): UntypedObject[] {
  return server.store.list('/apis/events.k8s.io/v1/events') as unknown as UntypedObject[];
}

const about = objectOf(widgets, 'main', { metadata: { uid: 'uid-main' } });

test('an event says who did what to which object', async (t) => {
  const bench = await startBench(t);
  const events = recorderOf(bench);
  events.record(about, claim);
  await events.close();
  const [event] = stored(bench);
  assert.equal(event?.metadata.namespace, 'shop');
  assert.match(event?.metadata.name ?? '', /^main\.[0-9a-f]+$/);
  assert.deepEqual(event?.['regarding'], {
    apiVersion: widgets.apiVersion,
    kind: 'Widget',
    name: 'main',
    namespace: 'shop',
    uid: 'uid-main',
  });
  assert.deepEqual(
    [event?.['note'], event?.['reportingController'], event?.['type']],
    ['main-0 leads', 'etl.router/operator', 'Normal'],
  );
  assert.match(String(event?.['eventTime'] as string), /\.\d{6}Z$/);
});

test('what is said again within ten minutes is counted, later it is said anew', async (t) => {
  const bench = await startBench(t);
  const events = recorderOf(bench);
  for (let time = 0; time < 5; time++) events.record(about, claim);
  await bench.until(
    () => (stored(bench)[0]?.['series'] as { count?: number } | undefined)?.count === 5,
    'the series',
    1000,
  );
  assert.equal(stored(bench).length, 1);
  assert.equal(bench.server.writes.length, 2, 'one event, one count');
  bench.clock.advance(600_001);
  events.record(about, claim);
  await events.close();
  assert.equal(stored(bench).length, 2);
});

test('an object with much to say is heard less often, others as before', async (t) => {
  const bench = await startBench(t);
  const events = recorderOf(bench);
  for (let index = 0; index < 60; index++)
    events.record(about, { ...claim, note: `note ${index}` });
  events.record(objectOf(widgets, 'other', { metadata: { uid: 'uid-other' } }), claim);
  await events.close();
  const names = stored(bench).map(({ regarding }) => (regarding as { name: string }).name);
  assert.deepEqual(
    [
      names.filter((name) => name === 'main').length,
      names.filter((name) => name === 'other').length,
    ],
    [25, 1],
  );
  assert.equal(await bench.metric('etl_operator_events_dropped_total'), 35);
});

test('an event that can not be written is dropped and counted; nobody fails for it', async (t) => {
  const bench = await startBench(t);
  bench.server.faults.add({ plural: eventKind.plural }, { do: 'status', status: 403 });
  const events = recorderOf(bench);
  events.record(about, claim);
  await events.close();
  assert.equal(await bench.metric('etl_operator_events_dropped_total'), 1);
});

test('a closed recorder takes nothing', async (t) => {
  const bench = await startBench(t);
  const events = recorderOf(bench);
  await events.close();
  events.record(about, claim);
  await turns();
  assert.equal(stored(bench).length, 0);
});

test('a note that is too long is cut between characters, and the name stays one that the server takes', async (t) => {
  const bench = await startBench(t);
  const events = recorderOf(bench);
  const long = objectOf(widgets, `${'a'.repeat(199)}.${'b'.repeat(40)}`, {
    metadata: { uid: 'x' },
  });
  events.record(long, { ...claim, note: `x${'é'.repeat(1000)}` });
  await events.close();
  const [event] = stored(bench);
  assert.equal(event?.['note'], `x${'é'.repeat(511)}`);
  assert.match(event?.metadata.name ?? '', /^a{199}\.[0-9a-f]+$/);
});
