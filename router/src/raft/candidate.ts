// Elections: when to campaign, whom to give a vote, and counting (thesis 3.4, 3.6, 9.6). Every campaign but a transfer
// asks first whether it could be won, so that a member that was cut off disturbs nobody when it comes back.

import { assert } from '@etl-router/core';
import { isVoter, membersOf } from './configuration.ts';
import type { CoreState } from './core-state.ts';
import { becomeLeader } from './leader.ts';
import type { MessageOf } from './messages.ts';
import { voteResult } from './quorum.ts';

/** Begins an election, if this member may lead. `transfer`: the leader asked it to. */
export function campaign(state: CoreState, transfer: boolean): void {
  if (state.role === 'leader' || !state.isVoter) return;
  if (hasUnappliedConfiguration(state)) return;
  if (transfer) askForVotes(state, false, true);
  else askForVotes(state, true, false);
}

/** What is committed and not applied may make it no voter, or others voters. */
function hasUnappliedConfiguration({ log, applied, commit }: CoreState): boolean {
  for (let low = Math.max(applied + 1, log.firstIndex); low <= commit; ) {
    const entries = log.entries(low, commit + 1, 1024 * 1024);
    if (entries.some(({ type }) => type === 'configuration')) return true;
    low += entries.length;
  }
  return false;
}

function askForVotes(state: CoreState, preVote: boolean, transfer: boolean): void {
  const { id, log } = state;
  if (preVote) {
    // Neither term nor vote change: it only asks.
    state.role = 'preCandidate';
    state.leader = 0;
    state.votes.clear();
    state.electionElapsed = 0;
    state.drawTimeout();
  } else {
    state.reset(state.term + 1);
    state.role = 'candidate';
    state.vote = id;
  }
  const term = preVote ? state.term + 1 : state.term;
  for (const member of membersOf(state.configuration)) {
    if (!isVoter(state.configuration, member)) continue;
    if (member === id) {
      // Its own vote counts once it is durable; that it would vote for itself is known now.
      if (preVote) countVote(state, id, true);
      else state.promise(id, { type: 'requestVoteReply', preVote, granted: true });
      continue;
    }
    const { lastIndex, lastTerm } = log;
    const body = { type: 'requestVote', preVote, lastIndex, lastTerm, transfer } as const;
    // A vote is given to that log in that term: after a restart without the end of the log, or in the term once more, it
    // would count for another one. Who asks before only asks.
    if (preVote) state.send(member, body, term);
    else state.promise(member, body, term);
  }
}

/**
 * Gives or refuses a vote. The term of the message is at least this member's: step() raised it for a vote, and left it
 * for a pre-vote. Learners vote too: they may be voters and not know it yet.
 */
export function answerVote(state: CoreState, message: MessageOf<'requestVote'>): void {
  const { from, term, preVote, lastIndex, lastTerm } = message;
  const isFree =
    state.vote === from ||
    (state.vote === 0 && state.leader === 0) ||
    (preVote && term > state.term);
  const granted = isFree && state.log.isUpToDate(lastIndex, lastTerm);
  // A pre-vote is answered with the term it asks for; a refusal with the own one, so that the asker catches up.
  const body = { type: 'requestVoteReply', preVote, granted } as const;
  state.promise(from, body, granted ? term : state.term);
  if (!granted || preVote) return;
  state.electionElapsed = 0;
  state.vote = from;
}

/** Counts an answer to what is being asked; answers to anything else are too late. */
export function stepAsCandidate(state: CoreState, message: MessageOf<'requestVoteReply'>): void {
  const { preVote, granted, term } = message;
  const isLate = preVote && granted && term !== state.term + 1;
  const isAsked = preVote === (state.role === 'preCandidate') && !isLate;
  if (!isAsked || !isVoter(state.configuration, message.from)) return;
  countVote(state, message.from, granted);
}

function countVote(state: CoreState, from: number, granted: boolean): void {
  const { votes } = state;
  if (!votes.has(from)) votes.set(from, granted);
  const result = voteResult(state.configuration, (id) => votes.get(id));
  if (result === 'pending') return;
  if (result === 'lost') return state.becomeFollower(state.term, 0);
  if (state.role === 'preCandidate') return askForVotes(state, false, false);
  assert(state.vote === state.id, 'a candidate votes for itself');
  becomeLeader(state);
}
