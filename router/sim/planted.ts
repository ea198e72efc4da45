// Bugs that were made before, here or elsewhere, as one replacement each. The simulator has to find every one of them:
// a harness that never failed proves nothing.

export interface PlantedBug {
  readonly name: string;
  readonly what: string;
  /** Below router/. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly search: string;
  readonly replacement: string;
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'B1',
    what: 'an append is told to be durable before it is synced',
    file: 'src/storage/segment-writer.ts',
    search: "    await onDisk('sync', this.path, () => this.#file.sync());\n",
    replacement: '',
  },
  {
    name: 'B1b',
    what: 'a leader counts itself before its own disk has the entries',
    file: 'src/raft/leader.ts',
    search: "  state.promise(id, {\n    type: 'appendEntriesReply',",
    replacement:
      "  state.progress.get(id)?.accepted(index);\n  advanceCommit(state);\n  state.promise(id, {\n    type: 'appendEntriesReply',",
  },
  {
    name: 'B2',
    what: 'the vote is not written',
    file: 'src/raft/core-state.ts',
    search: '{ term: this.term, vote: this.vote, commit: this.commit }',
    replacement: '{ term: this.term, vote: 0, commit: this.commit }',
  },
  {
    name: 'B3',
    what: 'entries of former terms are committed by counting',
    file: 'src/raft/leader.ts',
    search: 'if (index <= commit || log.term(index) !== term) return;',
    replacement: 'if (index <= commit) return;',
  },
  {
    name: 'B4',
    what: 'learners are counted',
    file: 'src/raft/leader.ts',
    search: 'const index = committedIndex(configuration, (id) => state.matchOf(id));',
    replacement:
      'const index = committedIndex({ ...configuration, voters: [...configuration.voters, ...configuration.learners] }, (id) => state.matchOf(id));',
  },
  {
    name: 'B5',
    what: 'a pre-vote raises the term',
    file: 'src/raft/raft.ts',
    search: '      if (message.preVote) return true;\n',
    replacement: '',
  },
  {
    name: 'B6',
    what: 'reads are granted without a round',
    file: 'src/raft/leader.ts',
    search: 'of reads.takeTo(round))',
    replacement: 'of reads.takeTo(Math.max(round, Number.POSITIVE_INFINITY)))',
  },
  {
    name: 'B7',
    what: 'reads are granted before the first commit of the term',
    file: 'src/raft/leader.ts',
    search: '  if (log.term(commit) !== state.term) return tryRead(state, from, context, true);\n',
    replacement: '',
  },
  {
    name: 'B8',
    what: 'a joint configuration commits with the new half alone',
    file: 'src/raft/quorum.ts',
    search: 'return Math.min(majorityIndex(voters, matchOf), majorityIndex(outgoing, matchOf));',
    replacement: 'return outgoing.length > 9 ? 0 : majorityIndex(voters, matchOf);',
  },
  {
    name: 'B8b',
    what: 'a joint configuration elects with the new half alone',
    file: 'src/raft/quorum.ts',
    search: 'const halves = [majorityVote(voters, votes), majorityVote(outgoing, votes)];',
    replacement: 'const halves = [majorityVote(outgoing.length > 9 ? outgoing : voters, votes)];',
  },
  {
    name: 'B9',
    what: 'a second change of members is taken while one is under way',
    file: 'src/raft/raft.ts',
    search: 'if (state.pendingConfiguration > state.applied) {',
    replacement: 'if (state.pendingConfiguration > Number.MAX_SAFE_INTEGER) {',
  },
  {
    name: 'B10',
    what: 'a snapshot does not bring its members',
    file: 'src/raft/follower.ts',
    search: '  state.configuration = configuration;\n',
    replacement: '  void configuration;\n',
  },
  {
    name: 'B11',
    what: 'an old append cuts off what came after it',
    file: 'src/raft/follower.ts',
    search: 'const differs = entries.findIndex(({ index, term }) => log.term(index) !== term);',
    replacement: 'const differs = entries.length > 0 ? 0 : -1;',
  },
  {
    name: 'B12',
    what: 'what became durable is told in a term that began since',
    file: 'src/raft/node.ts',
    search: '      else others.push(message);',
    replacement:
      '      else others.push({ ...message, term: Math.max(message.term, raft.status().term) });',
  },
  {
    name: 'B13',
    what: 'what was answered to the requests of sessions is not stored, and in no snapshot',
    file: 'src/state/table.ts',
    search: '      for (const change of table.changes()) changes.push(change);',
    replacement:
      "      if (table.name !== 'requests') for (const change of table.changes()) changes.push(change);",
  },
  {
    name: 'B14',
    what: 'the applied index is stored apart from the rows that it stands for',
    file: 'src/applied/replica.ts',
    search: 'await store.apply(changes, { index: last.index, term: last.term });',
    replacement:
      'await store.apply([], { index: last.index, term: last.term });\n    await store.apply(changes, { index: last.index, term: last.term });',
  },
  {
    name: 'B15',
    what: 'a heartbeat tells a commit index beyond what the receiver is known to hold',
    file: 'src/raft/leader.ts',
    search: 'const commitIndex = Math.min(state.commit, state.matchOf(id));',
    replacement: 'const commitIndex = state.commit;',
  },
  {
    name: 'B16',
    what: 'leadership is handed over before the target caught up',
    file: 'src/raft/leader.ts',
    search: '  if (progress.match === state.log.lastIndex) state.send(to,',
    replacement: '  if (progress.match <= state.log.lastIndex) state.send(to,',
  },
  {
    name: 'B17',
    what: 'a command is applied at the time of the machine, not at that of its proposal',
    file: 'src/state/tables.ts',
    search: 'this.nowNs = proposal.proposedAtNs > next ? proposal.proposedAtNs : next;',
    replacement:
      'const nowNs = BigInt(Date.now()) * 1_000_000n;\n    this.nowNs = nowNs > next ? nowNs : next;',
  },
  {
    name: 'B18',
    what: 'reads that wait are kept over a change of leader',
    file: 'src/raft/core-state.ts',
    search: 'for (const { from, context } of this.reads.clear()) this.refuseRead(from, context);',
    replacement: '',
  },
  {
    name: 'B19',
    what: 'a member whose disk was lost comes back under its id',
    file: 'src/storage/data-directory.ts',
    search: 'nodeId: mintId(random), name,',
    replacement: 'nodeId: crc32(name) + 1, name,',
  },
  {
    name: 'B20',
    what: 'reading the log back drops everything from a damaged frame on',
    file: 'src/storage/recover.ts',
    search: '  if (damage !== undefined) throw storageCorrupt(path, damage.offset, damage.what);\n',
    replacement: '',
  },
  {
    name: 'C1',
    what: 'a commit index never covers the entries that it came with',
    file: 'src/raft/core-state.ts',
    search: 'vote: this.vote, commit: this.commit };',
    replacement:
      'vote: this.vote, commit: Math.min(this.commit, (entries[0]?.index ?? Number.POSITIVE_INFINITY) - 1) };',
  },
  {
    name: 'C2',
    what: 'a seal that was read back is not synced',
    file: 'src/storage/recover.ts',
    search: '  if (sealed !== undefined) await syncSegment(location, sealed);\n',
    replacement: '  void syncSegment;\n  void sealed;\n',
  },
  {
    name: 'C3',
    what: 'a vote is given to a log that lacks entries',
    file: 'src/raft/candidate.ts',
    search: 'const granted = isFree && state.log.isUpToDate(lastIndex, lastTerm);',
    replacement: 'const granted = isFree || lastIndex + lastTerm < 0;',
  },
  {
    name: 'C4',
    what: 'the log is released before its snapshot is durable',
    file: 'src/applied/replica.ts',
    search: 'await writeSnapshot(snapshots, view.applied, view.rows());',
    replacement: 'void writeSnapshot(snapshots, view.applied, view.rows()).catch(() => {});',
  },
  {
    name: 'C5',
    what: 'a repeated read forgets the question before',
    file: 'src/raft/read-waiters.ts',
    search: '      if (age >= timeoutTicks) this.#asked.delete(context);',
    replacement: '      if (age >= retryTicks) this.#asked.delete(context);',
  },
];
