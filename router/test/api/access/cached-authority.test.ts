import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, ManualClock } from '@etl-router/core';
import type { Authority, Caller, Verb } from '../../../src/api/access/access.ts';
import {
  believedAwayMs,
  CachedAuthority,
  keptYesMs,
  questionsMax,
  refreshedYesMs,
  rememberedMax,
  rememberedNoMs,
  rememberedYesMs,
} from '../../../src/api/access/cached-authority.ts';

const ann: Caller = { name: 'ann', uid: 'u1', groups: ['staff'], extra: {} };

class CountingAuthority implements Authority {
  asked = 0;
  isAway = false;
  failure: Error | undefined;
  #paused: PromiseWithResolvers<void> | undefined;
  readonly tokens = new Map<string, Caller>([['good', ann]]);
  readonly rights = new Set<string>(['ann get']);

  async authenticate(token: string): Promise<Caller | undefined> {
    await this.#answer();
    return this.tokens.get(token);
  }

  async allows({ name }: Caller, verb: Verb): Promise<boolean> {
    await this.#answer();
    return this.rights.has(`${name} ${verb}`);
  }

  /** Answers nothing until it goes on. */
  pause(): void {
    this.#paused = Promise.withResolvers();
  }

  goOn(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  async #answer(): Promise<void> {
    this.asked++;
    await this.#paused?.promise;
    if (this.failure !== undefined) throw this.failure;
    if (this.isAway) throw new EtlError('ETL_UNAVAILABLE', 'away', { retryable: true });
  }
}

function create() {
  const clock = new ManualClock();
  const authority = new CountingAuthority();
  return { clock, authority, cached: new CachedAuthority(authority, clock) };
}

test('a yes counts for a minute, and is asked again after it', async () => {
  const { clock, authority, cached } = create();
  for (let count = 0; count < 5; count++) assert.deepEqual(await cached.authenticate('good'), ann);
  assert.equal(authority.asked, 1);
  authority.tokens.clear();
  clock.advance(rememberedYesMs - 1);
  assert.deepEqual(await cached.authenticate('good'), ann);
  clock.advance(1);
  assert.equal(await cached.authenticate('good'), undefined);
});

test('a no is forgotten within seconds: who was just allowed does not wait a minute', async () => {
  const { clock, authority, cached } = create();
  assert.equal(await cached.allows(ann, 'update'), false);
  authority.rights.add('ann update');
  clock.advance(rememberedNoMs - 1);
  assert.equal(await cached.allows(ann, 'update'), false);
  clock.advance(1);
  assert.equal(await cached.allows(ann, 'update'), true);
});

test('rights are of a caller and a verb: groups and verbs are not mixed up', async () => {
  const { authority, cached } = create();
  assert.equal(await cached.allows(ann, 'get'), true);
  assert.equal(await cached.allows(ann, 'update'), false);
  await cached.allows({ ...ann, groups: ['staff', 'admins'] }, 'get');
  await cached.allows({ ...ann, uid: 'u2' }, 'get');
  assert.equal(authority.asked, 4);
});

test('many who ask the same at once are one question', async () => {
  const { authority, cached } = create();
  const asked = Array.from({ length: 50 }, () => cached.authenticate('good'));
  assert.equal(
    (await Promise.all(asked)).every((caller) => caller === ann),
    true,
  );
  assert.equal(authority.asked, 1);
});

const settled = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

test('who comes often is asked about ahead of time, and never waits for it', async () => {
  const { clock, authority, cached } = create();
  await cached.authenticate('good');
  for (let minute = 0; minute < 5; minute++) {
    clock.advance(refreshedYesMs);
    authority.pause();
    assert.deepEqual(await cached.authenticate('good'), ann);
    assert.deepEqual(await cached.authenticate('good'), ann);
    authority.goOn();
    await settled();
    assert.equal(authority.asked, 2 + minute);
  }
});

test('a no that is found ahead of time counts at once', async () => {
  const { clock, authority, cached } = create();
  await cached.authenticate('good');
  authority.tokens.clear();
  clock.advance(refreshedYesMs);
  await cached.authenticate('good');
  await settled();
  assert.equal(await cached.authenticate('good'), undefined);
});

test('while an authority is away who was known comes in, for some minutes, and nobody else', async () => {
  const { clock, authority, cached } = create();
  await cached.authenticate('good');
  authority.isAway = true;
  const beganMs = clock.monotonicMs();
  const ageMs = (): number => clock.monotonicMs() - beganMs;
  for (clock.advance(refreshedYesMs); ageMs() < keptYesMs; clock.advance(10_000)) {
    assert.deepEqual(await cached.authenticate('good'), ann, `after ${ageMs()} ms`);
    await assert.rejects(cached.authenticate('other'), { code: 'ETL_UNAVAILABLE' });
    await settled();
  }
  await assert.rejects(cached.authenticate('good'), { code: 'ETL_UNAVAILABLE' });
  authority.isAway = false;
  assert.equal(await cached.authenticate('other'), undefined);
  assert.deepEqual(await cached.authenticate('good'), ann);
});

test('an authority that hangs keeps nobody waiting who comes often, and is asked now and then', async () => {
  const { clock, authority, cached } = create();
  await cached.authenticate('good');
  authority.isAway = true;
  clock.advance(refreshedYesMs);
  for (let second = 0; second < 60; second++) {
    authority.pause();
    assert.deepEqual(await cached.authenticate('good'), ann);
    authority.goOn();
    await settled();
    clock.advance(1000);
  }
  assert.equal(authority.asked, 1 + 12);
});

test('who was known and comes seldom waits for the answer once the authority is back', async () => {
  const { clock, authority, cached } = create();
  await cached.authenticate('good');
  authority.isAway = true;
  clock.advance(rememberedYesMs);
  assert.deepEqual(await cached.authenticate('good'), ann);
  authority.isAway = false;
  authority.tokens.clear();
  clock.advance(believedAwayMs);
  assert.equal(await cached.authenticate('good'), undefined);
});

test('an authority that fails in another way is no reason to believe what it said', async () => {
  const { clock, authority, cached } = create();
  await cached.authenticate('good');
  authority.failure = new Error('a defect');
  clock.advance(rememberedYesMs);
  await assert.rejects(cached.authenticate('good'), /a defect/);
  authority.failure = undefined;
  authority.isAway = true;
  await assert.rejects(cached.authenticate('good'), { code: 'ETL_UNAVAILABLE' });
});

test('tokens that nobody knows do not fill the memory, and push nobody out of it', async () => {
  const { authority, cached } = create();
  await cached.authenticate('good');
  for (let count = 0; count <= rememberedMax; count++) await cached.authenticate(`bad-${count}`);
  const { asked } = authority;
  await cached.authenticate(`bad-${rememberedMax}`);
  await cached.authenticate('good');
  assert.equal(authority.asked, asked);
  await cached.authenticate('bad-0');
  assert.equal(authority.asked, asked + 1);
});

test('a flood of tokens waits for some answers at a time; who is known goes through', async () => {
  const { authority, cached } = create();
  await cached.authenticate('good');
  const flood = Array.from({ length: questionsMax + 5 }, (_, at) =>
    cached.authenticate(`bad-${at}`),
  );
  assert.deepEqual(await cached.authenticate('good'), ann);
  const outcomes = await Promise.allSettled(flood);
  const refused = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  assert.deepEqual(
    refused.map(({ reason }) => (reason as EtlError).code),
    Array(5).fill('ETL_UNAVAILABLE'),
  );
  assert.equal(authority.asked, 1 + questionsMax);
});
