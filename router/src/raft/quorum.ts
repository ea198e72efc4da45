// What a set of voters agrees on. A joint configuration needs both of its halves (thesis 4.3); a half without voters
// agrees with everything.

import type { Configuration } from './configuration.ts';

/** `pending`: neither is certain yet. */
export type VoteResult = 'won' | 'lost' | 'pending';

/** The highest index that a majority of `voters` holds; infinite without voters. */
export function majorityIndex(voters: readonly number[], matchOf: (id: number) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  // Counted for each, not sorted: there are few voters, and this runs for every answer to an append.
  const needed = majorityOf(voters.length);
  let best = 0;
  for (const id of voters) {
    const index = matchOf(id);
    if (index <= best) continue;
    let holders = 0;
    for (const other of voters) if (matchOf(other) >= index) holders++;
    if (holders >= needed) best = index;
  }
  return best;
}

/** The highest index that is committed by counting. */
export function committedIndex(
  { voters, outgoing }: Pick<Configuration, 'voters' | 'outgoing'>,
  matchOf: (id: number) => number,
): number {
  return Math.min(majorityIndex(voters, matchOf), majorityIndex(outgoing, matchOf));
}

/** How a vote stands among `voters`; `votes` holds what is known, undefined where nothing is. */
export function majorityVote(
  voters: readonly number[],
  votes: (id: number) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  const needed = majorityOf(voters.length);
  const yes = voters.filter((id) => votes(id) === true).length;
  if (yes >= needed) return 'won';
  const open = voters.filter((id) => votes(id) === undefined).length;
  return yes + open >= needed ? 'pending' : 'lost';
}

/** Won only in both halves, lost as soon as one of them lost it. */
export function voteResult(
  { voters, outgoing }: Pick<Configuration, 'voters' | 'outgoing'>,
  votes: (id: number) => boolean | undefined,
): VoteResult {
  const halves = [majorityVote(voters, votes), majorityVote(outgoing, votes)];
  if (halves.includes('lost')) return 'lost';
  return halves.includes('pending') ? 'pending' : 'won';
}

function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}
