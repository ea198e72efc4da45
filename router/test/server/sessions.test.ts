import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, source } from './harness.ts';

test('a session that falls silent expires, and one that is used does not', async () => {
  const world = createWorld();
  const { sessions, objects } = world.router;
  const silent = await sessions.open('etlctl', 30_000);
  const used = await sessions.open('etlctl', 30_000);
  for (let round = 0; round < 5; round++) {
    await world.clock.advanceAsync(10_000, 1000);
    const request = { ...used, requestId: `r${round}` };
    await objects.apply(source(`s${round}`, { file: { path: 'a' } }), { request });
  }
  await assert.rejects(sessions.keep(silent.sessionId), { code: 'ETL_NOT_FOUND' });
  await sessions.keep(used.sessionId);
  await sessions.end(used.sessionId);
  await sessions.end(used.sessionId);
  await world.router.close();
});

test('who leads anew expires nothing for the time in which nobody led', async () => {
  const world = createWorld();
  const { sessionId } = await world.router.sessions.open('etlctl', 30_000);
  await world.router.follow();
  await world.clock.advanceAsync(600_000, 60_000);
  world.router.lead();
  await world.clock.advanceAsync(20_000, 1000);
  await world.router.sessions.keep(sessionId);
  await world.clock.advanceAsync(45_000, 1000);
  await assert.rejects(world.router.sessions.keep(sessionId), { code: 'ETL_NOT_FOUND' });
  await world.router.close();
});

test('the shared session comes back after it expired', async () => {
  const world = createWorld();
  const { objects } = world.router;
  const apply = (requestId: string) =>
    objects.apply(source('in', { file: { path: requestId } }), { request: { requestId } });
  await apply('a');
  await world.clock.advanceAsync(25 * 60 * 60 * 1000, 60_000);
  assert.equal(world.host.tables.sessions.size, 0);
  await apply('b');
  assert.equal(world.host.tables.sessions.size, 1);
  await world.router.close();
});

test('a removal in a session that is gone says so: nothing was removed', async () => {
  const world = createWorld();
  const { registry, sidecars, groups } = world.router;
  const request = { sessionId: 'gone', requestId: 'r1' };
  const lost = { code: 'ETL_NOT_FOUND', details: { what: 'session', id: 'gone' } };
  const { length } = world.consensus.entries;
  await assert.rejects(registry.deregister({ serviceId: 'shop/a' }, { request }), lost);
  await assert.rejects(sidecars.deregister('shop/a', 0, { request }), lost);
  await assert.rejects(groups.leave('workers', 'a', { request }), lost);
  assert.equal(world.consensus.entries.length, length + 3);
  await registry.deregister({ serviceId: 'shop/a' });
  await sidecars.deregister('shop/a');
  await groups.leave('workers', 'a');
  await world.router.close();
});
