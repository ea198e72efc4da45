import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  committedIndex,
  majorityIndex,
  majorityVote,
  type VoteResult,
  voteResult,
} from '../../src/raft/quorum.ts';

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
const indexes = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 10, maxLength: 10 });
const answers = fc.array(fc.constantFrom(true, false, undefined), {
  minLength: 10,
  maxLength: 10,
});
const runs = { numRuns: 2000 };

/** Tries every index: the highest one that more than half of the voters hold. */
function naiveMajorityIndex(voters: readonly number[], match: readonly number[]): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  for (let index = 6; index > 0; index--) {
    const holding = voters.filter((id) => (match[id] as number) >= index);
    if (holding.length > voters.length - holding.length) return index;
  }
  return 0;
}

/** Fills in every way in which those who did not answer still could. */
function naiveVote(
  halves: readonly (readonly number[])[],
  votes: readonly (boolean | undefined)[],
): VoteResult {
  const open = [...new Set(halves.flat())].filter((id) => votes[id] === undefined);
  const outcomes = new Set<boolean>();
  for (let mask = 0; mask < 2 ** open.length; mask++) {
    const says = (id: number): boolean => votes[id] ?? ((mask >> open.indexOf(id)) & 1) === 1;
    outcomes.add(
      halves.every((half) => half.length === 0 || half.filter(says).length * 2 > half.length),
    );
  }
  if (outcomes.size === 2) return 'pending';
  return outcomes.has(true) ? 'won' : 'lost';
}

test('the index of a majority is what counting every index finds', () => {
  fc.assert(
    fc.property(ids, indexes, (voters, match) => {
      equal(
        majorityIndex(voters, (id) => match[id] as number),
        naiveMajorityIndex(voters, match),
      );
    }),
    runs,
  );
});

test('a joint configuration commits what both halves hold', () => {
  fc.assert(
    fc.property(ids, ids, indexes, (voters, outgoing, match) => {
      const expected = Math.min(
        naiveMajorityIndex(voters, match),
        naiveMajorityIndex(outgoing, match),
      );
      equal(
        committedIndex({ voters, outgoing }, (id) => match[id] as number),
        expected,
      );
    }),
    runs,
  );
});

test('a joint configuration of twice the same voters commits as a simple one', () => {
  fc.assert(
    fc.property(ids, indexes, (voters, match) => {
      const matchOf = (id: number): number => match[id] as number;
      equal(
        committedIndex({ voters, outgoing: voters }, matchOf),
        committedIndex({ voters, outgoing: [] }, matchOf),
      );
    }),
    runs,
  );
});

test('the commit index never falls when a member holds more', () => {
  fc.assert(
    fc.property(ids, ids, indexes, fc.nat(9), (voters, outgoing, match, id) => {
      const before = committedIndex({ voters, outgoing }, (at) => match[at] as number);
      const after = committedIndex(
        { voters, outgoing },
        (at) => (match[at] as number) + (at === id ? 3 : 0),
      );
      equal(after >= before, true);
    }),
    runs,
  );
});

test('a vote is decided exactly when no open answer can turn it', () => {
  fc.assert(
    fc.property(ids, answers, (voters, votes) => {
      equal(
        majorityVote(voters, (id) => votes[id]),
        naiveVote([voters], votes),
      );
    }),
    runs,
  );
});

test('a joint vote is won by both halves and lost by either', () => {
  const half = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 5 });
  fc.assert(
    fc.property(half, half, answers, (voters, outgoing, votes) => {
      const result = voteResult({ voters, outgoing }, (id) => votes[id]);
      const expected = naiveVote([voters, outgoing], votes);
      // Halves that share members may be undecidable apart and impossible together; only then it waits for longer.
      if (result === 'pending') equal(expected === 'won', false);
      else equal(result, expected);
    }),
    runs,
  );
});

test('two quorums of one configuration share a member', () => {
  fc.assert(
    fc.property(ids, answers, (voters, votes) => {
      fc.pre(voters.length > 0);
      const isWon = majorityVote(voters, (id) => votes[id] === true) === 'won';
      const isWonByTheRest = majorityVote(voters, (id) => votes[id] !== true) === 'won';
      equal(isWon && isWonByTheRest, false);
    }),
    runs,
  );
});
