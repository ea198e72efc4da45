import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, ManualClock } from '@etl-router/core';
import fc from 'fast-check';
import { ReadBook } from '../../../src/raft/thread/read-book.ts';

interface Question {
  readonly answer: (index: number) => void;
  readonly refuse: (error: EtlError) => void;
}

function openBook(): { book: ReadBook; clock: ManualClock; questions: Question[] } {
  const clock = new ManualClock();
  const questions: Question[] = [];
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      questions.push({ answer: resolve, refuse: reject });
    });
  return { book: new ReadBook({ clock, ask }), clock, questions };
}

/** Everything that is due without a clock. */
const settle = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

test('the reads of a turn share one question', async () => {
  const { book, questions } = openBook();
  const reads = [book.wait(undefined), book.wait(undefined), book.wait(undefined)];
  await settle();
  assert.equal(questions.length, 1);
  questions[0]?.answer(7);
  assert.deepEqual(await Promise.all(reads), [7, 7, 7]);
});

test('a read that comes while a question is under way waits for the next one', async () => {
  const { book, questions } = openBook();
  const first = book.wait(undefined);
  await settle();
  const later = [book.wait(undefined), book.wait(undefined)];
  await settle();
  assert.equal(questions.length, 1);
  questions[0]?.answer(7);
  assert.equal(await first, 7);
  await settle();
  assert.equal(questions.length, 2, 'it leaves once the first is answered');
  questions[1]?.answer(9);
  assert.deepEqual(await Promise.all(later), [9, 9]);
  assert.equal(questions.length, 2, 'nobody waits any more');
});

test('a question that is not answered holds back the next one for 20 ms, and answers its own reads alone', async () => {
  const { book, clock, questions } = openBook();
  const first = book.wait(undefined);
  await settle();
  clock.advance(5);
  const second = book.wait(undefined);
  clock.advance(14);
  await settle();
  assert.equal(questions.length, 1);
  clock.advance(1);
  await settle();
  assert.equal(questions.length, 2);
  const third = book.wait(undefined);
  questions[0]?.answer(1);
  assert.equal(await first, 1);
  await settle();
  assert.equal(questions.length, 2, 'the answer to an earlier question lets nothing go');
  questions[1]?.answer(2);
  assert.equal(await second, 2);
  await settle();
  questions[2]?.answer(3);
  assert.equal(await third, 3);
});

test('a question that fails fails its reads, and those behind it ask again', async () => {
  const { book, questions } = openBook();
  const first = book.wait(undefined);
  await settle();
  const second = book.wait(undefined);
  questions[0]?.refuse(new EtlError('ETL_UNAVAILABLE', 'no quorum'));
  await assert.rejects(first, { code: 'ETL_UNAVAILABLE', message: /no quorum/ });
  await settle();
  questions[1]?.answer(4);
  assert.equal(await second, 4);
});

test('a reader that leaves is told at once, and takes nobody along', async () => {
  const { book, questions } = openBook();
  const caller = new AbortController();
  const [leaves, stays] = [book.wait(caller.signal), book.wait(new AbortController().signal)];
  await settle();
  caller.abort(new Error('enough'));
  await assert.rejects(leaves, { code: 'ETL_CANCELLED' });
  questions[0]?.answer(3);
  assert.equal(await stays, 3);
});

test('no read takes the answer to a question that left before it came', async () => {
  const step = fc.oneof(
    fc.record({ act: fc.constant('read' as const) }),
    fc.record({ act: fc.constant('answer' as const), which: fc.nat(5) }),
    fc.record({ act: fc.constant('pass' as const), ms: fc.nat(30) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { book, clock, questions } = openBook();
      const open = new Map<number, Question>();
      const reads: Promise<void>[] = [];
      let asked = 0;
      const look = async (): Promise<void> => {
        await settle();
        for (; asked < questions.length; asked++) open.set(asked, questions[asked] as Question);
      };
      for (const next of steps) {
        if (next.act === 'read') {
          const before = questions.length;
          reads.push(book.wait(undefined).then((index) => assert(index >= before)));
        } else if (next.act === 'pass') clock.advance(next.ms);
        else answer([...open.keys()][next.which]);
        await look();
      }
      while (open.size > 0) {
        answer([...open.keys()][0]);
        await look();
      }
      await Promise.all(reads);

      /** Each question is answered with its number. */
      function answer(which: number | undefined): void {
        if (which === undefined) return;
        open.get(which)?.answer(which);
        open.delete(which);
      }
    }),
  );
});
