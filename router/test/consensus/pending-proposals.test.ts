import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toEtlError } from '@etl-router/core';
import { outcomeOf } from '../../src/consensus/outcome.ts';
import { PendingProposals } from '../../src/consensus/pending-proposals.ts';

const bounds = { maxCount: 10, maxBytes: 1000 };

/** A proposal in the log at that place, and what became of it. */
function placed(
  pending: PendingProposals,
  index: number,
  term: number,
): { readonly outcome: () => string | undefined } {
  let outcome: string | undefined;
  void pending.add(Buffer.from('command'), undefined).then(
    () => {
      outcome = 'answered';
    },
    (error: unknown) => {
      outcome = outcomeOf(toEtlError(error));
    },
  );
  for (const proposal of pending.takeQueued()) pending.place(proposal, { index, term });
  return { outcome: () => outcome };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a proposal is lost once another entry is committed in its place', async () => {
  const pending = new PendingProposals(bounds);
  const first = placed(pending, 5, 1);
  pending.answer({ index: 5, term: 2, result: Buffer.from('other') });
  await settle();
  assert.equal(first.outcome(), 'refused');
});

test('a proposal whose entry was replaced in this log alone may still be committed', async () => {
  const pending = new PendingProposals(bounds);
  const first = placed(pending, 5, 1);
  const second = placed(pending, 5, 4);
  pending.answer({ index: 5, term: 4, result: Buffer.from('second') });
  await settle();
  assert.deepEqual([first.outcome(), second.outcome()], ['unknown', 'answered']);
});

test('who waits is told that nothing is known, some time after leadership was lost', async () => {
  const pending = new PendingProposals(bounds, 3);
  const lost = placed(pending, 5, 1);
  for (const leads of [false, false, true, false, false]) pending.tick(leads);
  await settle();
  assert.equal(lost.outcome(), undefined);
  pending.tick(false);
  await settle();
  assert.equal(lost.outcome(), 'unknown');
  assert.equal(pending.count, 0);
});

test('what a snapshot covers is unknown', async () => {
  const pending = new PendingProposals(bounds);
  const [covered, behind] = [placed(pending, 5, 1), placed(pending, 6, 1)];
  pending.forgetTo(5);
  await settle();
  assert.deepEqual([covered.outcome(), behind.outcome()], ['unknown', undefined]);
});
