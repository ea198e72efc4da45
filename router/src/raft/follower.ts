// What a member does with what a leader sends: takes entries that fit, cuts off what conflicts, never below what is
// committed, and attests only what is durable (thesis 3.5).

import { assert } from '@etl-router/core';
import type { LogPosition } from '../storage/log-types.ts';
import type { CoreState } from './core-state.ts';
import type { MessageOf } from './messages.ts';

/** Messages of the leader of the term; anything else was answered before. */
export function stepAsFollower(
  state: CoreState,
  message: MessageOf<'appendEntries'> | MessageOf<'heartbeat'> | MessageOf<'installSnapshot'>,
): void {
  assert(state.role === 'follower', 'only a follower follows');
  state.electionElapsed = 0;
  state.leader = message.from;
  switch (message.type) {
    case 'appendEntries':
      return takeEntries(state, message);
    case 'heartbeat':
      // A commit index above what is here is a leader that misjudges this log; it is not believed.
      state.commitTo(Math.min(message.commitIndex, state.log.lastIndex));
      // It promises nothing but the term that was met, and must not wait for a slow disk.
      return state.send(message.from, {
        type: 'heartbeatReply',
        readContext: message.readContext,
      });
    case 'installSnapshot':
      return installSnapshot(state, message);
  }
}

function takeEntries(state: CoreState, message: MessageOf<'appendEntries'>): void {
  const { log } = state;
  const { from, previousIndex, previousTerm, entries, commitIndex } = message;
  if (contradictsCommitted(state, message)) return;
  if (previousIndex < state.commit) return attest(state, from, state.commit);
  if (log.term(previousIndex) !== previousTerm) {
    const index = Math.min(previousIndex, log.lastIndex);
    const hint = log.lastWithTermAtMost(index, previousTerm);
    return state.promise(from, {
      type: 'appendEntriesReply',
      rejected: true,
      index: previousIndex,
      hintIndex: hint.index,
      hintTerm: hint.term,
    });
  }
  const differs = entries.findIndex(({ index, term }) => log.term(index) !== term);
  if (differs >= 0) log.append(entries.slice(differs));
  const last = previousIndex + entries.length;
  state.commitTo(Math.min(commitIndex, last));
  attest(state, from, last);
}

/** LogInv: a committed entry is never replaced. Whoever asks for it is damaged, or this member is. */
function contradictsCommitted(
  state: CoreState,
  { previousIndex, previousTerm, entries }: MessageOf<'appendEntries'>,
): boolean {
  const { log, commit, leader } = state;
  if (previousIndex > commit) return false;
  // What is released can not be compared.
  const isOther = ({ index, term }: LogPosition): boolean =>
    index <= commit && (log.term(index) ?? term) !== term;
  const previous = { index: previousIndex, term: previousTerm };
  const other = isOther(previous) ? previous : entries.find(isOther);
  if (other === undefined) return false;
  state.alarm(
    'ETL_STORAGE_CORRUPT',
    `member ${leader} leads and wants entry ${other.index} replaced, but entries up to ${commit} are committed; the log of one of the two is damaged: compare them, and replace that member under a new id`,
  );
  return true;
}

function attest(state: CoreState, to: number, index: number): void {
  state.promise(to, {
    type: 'appendEntriesReply',
    rejected: false,
    index,
    hintIndex: 0,
    hintTerm: 0,
  });
}

/** The file is durable. The log goes on behind it unless it has that entry anyway. */
function installSnapshot(state: CoreState, message: MessageOf<'installSnapshot'>): void {
  const { log } = state;
  const { from, index, indexTerm, configuration } = message;
  if (index <= state.commit) return attest(state, from, state.commit);
  if (log.term(index) === indexTerm) {
    // Replicated meanwhile: only the knowledge that it is committed is new.
    state.commitTo(index);
    return attest(state, from, state.commit);
  }
  log.restore({ index, term: indexTerm });
  state.commit = index;
  state.applied = index;
  state.configuration = configuration;
  attest(state, from, index);
}
