// The six properties of a watch (ordered, unique, atomic, reliable, resumable, bookmarkable) as one claim that is
// stronger than each: whoever folds the answers of any streams, at any members, in one pass after the other, holds after
// each answer exactly what a list gave at the revision of that answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RegisteredService, ServiceFilter } from '../../src/server/service-view.ts';
import type { ServiceEvents } from '../../src/server/service-watch.ts';
import { StateHost } from '../../src/server/state-host.ts';
import { createWorld, settle, type World } from './harness.ts';

const names = ['a', 'b', 'c'];
const filters: readonly ServiceFilter[] = [
  {},
  { labels: { tier: 'gold' } },
  { includeUnhealthy: false },
  { name: 'a' },
  { groupId: 'g' },
];

type Step =
  | {
      readonly do: 'register';
      readonly name: string;
      readonly tier: string;
      readonly group: string;
    }
  | { readonly do: 'health'; readonly name: string; readonly health: 'healthy' | 'unhealthy' }
  | { readonly do: 'deregister' | 'join' | 'leave'; readonly name: string }
  | { readonly do: 'share'; readonly partitions: string[] }
  | { readonly do: 'replicate' | 'snapshot' | 'move' | 'read' };

const name = fc.constantFrom(...names);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('register' as const),
      name,
      tier: fc.constantFrom('gold', 'tin'),
      group: fc.constantFrom('', 'g'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('health' as const),
      name,
      health: fc.constantFrom('healthy' as const, 'unhealthy' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('deregister' as const, 'join' as const, 'leave' as const),
      name,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('share' as const),
      partitions: fc.subarray(['0', '1', '2', '3'], { minLength: 1 }),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ do: 'read' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('replicate' as const, 'snapshot' as const, 'move' as const),
    }),
  },
);

/** What a watcher can see of a service: not when it was last heard of, which each member knows for itself. */
function visible(service: RegisteredService): object {
  const { lastHeartbeatAtMs: _, ...shown } = service;
  return { ...shown, labels: { ...service.labels } };
}

/** A leader, a follower that has what was replicated to it, and what each revision listed. */
class TwoMembers {
  readonly leader: World = createWorld();
  readonly #followerHost = new StateHost();
  readonly follower: World = createWorld({ host: this.#followerHost });
  readonly #listed: {
    readonly revision: number;
    readonly services: readonly RegisteredService[];
  }[] = [];
  #replicated = 0;

  constructor() {
    const { feed } = this.leader.host;
    feed.on('services', () => this.#list());
    feed.on('groups', () => this.#list());
    this.#list();
  }

  /** What a list gave at that revision. */
  listedAt(revision: number): readonly RegisteredService[] {
    const last = this.#listed.findLast((one) => one.revision <= revision);
    assert.ok(last !== undefined, `revision ${revision} was there`);
    return last.services;
  }

  async act(step: Step): Promise<void> {
    const { registry, groups } = this.leader.router;
    if (step.do === 'register') await registry.register(info(step));
    else if (step.do === 'deregister') await registry.deregister({ serviceId: `s/${step.name}` });
    else if (step.do === 'share')
      await groups.assignPartitions({ groupId: 'g', partitions: step.partitions });
    else if (step.do === 'join')
      await groups.join({ groupId: 'g', memberId: `s/${step.name}`, stage: 'in' });
    else if (step.do === 'leave') await groups.leave('g', `s/${step.name}`);
    else if (step.do === 'health') {
      const found = registry.get(`s/${step.name}`);
      if (found === undefined) return;
      const { serviceId, registrationId } = found;
      await registry.heartbeat({ serviceId, registrationId, health: step.health });
    } else if (step.do === 'replicate') this.replicate();
    else if (step.do === 'snapshot') this.#install();
  }

  replicate(): void {
    const { entries } = this.leader.consensus;
    for (; this.#replicated < entries.length; this.#replicated++)
      this.#followerHost.apply(entries[this.#replicated] as Uint8Array);
  }

  #install(): void {
    this.#followerHost.restore(Array.from(this.leader.host.rows()));
    this.#replicated = this.leader.consensus.entries.length;
  }

  #list(): void {
    const { registry, revision } = this.leader.router;
    this.#listed.push({ revision, services: registry.list() });
  }

  async close(): Promise<void> {
    await Promise.all([this.leader.router.close(), this.follower.router.close()]);
  }
}

function info(step: Extract<Step, { do: 'register' }>) {
  return {
    serviceId: `s/${step.name}`,
    namespace: 's',
    name: step.name,
    type: 'source' as const,
    endpoint: { host: 'localhost', port: 1, tls: false },
    labels: { tier: step.tier },
    groupId: step.group,
    leaseTtlMs: 10_000,
  };
}

/** Folds answers, and compares after each. */
class Watcher {
  readonly #filter: ServiceFilter;
  readonly #members: TwoMembers;
  readonly #known = new Map<string, RegisteredService>();
  #revision: number | undefined;
  #stop = new AbortController();
  #stream: AsyncGenerator<ServiceEvents, void, void> | undefined;
  #pending: Promise<void> | undefined;
  #isAtLeader = true;
  #failure: unknown;

  constructor(members: TwoMembers, filter: ServiceFilter) {
    this.#members = members;
    this.#filter = filter;
  }

  /** Goes on at the other member, which has caught up with what the watcher has seen, as a barrier sees to. */
  async move(): Promise<void> {
    await this.end();
    this.#isAtLeader = !this.#isAtLeader;
    if (!this.#isAtLeader) this.#members.replicate();
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#pending;
    this.#stop = new AbortController();
    this.#stream = undefined;
    this.#pending = undefined;
  }

  /** Takes the next answer, when there is one; waits for it in the background otherwise. */
  async read(): Promise<void> {
    this.#pending ??= this.#take();
    await settle();
    assert.ifError(this.#failure);
  }

  async #take(): Promise<void> {
    const { signal } = this.#stop;
    const at = this.#isAtLeader ? this.#members.leader : this.#members.follower;
    const from = this.#revision === undefined ? {} : { afterRevision: this.#revision };
    this.#stream ??= at.router.registry.watch(this.#filter, { ...from, signal });
    const { value } = await this.#stream.next();
    this.#pending = undefined;
    try {
      if (value !== undefined) this.#fold(value);
    } catch (error) {
      this.#failure = error;
    }
  }

  #fold({ revision, events }: ServiceEvents): void {
    const before = this.#revision ?? -1;
    const begins = events[0]?.kind === 'reset' || events.at(-1)?.kind === 'synced';
    assert.ok(begins || revision > before, `${revision} comes after ${before}`);
    this.#revision = revision;
    for (const event of events) {
      if (event.kind === 'reset') this.#known.clear();
      else if (event.kind === 'removed') {
        assert.ok(this.#known.delete(event.service.serviceId), 'what is removed was known');
      } else if (event.kind !== 'synced') {
        const known = this.#known.get(event.service.serviceId);
        if (event.kind !== 'added') assert.ok(known !== undefined, `${event.kind}: it was known`);
        assert.notDeepEqual(known, visible(event.service), 'an event changes something');
        this.#known.set(event.service.serviceId, visible(event.service) as RegisteredService);
      }
    }
    this.#compare(revision);
  }

  #compare(revision: number): void {
    const { labels, includeUnhealthy, name: wanted, groupId } = this.#filter;
    const expected = this.#members
      .listedAt(revision)
      .filter(
        (service) =>
          (labels === undefined || service.labels['tier'] === labels['tier']) &&
          (includeUnhealthy !== false || service.health === 'healthy') &&
          (wanted === undefined || service.name === wanted) &&
          (groupId === undefined || service.groupId === groupId),
      )
      .map(visible);
    const held = Array.from(this.#known.values()).sort((a, b) =>
      a.serviceId < b.serviceId ? -1 : 1,
    );
    assert.deepEqual(held, expected);
  }
}

test('what a watcher folded is what was listed at the revision of each answer, wherever it reads on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.constantFrom(...filters),
      async (steps, filter) => {
        const members = new TwoMembers();
        const watcher = new Watcher(members, filter);
        for (const one of steps) {
          await members.act(one);
          if (one.do === 'read') await watcher.read();
          if (one.do === 'move') await watcher.move();
        }
        await members.act({ do: 'replicate' });
        await watcher.read();
        await watcher.end();
        await members.close();
      },
    ),
    { numRuns: 300 },
  );
});

test('a watcher that comes back from a revision of another history begins anew', async () => {
  const world = createWorld();
  await world.router.registry.register(
    info({ do: 'register', name: 'a', tier: 'gold', group: '' }),
  );
  const { signal } = new AbortController();
  const stream = world.router.registry.watch({}, { afterRevision: 1_000_000, signal });
  const { value } = await stream.next();
  assert.deepEqual(
    value?.events.map(({ kind }) => kind),
    ['reset', 'added', 'synced'],
  );
  await world.router.close();
});

test('a snapshot that takes the place of the state lets watchers begin anew', async () => {
  const members = new TwoMembers();
  const { signal } = new AbortController();
  const stream = members.follower.router.registry.watch({}, { signal });
  await stream.next();
  await members.act({ do: 'register', name: 'a', tier: 'gold', group: '' });
  await members.act({ do: 'snapshot' });
  const { value } = await stream.next();
  assert.deepEqual(
    value?.events.map(({ kind }) => kind),
    ['reset', 'added', 'synced'],
  );
  await members.close();
});
