// What one process says of itself, event after event, held against its past and against the truth.

import type { ConsensusStatus } from '../src/consensus/consensus.ts';
import { type Configuration, noMembers } from '../src/raft/configuration.ts';
import type { RaftNode } from '../src/raft/node.ts';
import type { Entry } from '../src/storage/log-types.ts';
import type { World } from './member.ts';
import { check } from './violation.ts';
import type { WatchedLog } from './watched-log.ts';

/** Proposals that may wait on a member. */
export const maxProposals = 256;

export class Observer {
  readonly #id: number;
  readonly #world: World;
  readonly #log: WatchedLog;
  #node: RaftNode | undefined;
  #term: number;
  #commit = 0;
  #applied = 0;
  /** The last term that it led. */
  #led = 0;
  /** The term that it led when it was looked at last, and who belonged to the cluster then. */
  #countsIn = 0;
  #configuration: Configuration | undefined;

  constructor(id: number, world: World, log: WatchedLog) {
    this.#id = id;
    this.#world = world;
    this.#log = log;
    this.#term = log.hardState.term;
  }

  watch(node: RaftNode): void {
    this.#node = node;
  }

  /** After an event. */
  inspect(): void {
    const node = this.#node;
    if (node === undefined) return;
    const status = node.status();
    const { role, term, lastApplied, pendingProposals, failure } = status;
    if (failure !== undefined || role === 'starting') return;
    const id = this.#id;
    check('Monotonic', term >= this.#term, () => `member ${id} goes back to term ${term}`);
    this.#term = term;
    if (role === 'leader' && this.#led < term) this.#leads(term);
    this.observeCommit(status);
    this.#configuration = node.membership.configuration;
    // I10, I17.
    check('Monotonic', lastApplied >= this.#applied, () => `member ${id} applies backwards`);
    this.#applied = lastApplied;
    check('Bounds', pendingProposals <= maxProposals, () => `${pendingProposals} proposals wait`);
  }

  /** Takes what it knows to be committed into the truth, or finds that it is not. */
  observeCommit(status: ConsensusStatus | undefined = this.#node?.status()): void {
    const node = this.#node;
    if (node === undefined || status === undefined) return;
    const [id, log, known] = [this.#id, this.#log, this.#commit];
    const { role, term, commitIndex } = status;
    check('Monotonic', commitIndex >= known, () => `member ${id} takes back commit ${known}`);
    check('Monotonic', commitIndex <= log.lastIndex, () => `member ${id} commits what it has not`);
    // Thesis 3.6.2; what it knew before it led is another matter.
    const counts = role === 'leader' && this.#countsIn === term && commitIndex > known;
    check(
      'LeaderCommit',
      !counts || log.term(commitIndex) === term,
      () => `member ${id} leads term ${term} and commits entry ${commitIndex} by counting`,
    );
    for (let index = Math.max(known + 1, log.firstIndex); index <= commitIndex; index++) {
      const [entry] = log.entries(index, index + 1, 1);
      if (entry === undefined) continue;
      const isNew = this.#world.truth.committed(id, entry, term);
      if (isNew && counts) this.#checkQuorum(entry);
    }
    this.#commit = commitIndex;
    this.#countsIn = role === 'leader' ? term : 0;
  }

  #leads(term: number): void {
    const { truth, coverage, trace } = this.#world;
    this.#led = term;
    if (truth.leads(this.#id, term, this.#log)) {
      coverage.note('leaders');
      if (this.#world.hasLoad()) coverage.note('leaders under load');
    }
    const isElected = this.#isQuorum((id) => truth.hasVoted(id, term, this.#id));
    check(
      'ElectionSafety',
      isElected,
      () => `member ${this.#id} leads term ${term} without a quorum of votes`,
    );
    trace.note('leader', this.#id, term);
  }

  /** QuorumLogInv: it is on the disks of a quorum. */
  #checkQuorum(entry: Entry): void {
    const isHeld = this.#isQuorum((id) => this.#world.member(id)?.keeps(entry) ?? false);
    check(
      'QuorumLog',
      isHeld,
      () => `entry ${entry.index} is committed, and no quorum has it on its disks`,
    );
  }

  /** A majority of each half, of the members as they are or were when it was looked at last. */
  #isQuorum(counts: (id: number) => boolean): boolean {
    const now = this.#node?.membership.configuration ?? noMembers;
    return [now, this.#configuration ?? now].some(({ voters, outgoing }) => {
      return [voters, outgoing].every((half) => isMost(half.filter(counts).length, half.length));
    });
  }
}

function isMost(count: number, all: number): boolean {
  return all === 0 || count * 2 > all;
}
