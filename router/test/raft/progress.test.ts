import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Progress } from '../../src/raft/progress.ts';

const limits = { maxMessages: 4, maxBytes: 1000 };

/** A follower whose log agrees with the leader's up to `agreed`, and answers honestly but late. */
interface Answer {
  readonly isTaken: boolean;
  readonly index: number;
  readonly hint: number;
}

const action = fc.constantFrom(
  'send',
  'answer',
  'answer',
  'answer late',
  'lose',
  'heartbeat',
  'unreachable',
  'snapshot',
  'snapshot failed',
  'snapshot arrived',
);

test('whatever is sent, lost and answered late, match is true and next lies behind it', () => {
  const lastIndex = 30;
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: lastIndex }),
      fc.integer({ min: 1, max: lastIndex + 1 }),
      fc.array(action, { maxLength: 120 }),
      (agreedAtFirst, next, actions) => {
        const progress = new Progress(next, limits);
        let agreed = agreedAtFirst;
        const wire: { previous: number; count: number }[] = [];
        const answers: Answer[] = [];
        const takeAnswer = ({ isTaken, index, hint }: Answer): void => {
          const before = progress.match;
          if (!isTaken) {
            if (progress.refused(index, hint) && progress.state === 'replicate') progress.toProbe();
          } else if (progress.accepted(index)) {
            if (progress.state === 'probe') progress.toReplicate();
            else if (progress.state === 'replicate') progress.inflights.freeTo(index);
          }
          equal(progress.match >= before, true, 'match never falls');
        };
        for (const each of actions) {
          const message = wire[0];
          if (each === 'send' && !progress.isBlocked) {
            const previous = progress.next - 1;
            const count = Math.min(3, lastIndex - previous);
            progress.sent(count, previous + count, count * 10);
            wire.push({ previous, count });
          } else if (each === 'lose') wire.shift();
          else if (each === 'answer' && message !== undefined) {
            wire.shift();
            const { previous, count } = message;
            const isTaken = previous <= agreed;
            if (isTaken) agreed = Math.max(agreed, previous + count);
            const index = isTaken ? previous + count : previous;
            answers.push({ isTaken, index, hint: agreed });
            if (answers.length > 3) takeAnswer(answers.splice(1, 1)[0] as Answer);
          } else if (each === 'answer late') {
            const answer = answers.pop();
            if (answer !== undefined) takeAnswer(answer);
          } else if (each === 'heartbeat') progress.isPaused = false;
          else if (each === 'unreachable' && progress.state === 'replicate') progress.toProbe();
          else if (each === 'snapshot' && progress.state === 'probe')
            progress.toSnapshot(Math.max(progress.match, progress.next - 1));
          else if (each === 'snapshot failed' && progress.state === 'snapshot')
            progress.snapshotFailed();
          else if (each === 'snapshot arrived' && progress.state === 'snapshot') {
            agreed = Math.max(agreed, progress.pendingSnapshot);
            progress.toProbe();
          }
          equal(progress.match <= agreed, true, 'match is held there');
          equal(progress.next > progress.match, true, 'next lies behind match');
          equal(progress.next <= lastIndex + 1, true, 'next is in the log or right behind it');
          if (progress.state !== 'replicate') equal(progress.inflights.count, 0);
          if (progress.state !== 'snapshot') equal(progress.pendingSnapshot, 0);
        }
      },
    ),
    { numRuns: 1500 },
  );
});

test('a probe is sent once, until an answer or a heartbeat', () => {
  const progress = new Progress(5, limits);
  equal(progress.isBlocked, false);
  progress.sent(2, 6, 10);
  equal(progress.isBlocked, true);
  equal(progress.next, 5);
  equal(progress.accepted(6), true);
  equal(progress.isBlocked, false);
});

test('appends to one that replicates advance next until the window is full', () => {
  const progress = new Progress(1, limits);
  progress.accepted(1);
  progress.toReplicate();
  for (let at = 2; at <= 5; at++) progress.sent(1, at, 10);
  equal(progress.isBlocked, true);
  equal(progress.next, 6);
  progress.inflights.freeTo(2);
  equal(progress.isBlocked, false);
});

test('nothing is sent while a snapshot is on its way; arrived, the next entry is behind it', () => {
  const progress = new Progress(1, limits);
  progress.toSnapshot(8);
  equal(progress.isBlocked, true);
  throws(() => progress.sent(1, 9, 1), /snapshot is on its way/);
  progress.toProbe();
  deepEqual([progress.state, progress.next, progress.pendingSnapshot], ['probe', 9, 0]);
});

test('a snapshot that failed leaves the next entry where it was known to be', () => {
  const progress = new Progress(1, limits);
  progress.accepted(3);
  progress.toSnapshot(8);
  progress.snapshotFailed();
  deepEqual([progress.state, progress.next], ['probe', 4]);
});

test('a refusal of what is known to be held, or of an older probe, changes nothing', () => {
  const probing = new Progress(8, limits);
  equal(probing.refused(5, 2), false);
  equal(probing.next, 8);
  const replicating = new Progress(1, limits);
  replicating.accepted(6);
  replicating.toReplicate();
  equal(replicating.refused(6, 2), false);
  equal(replicating.refused(4, 2), false);
  equal(replicating.next, 7);
});

test('a refusal moves the probe to the hint, never in front of what is held', () => {
  const progress = new Progress(20, limits);
  equal(progress.refused(19, 9), true);
  equal(progress.next, 10);
  progress.accepted(7);
  equal(progress.refused(9, 2), true);
  equal(progress.next, 8);
});
