import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createRelayLogger } from '@etl-router/core';
import fc from 'fast-check';
import type { ObjectChange } from '../../src/runtime/informer.ts';
import { keyOf, type UntypedObject } from '../../src/runtime/kube-object.ts';
import type { Fault } from '../faulty-api-server/faults.ts';
import { configMaps, objectOf, turns } from './harness.ts';
import { at, put, started, startWatched, type Watched } from './watched.ts';

test('the copy follows what is created, changed and deleted', async (t) => {
  const watched = await startWatched(t, {
    indexes: { byValue: ({ data }) => [String((data as { value: number }).value)] },
  });
  const { server, informer } = watched;
  put(server, 'a', 1);
  assert.equal(informer.synced, false);
  informer.start();
  await watched.inStep();
  assert.equal(informer.synced, true);
  put(server, 'b', 1);
  put(server, 'a', 2);
  server.store.delete(at('b'));
  await watched.inStep();
  assert.deepEqual(watched.told(), ['added a', 'added b', 'updated a', 'deleted b']);
  assert.deepEqual(informer.byIndex('byValue', '2').map(keyOf), ['shop/a']);
  assert.deepEqual(informer.byIndex('byValue', '1'), []);
  assert.equal(informer.get('shop/a')?.kind, 'ConfigMap');
});

test('a large kind comes in pages', async (t) => {
  const watched = await startWatched(t, { pageSize: 10 });
  for (let index = 0; index < 35; index++) put(watched.server, `n${index}`);
  await started(watched);
  assert.equal(watched.server.requests.filter(({ verb }) => verb === 'list').length, 4);
  assert.equal(watched.informer.list('shop').length, 35);
  assert.equal(watched.informer.list('elsewhere').length, 0);
});

test('of a kind that is read as metadata alone nothing else enters the process', async (t) => {
  const watched = await startWatched(t, { selection: { metadataOnly: true } });
  const { server, informer } = watched;
  put(server, 'a', 1);
  await started(watched);
  put(server, 'b', 2);
  await watched.inStep();
  for (const object of informer.list()) {
    assert.deepEqual(Object.keys(object).toSorted(), ['apiVersion', 'kind', 'metadata']);
    assert.equal(object.kind, 'ConfigMap');
  }
});

test('a watch that the server asks to wait with waits', async (t) => {
  const watched = await startWatched(t);
  const { server, clock } = watched;
  const fault = { do: 'status', status: 429, retryAfterSeconds: 20 } as const;
  server.faults.add({ verb: 'watch' }, fault, 1);
  const startMs = clock.monotonicMs();
  await started(watched);
  assert.ok(clock.monotonicMs() - startMs >= 20_000);
});

test('what the cache holds can not be changed by who reads it', async (t) => {
  const watched = await startWatched(t);
  put(watched.server, 'a', 1);
  await started(watched);
  const held = watched.informer.get('shop/a') as { data: { value: number } } & UntypedObject;
  assert.throws(() => {
    held.data.value = 2;
  }, TypeError);
});

test('all streams reset at once: none is missed, and the way back is jittered', async (t) => {
  const watched = await startWatched(t);
  const { server, clock } = watched;
  put(server, 'a');
  put(server, 'b');
  await started(watched);
  const startMs = clock.monotonicMs();
  server.watchers.reset();
  await turns();
  server.store.delete(at('a'));
  put(server, 'c');
  await watched.inStep();
  assert.deepEqual(watched.told(), ['deleted a', 'added c']);
  const tookMs = clock.monotonicMs() - startMs;
  assert.ok(tookMs >= 800 && tookMs <= 30_000, String(tookMs));
  assert.equal(
    await watched.metric('etl_operator_informer_relists_total', {
      kind: 'configmaps',
      reason: 'expired',
    }),
    0,
  );
});

test('410 as HTTP: listed anew, and what vanished meanwhile is told as deleted', async (t) => {
  const watched = await startWatched(t);
  const { server } = watched;
  put(server, 'a');
  put(server, 'b');
  await started(watched);
  server.watchers.reset();
  await turns();
  server.store.delete(at('a'));
  server.store.compact();
  await watched.inStep();
  assert.deepEqual(watched.told(), ['deleted a']);
  assert.equal(
    await watched.metric('etl_operator_informer_relists_total', {
      kind: 'configmaps',
      reason: 'expired',
    }),
    1,
  );
});

test('410 in the stream: listed anew', async (t) => {
  const watched = await startWatched(t);
  const { server } = watched;
  put(server, 'a');
  server.faults.add({ verb: 'watch' }, { do: 'stream-error', status: 410, afterEvents: 0 }, 1);
  watched.informer.start();
  const lists = (): number => server.requests.filter(({ verb }) => verb === 'list').length;
  await watched.until(() => lists() === 2 && server.watchers.count === 1, 'the second list', 100);
  put(server, 'b');
  await watched.inStep();
});

test('410 after a long absence: listed anew within the pause that was under way, and not after another one', async (t) => {
  const watched = await startWatched(t);
  const { server, clock, until } = watched;
  await started(watched);
  const back = server.faults.add({ verb: ['watch', 'list'] }, { do: 'reset' });
  server.watchers.reset();
  const endMs = clock.monotonicMs() + 300_000;
  await until(() => clock.monotonicMs() > endMs, 'the absence', 500);
  put(server, 'later');
  server.store.compact();
  back();
  const backAtMs = clock.monotonicMs();
  await watched.inStep();
  assert.ok(clock.monotonicMs() - backAtMs < 40_000, `${clock.monotonicMs() - backAtMs} ms`);
});

test('a list that is always too old is asked for again after a pause, not without end', async (t) => {
  const watched = await startWatched(t);
  const { server, clock, until } = watched;
  await started(watched);
  server.watchers.reset();
  await turns();
  put(server, 'a');
  server.store.compact();
  const back = server.faults.add({ verb: 'list' }, { do: 'status', status: 410 });
  const endMs = clock.monotonicMs() + 120_000;
  await until(() => clock.monotonicMs() > endMs, 'two minutes', 500);
  const metric = 'etl_operator_informer_relists_total';
  const lists = (await watched.metric(metric, { kind: 'configmaps', reason: 'expired' })) ?? 0;
  assert.ok(lists >= 10 && lists <= 40, `${lists} lists`);
  back();
  await watched.inStep();
});

test('410 in the middle of a paged list: begun again', async (t) => {
  const watched = await startWatched(t, { pageSize: 2 });
  const { server, informer } = watched;
  for (const name of ['a', 'b', 'c']) put(server, name);
  let release: (() => void) | undefined;
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  server.faults.add({ verb: 'list' }, { do: 'hold', until }, 1);
  informer.start();
  await turns();
  server.store.compact();
  release?.();
  await watched.inStep();
  assert.equal(informer.list().length, 3);
  assert.ok(server.requests.some(({ verb, status }) => verb === 'list' && status === 410));
});

test('another error in the stream ends the stream, not the watching', async (t) => {
  const watched = await startWatched(t);
  watched.server.faults.add(
    { verb: 'watch' },
    { do: 'stream-error', status: 500, afterEvents: 0 },
    1,
  );
  await started(watched);
  put(watched.server, 'a');
  await watched.inStep();
  assert.equal(watched.server.requests.filter(({ verb }) => verb === 'list').length, 1);
});

test('a stream whose connection died without a word is ended within its time and half a minute', async (t) => {
  const watched = await startWatched(t);
  const { server, clock } = watched;
  await started(watched);
  server.watchers.freeze();
  put(server, 'a');
  const startMs = clock.monotonicMs();
  await watched.inStep(1000);
  const tookMs = clock.monotonicMs() - startMs;
  assert.ok(tookMs >= 240_000 && tookMs <= 392_000 + 30_000, String(tookMs));
});

test('a watch that is never answered ends at its deadline', async (t) => {
  const watched = await startWatched(t);
  watched.server.faults.add({ verb: 'watch' }, { do: 'hang' }, 1);
  await started(watched);
});

test('bookmarks carry the version: a quiet kind survives compaction', async (t) => {
  const watched = await startWatched(t);
  const { server } = watched;
  await started(watched);
  server.store.create(
    { collection: '/api/v1/pods', namespace: 'shop', name: 'other' },
    objectOf(configMaps, 'other') as never,
  );
  server.watchers.bookmark(server.store.version);
  await turns();
  server.store.compact();
  server.watchers.end();
  await watched.until(
    () =>
      server.requests.filter(({ verb }) => verb === 'watch').length === 2 &&
      server.watchers.count === 1,
    'the next watch',
    100,
  );
  assert.equal(server.requests.filter(({ verb }) => verb === 'list').length, 1);
  assert.equal(server.requests.at(-1)?.status, 200);
});

test('deleted and created anew in a gap: told as deleted and added, by uid', async (t) => {
  const watched = await startWatched(t);
  const { server } = watched;
  put(server, 'a', 1);
  await started(watched);
  const first = watched.informer.get('shop/a')?.metadata.uid;
  server.watchers.reset();
  await turns();
  server.store.delete(at('a'));
  put(server, 'a', 2);
  server.store.compact();
  await watched.inStep();
  assert.deepEqual(watched.told(), ['deleted a', 'added a']);
  assert.notEqual(watched.informer.get('shop/a')?.metadata.uid, first);
});

test('a server that refuses is asked less and less often, and its health is told', async (t) => {
  const watched = await startWatched(t);
  const { server, informer, clock } = watched;
  const end = server.faults.add({}, { do: 'status', status: 403 });
  informer.start();
  for (let second = 0; second < 600; second++) {
    clock.advance(1000);
    await turns(3);
  }
  assert.ok(server.received >= 55 && server.received <= 75, String(server.received));
  assert.match(String(informer.failure), /403/);
  end();
  await watched.inStep(1000);
  assert.equal(informer.failure, undefined);
});

test('a change that no watch told is found by the next comparison, counted, and put right', async (t) => {
  let warnedMs = 0;
  const logger = createRelayLogger('warn', () => {
    warnedMs = watched.clock.monotonicMs();
  });
  const watched = await startWatched(t, { logger });
  const { server, clock } = watched;
  put(server, 'a', 1);
  await started(watched);
  const publish = server.store.onChange;
  server.store.onChange = () => undefined;
  put(server, 'a', 2);
  put(server, 'lost', 1);
  server.store.onChange = publish;
  // Watches of the server end and begin within the ten minutes; they must not find the gap by themselves.
  const since = server.store.since.bind(server.store);
  server.store.since = (version) =>
    since(version).filter(({ after }) => after.metadata.name !== 'lost');
  await watched.inStep(1000);
  assert.ok(
    warnedMs > 0 && clock.monotonicMs() - warnedMs < 20_000,
    'at once, not when the watch ends',
  );
  assert.equal(
    await watched.metric('etl_operator_informer_cache_miss_total', { kind: 'configmaps' }),
    1,
  );
  assert.equal(
    await watched.metric('etl_operator_informer_relists_total', {
      kind: 'configmaps',
      reason: 'check',
    }),
    1,
  );
});

test('a listener that throws costs no other listener and no later change', async (t) => {
  const watched = await startWatched(t);
  watched.informer.listen(() => {
    throw new Error('defect');
  });
  await started(watched);
  put(watched.server, 'a');
  await watched.inStep();
  assert.deepEqual(watched.told(), ['added a']);
});

test('what can not be listed in time is an error that says why', async (t) => {
  const watched = await startWatched(t);
  watched.server.faults.add({ verb: 'list' }, { do: 'status', status: 403 });
  watched.informer.start();
  let failure = '';
  watched.informer.whenSynced(120_000).catch((error: unknown) => {
    failure = String(error);
  });
  await watched.until(() => failure !== '', 'the timeout', 1000);
  assert.match(failure, /configmaps could not be listed within 120000 ms.*403/);
});

for (const fault of [{ do: 'reset' }, { do: 'hang' }, { do: 'status', status: 503 }] as const) {
  test(`a server that is away at the start is waited for: ${fault.do}`, async (t) => {
    const watched = await startWatched(t);
    const { server, clock, until } = watched;
    put(server, 'a');
    const back = server.faults.add({ verb: ['list', 'watch'] }, fault);
    watched.informer.start();
    let end = '';
    watched.informer.whenSynced(120_000).then(
      () => {
        end = 'synced';
      },
      (error: unknown) => {
        end = String(error);
      },
    );
    const endMs = clock.monotonicMs() + 600_000;
    await until(() => clock.monotonicMs() > endMs, 'ten minutes', 1000);
    assert.equal(end, '');
    back();
    await until(() => end !== '', 'the end', 1000);
    assert.equal(end, 'synced');
  });
}

type Step =
  | { readonly do: 'put'; readonly name: string; readonly value: number }
  | { readonly do: 'delete'; readonly name: string }
  | { readonly do: 'fault'; readonly fault: Fault; readonly verb: 'list' | 'watch' }
  | {
      readonly do: 'compact' | 'reset' | 'end' | 'freeze' | 'hold' | 'release' | 'reorder';
    }
  | { readonly do: 'pass'; readonly ms: number };

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const faults: fc.Arbitrary<Fault> = fc.oneof(
  fc.constantFrom<Fault>(
    { do: 'reset' },
    { do: 'hang' },
    { do: 'half-open' },
    { do: 'reset-after' },
  ),
  fc
    .constantFrom(410, 429, 500, 504)
    .map((status): Fault => ({ do: 'status', status, retryAfterSeconds: 1 })),
  fc.nat(2).map((afterEvents): Fault => ({ do: 'cut', afterEvents })),
  fc
    .tuple(fc.constantFrom(410, 500), fc.nat(2))
    .map(([status, afterEvents]): Fault => ({ do: 'stream-error', status, afterEvents })),
);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('put' as const), name: names, value: fc.nat(9) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), name: names }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fault' as const),
      fault: faults,
      verb: fc.constantFrom('list' as const, 'watch' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'compact' as const,
        'reset' as const,
        'end' as const,
        'freeze' as const,
        'hold' as const,
        'release' as const,
        'reorder' as const,
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(10, 1000, 60_000),
    }),
  },
);

test('after any script of changes and faults the copy is what the server has, and what was told adds up to it', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 5, maxLength: 40 }), async (script) => {
      const cleanups: (() => unknown)[] = [];
      const scope = {
        after: (run: () => unknown) => cleanups.unshift(run),
      } as unknown as TestContext;
      try {
        const watched = await startWatched(scope, { pageSize: 2 });
        watched.informer.start();
        for (const step of script) await take(watched, step);
        watched.server.faults.clear();
        watched.server.watchers.release();
        await watched.inStep(1000);
        assert.deepEqual(
          foldedOf(watched.changes),
          watched.informer.list().map(identity).toSorted(),
        );
      } finally {
        for (const run of cleanups) await run();
      }
    }),
    { numRuns: 60 },
  );
  t.diagnostic('60 scripts');
});

async function take(watched: Watched, step: Step): Promise<void> {
  const { server, clock } = watched;
  switch (step.do) {
    case 'put':
      put(server, step.name, step.value);
      break;
    case 'delete':
      if (server.store.find(at(step.name)) !== undefined) server.store.delete(at(step.name));
      break;
    case 'fault':
      server.faults.add({ verb: step.verb }, step.fault, 1);
      break;
    case 'compact':
      server.store.compact();
      break;
    case 'release':
      server.watchers.release();
      break;
    case 'reorder':
      server.watchers.release({ reorder: true });
      break;
    case 'pass':
      clock.advance(step.ms);
      break;
    case 'reset':
    case 'end':
    case 'freeze':
    case 'hold':
      server.watchers[step.do]();
  }
  await turns(5);
}

const identity = ({ metadata }: UntypedObject): string =>
  `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`;

/** What one knows who only listened. */
function foldedOf(changes: readonly ObjectChange<UntypedObject>[]): string[] {
  const known = new Map<string, UntypedObject>();
  for (const { type, object } of changes) {
    const held = known.get(keyOf(object));
    if (type === 'added') assert.equal(held, undefined, 'added twice');
    else assert.equal(held?.metadata.uid, object.metadata.uid, `${type}, and not known`);
    if (type === 'deleted') known.delete(keyOf(object));
    else known.set(keyOf(object), object);
  }
  return [...known.values()].map(identity).toSorted();
}
