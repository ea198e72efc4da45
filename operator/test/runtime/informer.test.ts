// What a cache says of itself while the server refuses to show its kind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRelayLogger } from '@etl-router/core';
import { keyOf } from '../../src/runtime/kube-object.ts';
import { turns } from './harness.ts';
import { put, started, startWatched } from './watched.ts';

test('a right that is missing is told once, with where and what, also after another failure; so is its return', async (t) => {
  const said: string[] = [];
  const logger = createRelayLogger('info', (line) => said.push(line));
  const watched = await startWatched(t, { logger, selection: { namespace: 'shop' } });
  const { server, informer, clock } = watched;
  put(server, 'a');
  await started(watched);
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1000);
      await turns(3);
    }
  };
  const match = { verb: ['list', 'watch'] } as const;
  for (let round = 0; round < 2; round++) {
    const answered = server.faults.add(match, { do: 'status', status: 503 });
    server.watchers.reset();
    await pass(30);
    answered();
    const granted = server.faults.add(match, { do: 'status', status: 403 });
    await pass(60);
    assert.equal(informer.served, false);
    assert.deepEqual(informer.list().map(keyOf), ['shop/a'], 'what was known is still held');
    granted();
    await watched.until(() => informer.served, 'the return', 1000);
    const [away, missing, back, ...more] = said.splice(0);
    assert.match(String(away), /"namespace":"shop".*not in step/);
    assert.match(
      String(missing),
      /"namespace":"shop","missing":"list and watch of configmaps".*403/,
    );
    assert.match(String(back), /"namespace":"shop".*in step with the server again/);
    assert.deepEqual(more, []);
  }
  assert.deepEqual(watched.told(), []);
});

test('one that may be refused counts as synced then, and as listed and served only once it is', async (t) => {
  for (const mayBeRefused of [true, false]) {
    const watched = await startWatched(t, { mayBeRefused });
    const { server, informer } = watched;
    const granted = server.faults.add({ verb: 'list' }, { do: 'status', status: 403 });
    informer.start();
    let isSynced = false;
    const synced = informer.whenSynced(120_000).then(() => {
      isSynced = true;
    });
    await watched.until(() => informer.failure !== undefined, 'the refusal');
    await turns();
    assert.deepEqual([isSynced, informer.synced], [mayBeRefused, mayBeRefused]);
    assert.deepEqual([informer.listed, informer.served], [false, false]);
    granted();
    await watched.until(() => informer.served, 'the return');
    await synced;
    assert.deepEqual([informer.synced, informer.listed], [true, true]);
  }
});
