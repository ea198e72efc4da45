// What no run may break, checked over all members at once (the names are those of etcd's TLA+ model).

import { assert } from '@etl-router/core';
import type { Member } from './member.ts';

export class Invariants {
  /** Who led each term. */
  readonly #leaders = new Map<number, number>();
  /** The vote of each member in each term, over restarts. */
  readonly #votes = new Map<string, number>();
  /** What was committed at each index: its term and data. */
  readonly #committed = new Map<number, string>();
  /** Of each member as it runs: the term and commit index seen last. */
  readonly #seen = new WeakMap<object, { readonly term: number; readonly commit: number }>();

  check(members: readonly Member[]): void {
    const running = members.filter(({ isDown }) => !isDown);
    for (const member of running) {
      this.#checkTerm(member);
      this.#checkCommitted(member);
    }
    this.#checkDurable(running);
  }

  /** ElectionSafetyInv; terms and commit indexes never fall; one vote a term. */
  #checkTerm({ id, raft, log }: Member): void {
    const { term, vote, role, applied, commitIndex, lastIndex } = raft.status();
    if (role === 'leader') {
      const known = this.#leaders.get(term) ?? id;
      assert(known === id, `members ${known} and ${id} both lead term ${term}`);
      this.#leaders.set(term, id);
    }
    const key = `${id} ${term}`;
    const votedBefore = this.#votes.get(key) ?? 0;
    // A vote that was not durable may be forgotten in a crash; one that was told never is.
    const { hardState } = log;
    if (log.durable === log.count && hardState.term === term && hardState.vote !== 0) {
      assert(votedBefore === 0 || votedBefore === vote, `member ${id} voted twice in term ${term}`);
      this.#votes.set(key, hardState.vote);
    }
    assert(applied <= commitIndex && commitIndex <= lastIndex, `member ${id}: applied, committed`);
    const seen = this.#seen.get(raft) ?? { term: 0, commit: 0 };
    assert(term >= seen.term, `the term of member ${id} fell`);
    assert(commitIndex >= seen.commit, `the commit index of member ${id} fell`);
    this.#seen.set(raft, { term, commit: commitIndex });
  }

  /** LogInv, and with it the state machine safety: what is committed at an index is the same everywhere, for ever. */
  #checkCommitted({ id, raft, log }: Member): void {
    const { commitIndex } = raft.status();
    const low = log.firstIndex;
    const high = Math.min(commitIndex, log.lastIndex) + 1;
    if (low >= high) return;
    for (const { index, term, data } of log.entries(low, high, Number.MAX_SAFE_INTEGER)) {
      const text = `${term} ${Buffer.from(data).toString()}`;
      const known = this.#committed.get(index);
      assert(
        known === undefined || known === text,
        `entry ${index} of member ${id} is ${text}, but ${known} was committed`,
      );
      this.#committed.set(index, text);
    }
  }

  /** LeaderCompletenessInv: the leader of the latest term holds everything committed. LogMatchingInv among the others. */
  #checkDurable(running: readonly Member[]): void {
    const leaders = running.filter(({ raft }) => raft.role === 'leader');
    const latest = leaders.toSorted((a, b) => b.raft.status().term - a.raft.status().term)[0];
    if (latest !== undefined) this.#checkComplete(latest);
    for (const one of running) {
      for (const other of running) if (one.id < other.id) checkMatching(one, other);
    }
  }

  #checkComplete({ id, raft }: Member): void {
    const isLatest = [...this.#leaders.keys()].every((term) => term <= raft.status().term);
    if (!isLatest) return;
    for (const index of this.#committed.keys())
      assert(index <= raft.status().lastIndex, `leader ${id} lacks committed entry ${index}`);
  }
}

/** Where two logs have an entry of one index and term, they agree up to there. */
function checkMatching(one: Member, other: Member): void {
  const low = Math.max(one.log.firstIndex, other.log.firstIndex);
  const last = Math.min(one.log.lastIndex, other.log.lastIndex);
  let isMatched = false;
  for (let index = last; index >= low; index--) {
    const isEqual = one.log.term(index) === other.log.term(index);
    assert(!isMatched || isEqual, `members ${one.id} and ${other.id} part before entry ${index}`);
    isMatched ||= isEqual;
  }
}
