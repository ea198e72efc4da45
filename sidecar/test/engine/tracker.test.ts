import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionFailure, countOfPosition, positionOfCount } from '@etl-router/core';
import fc from 'fast-check';
import { LaneTracker, type Ticket } from '../../src/engine/tracker.ts';

/** The same by single records: which are unresolved, and the longest gapless resolved prefix. */
class NaiveTracker {
  readonly holds: number[] = [];

  add(count: number): number[] {
    const sequences = Array.from({ length: count }, (_, index) => this.holds.length + index);
    for (const sequence of sequences) this.holds[sequence] = 1;
    return sequences;
  }

  get resolved(): number {
    const gap = this.holds.findIndex((holds) => holds > 0);
    return gap < 0 ? this.holds.length : gap;
  }
}

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('add' as const), count: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ kind: fc.constant('hold' as const), which: fc.nat() }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat() }),
  ),
  { maxLength: 300 },
);

test('the position is that of the gapless resolved prefix, whatever order branches resolve in', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const tracker = new LaneTracker();
      const naive = new NaiveTracker();
      const open: { ticket: Ticket; sequences: number[] }[] = [];
      for (const step of script) {
        if (step.kind === 'add') {
          const firstSequence = tracker.nextSequence;
          const sequences = naive.add(step.count);
          const position = positionOfCount(firstSequence + step.count);
          const range = { firstSequence, count: step.count, bytes: step.count * 10, position };
          open.push({ ticket: tracker.add(range), sequences });
        } else if (open.length > 0) {
          const index = step.which % open.length;
          const { ticket, sequences } = open[index] as (typeof open)[number];
          const change = step.kind === 'hold' ? 1 : -1;
          if (step.kind === 'hold') ticket.hold();
          else ticket.release();
          for (const sequence of sequences)
            naive.holds[sequence] = (naive.holds[sequence] ?? 0) + change;
          if (naive.holds[sequences[0] as number] === 0) open.splice(index, 1);
        }
        const position = tracker.position;
        const resolved = position === undefined ? 0 : countOfPosition(position);
        assert.equal(resolved, naive.resolved);
        assert.equal(tracker.records, naive.holds.length - naive.resolved);
        assert.equal(tracker.bytes, tracker.records * 10);
      }
    }),
  );
});

test('resolved ranges are told in order, each once', () => {
  const told: number[] = [];
  const tracker = new LaneTracker(({ firstSequence }) => told.push(firstSequence));
  const tickets = Array.from({ length: 100 }, (_, index) =>
    tracker.add({ firstSequence: index, count: 1, bytes: 1, position: positionOfCount(index + 1) }),
  );
  for (const ticket of tickets.toReversed()) ticket.release();
  assert.deepEqual(
    told,
    Array.from({ length: 100 }, (_, index) => index),
  );
});

test('a lane that ends with records in flight is a bug', () => {
  const tracker = new LaneTracker();
  const ticket = tracker.add({
    firstSequence: 0,
    count: 3,
    bytes: 3,
    position: positionOfCount(3),
  });
  assert.throws(() => tracker.close(), /3 records unresolved from sequence 0/);
  ticket.release();
  tracker.close();
});

test('a gap in sequences, a second release and a hold after the end are bugs', () => {
  const tracker = new LaneTracker();
  const range = { firstSequence: 0, count: 2, bytes: 2, position: positionOfCount(2) };
  const ticket = tracker.add(range);
  assert.throws(() => tracker.add({ ...range, firstSequence: 3 }), AssertionFailure);
  ticket.release();
  assert.throws(() => ticket.release(), AssertionFailure);
  assert.throws(() => ticket.hold(), AssertionFailure);
});
