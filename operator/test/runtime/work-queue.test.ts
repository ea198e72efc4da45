import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, seededRandom } from '@etl-router/core';
import fc from 'fast-check';
import { resyncPriority, userPriority, WorkQueue } from '../../src/runtime/work-queue.ts';
import { turns } from './harness.ts';

function start(): { readonly clock: ManualClock; readonly queue: WorkQueue } {
  const clock = new ManualClock();
  return { clock, queue: new WorkQueue({ name: 'test', clock, random: seededRandom(1) }) };
}

test('a key that is added five times waits once', async () => {
  const { queue } = start();
  for (let time = 0; time < 5; time++) queue.add('a');
  assert.equal(queue.depth, 1);
  assert.equal(await queue.take(), 'a');
  assert.equal(queue.depth, 0);
});

test('a key is never worked on by two, and what came meanwhile is done once more', async () => {
  const { queue } = start();
  queue.add('a');
  assert.equal(await queue.take(), 'a');
  queue.add('a');
  queue.add('a');
  assert.equal(queue.depth, 0);
  queue.done('a');
  assert.equal(queue.depth, 1);
  assert.equal(await queue.take(), 'a');
  queue.done('a');
  assert.equal(queue.depth, 0);
});

test('what a user changed goes before what a list brought up', async () => {
  const { queue } = start();
  queue.add('old', resyncPriority);
  queue.add('older', resyncPriority);
  queue.add('new', userPriority);
  queue.add('older', userPriority);
  const order = [await queue.take(), await queue.take(), await queue.take()];
  assert.deepEqual(order, ['new', 'older', 'old']);
});

test('of two times the earlier one holds', async () => {
  const { clock, queue } = start();
  queue.addAfter('a', 5000);
  queue.addAfter('a', 1000);
  queue.addAfter('a', 9000);
  clock.advance(999);
  assert.equal(queue.depth, 0);
  clock.advance(1);
  assert.equal(queue.depth, 1);
  await queue.take();
  queue.done('a');
  clock.advance(10_000);
  assert.equal(queue.depth, 0);
});

test('failures wait from 5 ms to 1,000 s, each key for itself, until one succeeds', async () => {
  const { clock, queue } = start();
  const waits: number[] = [];
  for (let failure = 0; failure < 25; failure++) {
    const startMs = clock.monotonicMs();
    queue.addRateLimited('bad');
    while (queue.depth === 0) clock.advance(1 + Math.floor((clock.monotonicMs() - startMs) / 20));
    waits.push(clock.monotonicMs() - startMs);
    await queue.take();
    queue.done('bad');
  }
  assert.ok((waits[0] as number) <= 6, String(waits[0]));
  assert.ok((waits[10] as number) >= 5120 && (waits[10] as number) < 6200, String(waits[10]));
  assert.ok(Math.max(...waits) <= 1_060_000, String(waits));
  assert.ok((waits[24] as number) >= 1_000_000);
  assert.equal(queue.failures('good'), 0);
  queue.forget('bad');
  queue.addRateLimited('bad');
  clock.advance(6);
  assert.equal(queue.depth, 1);
});

test('a closed queue hands out nothing, and tells when the last work is done', async () => {
  const { clock, queue } = start();
  queue.add('a');
  queue.add('b');
  queue.addAfter('c', 10);
  await queue.take();
  queue.close();
  assert.equal(await queue.take(), undefined);
  queue.add('d');
  clock.advance(100);
  assert.equal(queue.depth, 0);
  assert.equal(clock.pending, 0);
  let idle = false;
  void queue.idle().then(() => {
    idle = true;
  });
  await turns(2);
  assert.equal(idle, false);
  queue.done('a');
  await turns(2);
  assert.equal(idle, true);
});

test('who waits for a key gets the first one that comes', async () => {
  const { queue } = start();
  const taken = [queue.take(), queue.take()];
  queue.add('a');
  queue.add('b');
  assert.deepEqual(await Promise.all(taken), ['a', 'b']);
});

/** The same rules, with lists that are searched. */
class NaiveQueue {
  waiting: { key: string; priority: number; order: number }[] = [];
  working: string[] = [];
  again: { key: string; priority: number }[] = [];
  later: { key: string; atMs: number; priority: number }[] = [];
  #order = 0;

  add(key: string, priority: number): void {
    if (this.working.includes(key)) {
      const known = this.again.find((entry) => entry.key === key);
      if (known === undefined) this.again.push({ key, priority });
      else known.priority = Math.max(known.priority, priority);
      return;
    }
    const known = this.waiting.find((entry) => entry.key === key);
    if (known === undefined) this.waiting.push({ key, priority, order: this.#order++ });
    else if (priority > known.priority) Object.assign(known, { priority, order: this.#order++ });
  }

  addAfter(key: string, atMs: number, priority: number): void {
    const known = this.later.find((entry) => entry.key === key);
    if (known !== undefined && known.atMs <= atMs) return;
    this.later = [...this.later.filter((entry) => entry.key !== key), { key, atMs, priority }];
  }

  take(): string | undefined {
    const [next] = this.waiting.toSorted((a, b) => b.priority - a.priority || a.order - b.order);
    if (next === undefined) return undefined;
    this.waiting = this.waiting.filter((entry) => entry !== next);
    this.working.push(next.key);
    return next.key;
  }

  done(key: string): void {
    this.working = this.working.filter((other) => other !== key);
    const again = this.again.find((entry) => entry.key === key);
    this.again = this.again.filter((entry) => entry !== again);
    if (again !== undefined) this.add(key, again.priority);
  }

  advanceTo(nowMs: number): void {
    const due = this.later.filter(({ atMs }) => atMs <= nowMs).toSorted((a, b) => a.atMs - b.atMs);
    this.later = this.later.filter((entry) => !due.includes(entry));
    for (const { key, priority } of due) this.add(key, priority);
  }
}

const keys = fc.constantFrom('a', 'b', 'c', 'd');
const priorities = fc.constantFrom(userPriority, resyncPriority);
const steps = fc.oneof(
  fc.record({ do: fc.constant('add' as const), key: keys, priority: priorities }),
  fc.record({
    do: fc.constant('after' as const),
    key: keys,
    delayMs: fc.integer({ min: 1, max: 50 }),
    priority: priorities,
  }),
  fc.record({ do: fc.constant('take' as const) }),
  fc.record({ do: fc.constant('done' as const), key: keys }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.nat(30) }),
);

test('the queue does what a naive one does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 60 }), async (script) => {
      const { clock, queue } = start();
      const naive = new NaiveQueue();
      for (const step of script) {
        if (step.do === 'add') {
          queue.add(step.key, step.priority);
          naive.add(step.key, step.priority);
        } else if (step.do === 'after') {
          queue.addAfter(step.key, step.delayMs, step.priority);
          naive.addAfter(step.key, clock.monotonicMs() + step.delayMs, step.priority);
        } else if (step.do === 'take') {
          assert.equal(queue.depth, naive.waiting.length);
          if (queue.depth > 0) assert.equal(await queue.take(), naive.take());
        } else if (step.do === 'done') {
          queue.done(step.key);
          naive.done(step.key);
        } else {
          clock.advance(step.ms);
          naive.advanceTo(clock.monotonicMs());
        }
        assert.equal(queue.depth, naive.waiting.length);
        assert.equal(queue.working, naive.working.length);
      }
    }),
    { numRuns: 300 },
  );
});
