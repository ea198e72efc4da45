// What a leader does: makes entries, sends them, counts who holds them, confirms reads, hands leadership over
// (thesis 3.5, 3.10, 4, 6.4). It counts itself as any other member: by an answer that leaves once its disk has it.

import { assert, EtlError } from '@etl-router/core';
import type { Entry, EntryType } from '../storage/log-types.ts';
import { maxAppendEntries } from './check-message.ts';
import { isJoint, isVoter } from './configuration.ts';
import type { CoreState } from './core-state.ts';
import type { MessageOf } from './messages.ts';
import type { Progress } from './progress.ts';
import { committedIndex, majorityIndex, voteResult } from './quorum.ts';

const noData: Uint8Array = new Uint8Array(0);

export function becomeLeader(state: CoreState): void {
  assert(state.role === 'candidate', 'only a candidate becomes leader');
  assert(state.reads.count === 0, 'reads end with the leadership that they came under');
  state.reset(state.term);
  state.role = 'leader';
  state.leader = state.id;
  state.trackMembers();
  // What is not applied may hold a change of members; none is proposed until all of it is.
  state.pendingConfiguration = state.log.lastIndex;
  // Entries of former terms are committed by one of this term only (thesis 3.6.2).
  appendOwn(state, [{ type: 'normal', data: noData }]);
  broadcastAppend(state);
}

/** Adds entries of this term and promises itself to hold them. Returns the index of the last. */
export function appendOwn(
  state: CoreState,
  payloads: readonly { readonly type: EntryType; readonly data: Uint8Array }[],
): number {
  const { log, term, id } = state;
  const low = log.lastIndex + 1;
  const entries = payloads.map(
    ({ type, data }, at): Entry => ({ index: low + at, term, type, data }),
  );
  log.append(entries);
  state.uncommittedBytes += bytesOf(entries);
  const index = low + entries.length - 1;
  state.promise(id, {
    type: 'appendEntriesReply',
    rejected: false,
    index,
    hintIndex: 0,
    hintTerm: 0,
  });
  return index;
}

export function broadcastAppend(state: CoreState): void {
  for (const id of state.progress.keys()) if (id !== state.id) sendEntries(state, id);
}

/** Sends what a member may be sent now and does not have: entries as long as its window is open. */
export function sendEntries(state: CoreState, to: number): void {
  const progress = state.progress.get(to);
  while (progress !== undefined && !progress.isBlocked && hasNews(state, progress))
    if (!sendAppend(state, to, progress)) return;
}

/** A probe asks; whoever replicates is sent entries, and told once of a commit that can not wait for more of them. */
function hasNews({ log, tellTo }: CoreState, { state, next, told }: Progress): boolean {
  return state !== 'replicate' || next <= log.lastIndex || told < tellTo;
}

/** Whether someone does not know how far the log is committed who could be told. */
export function owesCommit({ progress, id, commit }: CoreState): boolean {
  for (const [member, each] of progress) {
    const isIdle = each.state === 'replicate' && !each.isBlocked;
    if (member !== id && isIdle && each.told < commit) return true;
  }
  return false;
}

/** Tells now how far the log is committed. */
export function tellCommit(state: CoreState): void {
  state.tellTo = state.commit;
  broadcastCommit(state);
}

/** One append, or the wish for a snapshot where the entries are released. False: nothing was sent. */
function sendAppend(state: CoreState, to: number, progress: Progress): boolean {
  const { log, commit } = state;
  const previousIndex = progress.next - 1;
  const previousTerm = log.term(previousIndex);
  if (previousTerm === undefined) return wishSnapshot(state, to, progress);
  const end = Math.min(log.lastIndex, previousIndex + maxAppendEntries) + 1;
  const entries = log.entries(progress.next, end, state.maxAppendBytes);
  progress.told = commit;
  state.send(to, {
    type: 'appendEntries',
    previousIndex,
    previousTerm,
    entries,
    commitIndex: commit,
  });
  progress.sent(entries.length, previousIndex + entries.length, bytesOf(entries));
  return true;
}

function wishSnapshot(state: CoreState, to: number, progress: Progress): boolean {
  // A member that does not answer would not take it either.
  if (!progress.isActive) return false;
  const { snapshot } = state.log;
  assert(snapshot.index >= progress.next - 1, 'what is released is in the snapshot');
  progress.toSnapshot(snapshot.index);
  state.wishSnapshot(to, snapshot);
  return true;
}

export function broadcastHeartbeat(state: CoreState): void {
  const readContext = state.reads.round;
  for (const id of state.progress.keys()) {
    if (id === state.id) continue;
    const commitIndex = Math.min(state.commit, state.matchOf(id));
    state.send(id, { type: 'heartbeat', commitIndex, readContext });
  }
}

/** Replies, and what a follower asks. */
export function stepAsLeader(
  state: CoreState,
  message: MessageOf<'appendEntriesReply'> | MessageOf<'heartbeatReply'> | MessageOf<'readIndex'>,
): void {
  const progress = state.progress.get(message.from);
  if (progress === undefined) return;
  progress.isActive = true;
  switch (message.type) {
    case 'appendEntriesReply':
      return message.rejected
        ? onRefused(state, message, progress)
        : onTaken(state, message, progress);
    case 'heartbeatReply':
      progress.isPaused = false;
      if (progress.match < state.log.lastIndex) remind(state, message.from, progress);
      handOverWhenDue(state, message.from, progress);
      state.reads.confirm(message.from, message.readContext);
      return grantReads(state);
    case 'readIndex':
      return askRead(state, message.from, message.context);
  }
}

/**
 * A member that answers heartbeats and lacks entries is sent something even if its window is full, or everything is on
 * its way: if that was lost, the refusal tells.
 */
function remind(state: CoreState, to: number, progress: Progress): void {
  const { next } = progress;
  sendEntries(state, to);
  if (progress.state !== 'replicate' || progress.next > next) return;
  const previousIndex = next - 1;
  const previousTerm = state.log.term(previousIndex);
  if (previousTerm === undefined) {
    // What it could be asked about is released by now: only a snapshot helps if everything on its way was lost.
    progress.toProbe();
    return sendEntries(state, to);
  }
  const commitIndex = state.commit;
  state.send(to, { type: 'appendEntries', previousIndex, previousTerm, entries: [], commitIndex });
}

function onRefused(
  state: CoreState,
  { from, index, hintIndex, hintTerm }: MessageOf<'appendEntriesReply'>,
  progress: Progress,
): void {
  // The hint skips what can not agree: entries here of a later term than the follower has there.
  const hint = hintTerm > 0 ? state.log.lastWithTermAtMost(hintIndex, hintTerm).index : hintIndex;
  if (!progress.refused(index, hint)) return;
  if (progress.state === 'replicate') progress.toProbe();
  sendEntries(state, from);
}

function onTaken(
  state: CoreState,
  { from, index }: MessageOf<'appendEntriesReply'>,
  progress: Progress,
): void {
  if (index > state.log.lastIndex) return;
  const isNews = progress.accepted(index);
  if (from === state.id) return advanceCommit(state);
  if (!isNews && !(progress.match === index && progress.state === 'probe')) return;
  if (progress.state === 'probe') progress.toReplicate();
  else if (progress.state === 'snapshot') {
    if (progress.match + 1 >= state.log.firstIndex) {
      progress.toProbe();
      progress.toReplicate();
    }
  } else {
    progress.inflights.freeTo(index);
  }
  advanceCommit(state);
  sendEntries(state, from);
  handOverWhenDue(state, from, progress);
}

/**
 * Tells the member that leadership is handed to once it has everything; again with each heartbeat, as the word may be
 * lost, or come while it has changes of members to apply and may not campaign.
 */
function handOverWhenDue(state: CoreState, from: number, { match }: Progress): void {
  if (from === state.transferee && match === state.log.lastIndex)
    state.send(from, { type: 'timeoutNow' });
}

/** Commits what a quorum holds, if it is of this term, and tells everyone. */
export function advanceCommit(state: CoreState): void {
  const { log, configuration, term, commit } = state;
  const index = committedIndex(configuration, (id) => state.matchOf(id));
  if (index <= commit || log.term(index) !== term) return;
  const isFirst = log.term(commit) !== term;
  releaseBytes(state, commit, index);
  state.commitTo(index);
  if (isFirst) {
    for (const { from, context } of state.reads.takePostponed()) askRead(state, from, context);
  }
  // Whoever does not know of a change of members may not campaign, or asks those of old for their votes.
  const isChange = commit < state.pendingConfiguration && state.pendingConfiguration <= index;
  if (isChange || !state.tellsCommitsLater) tellCommit(state);
}

/** An empty append tells those who have everything; the others learn it with their next entries. */
function broadcastCommit(state: CoreState): void {
  for (const id of state.progress.keys()) {
    const progress = state.progress.get(id);
    if (id === state.id || progress === undefined || progress.isBlocked) continue;
    sendEntries(state, id);
  }
}

function releaseBytes(state: CoreState, from: number, to: number): void {
  if (state.uncommittedBytes === 0) return;
  for (let low = from + 1; low <= to; ) {
    const entries = state.log.entries(low, to + 1, state.maxAppendBytes);
    const own = entries.filter(({ term }) => term === state.term);
    state.uncommittedBytes -= bytesOf(own);
    low += entries.length;
  }
}

/** Takes a read of this member or of a follower. */
export function askRead(state: CoreState, from: number, context: number): void {
  const { configuration, commit, log } = state;
  if (log.term(commit) !== state.term) return tryRead(state, from, context, true);
  if (
    configuration.voters.length === 1 &&
    !isJoint(configuration) &&
    isVoter(configuration, state.id)
  )
    return state.grantRead(from, context, commit);
  tryRead(state, from, context, false);
}

/** One round of heartbeats for all reads that came since the last. */
export function announceReads(state: CoreState): void {
  if (!state.reads.announce()) return;
  state.reads.confirm(state.id, state.reads.round);
  broadcastHeartbeat(state);
  // Nobody else may be left to confirm them.
  grantReads(state);
}

function tryRead(state: CoreState, from: number, context: number, postpone: boolean): void {
  try {
    if (postpone) state.reads.postpone(from, context);
    else state.reads.add(from, context, state.commit);
  } catch (error) {
    if (from === state.id || !(error instanceof EtlError)) throw error;
    state.refuseRead(from, context);
  }
}

/** Grants what a quorum of the members as they are has confirmed. */
export function grantReads(state: CoreState): void {
  const { reads, configuration } = state;
  const byQuorum = (voters: readonly number[]): number =>
    majorityIndex(voters, (id) => reads.confirmedBy(id));
  const round = Math.min(byQuorum(configuration.voters), byQuorum(configuration.outgoing));
  for (const { from, context, index } of reads.takeTo(round)) state.grantRead(from, context, index);
}

/** Steps down unless a quorum was heard of since the last call (thesis 6.2). */
export function checkQuorum(state: CoreState): void {
  const { configuration, progress, id } = state;
  const result = voteResult(configuration, (member) =>
    member === id ? true : progress.get(member)?.isActive === true,
  );
  if (result !== 'won') return state.becomeFollower(state.term, 0);
  for (const [member, each] of progress) {
    if (member === id) continue;
    each.wasActive = each.isActive;
    each.isActive = false;
  }
}

/** Hands leadership to a voter: at once when it has everything, else when it has caught up. */
export function transferTo(state: CoreState, to: number): void {
  const progress = state.progress.get(to);
  if (progress === undefined || !isVoter(state.configuration, to) || to === state.id) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `member ${to} is no other voter of the cluster`);
  }
  if (state.transferee === to) return;
  state.transferee = to;
  state.electionElapsed = 0;
  if (progress.match === state.log.lastIndex) state.send(to, { type: 'timeoutNow' });
  else sendEntries(state, to);
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const { data } of entries) bytes += data.length;
  return bytes;
}
