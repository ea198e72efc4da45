import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sink, SinkLaneState } from '@etl-router/core';
import type { DeadLetterStore } from '../../src/dead-letter/store.ts';
import { LaneTracker, type TrackedRange } from '../../src/engine/tracker.ts';
import { RunSpills } from '../../src/spill/spill-store.ts';
import { type Sabotage, Simulation, type SimulationResult } from './simulation.ts';

async function runSeeds(
  from: number,
  to: number,
  sabotage?: Sabotage,
): Promise<SimulationResult[]> {
  const results: SimulationResult[] = [];
  for (let seed = from; seed <= to; seed++) {
    results.push(await new Simulation(seed, sabotage).run());
  }
  return results;
}

/** A planted bug must be seen within a few hundred seeds. */
async function assertGoesRed(sabotage: Sabotage, message: RegExp): Promise<void> {
  for (let seed = 1; seed <= 300; seed++) {
    try {
      await new Simulation(seed, sabotage).run();
    } catch (error) {
      assert.match(String(error), message);
      return;
    }
  }
  assert.fail('300 seeds did not find the planted bug');
}

/** Replaces one member of a class for the time of one call. */
async function withMember(
  target: object,
  name: string,
  change: (before: PropertyDescriptor) => PropertyDescriptor,
  run: () => Promise<void>,
): Promise<void> {
  const before = Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor;
  Object.defineProperty(target, name, change(before));
  try {
    await run();
  } finally {
    Object.defineProperty(target, name, before);
  }
}

test('nothing is lost, and nothing doubled where that is promised, over 400 seeds of faults and crashes', async () => {
  const results = await runSeeds(1, 400);
  const sum = (of: (result: SimulationResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  assert.ok(sum(({ crashes }) => crashes) > 400, 'processes were killed');
  assert.ok(sum(({ spilled }) => spilled) > 1000, 'records went through the disk');
  assert.ok(sum(({ deadLettered }) => deadLettered) > 1000, 'records were dead-lettered');
  assert.ok(sum(({ duplicates }) => duplicates) > 1000, 'crashes did repeat records');
});

test('a dead letter that counts as stored before it is durable is found', async () => {
  const hasty = (store: DeadLetterStore): DeadLetterStore =>
    new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name !== 'append') return typeof value === 'function' ? value.bind(target) : value;
        return async (...given: Parameters<DeadLetterStore['append']>) => {
          void new Promise((resolve) => setImmediate(resolve))
            .then(() => target.append(...given))
            .catch(() => {});
        };
      },
    });
  await assertGoesRed({ deadLetters: hasty }, /lost/);
});

test('a disk that does not sync is found', async () => {
  await assertGoesRed({ disk: (disk) => (disk.ignoresSync = true) }, /lost|failed/);
});

test('a position committed past an unresolved record is found', async () => {
  const newest = new WeakMap<LaneTracker, Uint8Array>();
  await withMember(
    LaneTracker.prototype,
    'add',
    (before) => ({
      ...before,
      value(this: LaneTracker, range: TrackedRange) {
        newest.set(this, range.position);
        return (before.value as (range: TrackedRange) => unknown).call(this, range);
      },
    }),
    () =>
      withMember(
        LaneTracker.prototype,
        'position',
        (before) => ({
          ...before,
          get(this: LaneTracker) {
            return newest.get(this);
          },
        }),
        () => assertGoesRed({}, /lost/),
      ),
  );
});

test('a spill that is forgotten by a restart is found', async () => {
  await withMember(
    RunSpills.prototype,
    'recover',
    (before) => ({ ...before, value: () => Promise.resolve() }),
    () => assertGoesRed({}, /lost/),
  );
});

test('a sink that does not say what it holds is found', async () => {
  const forgetful = (sink: Sink): Sink =>
    new Proxy(sink, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name !== 'openLane') return typeof value === 'function' ? value.bind(target) : value;
        return async (...given: Parameters<Sink['openLane']>): Promise<SinkLaneState> => {
          await target.openLane(...given);
          return { position: undefined };
        };
      },
    });
  await assertGoesRed({ sink: forgetful }, /lost|doubled|dead letters are left|not completed/);
});
