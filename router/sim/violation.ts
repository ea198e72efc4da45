// What the simulator was built to find.

/** Who noticed: names of docs/specs/0007-raft.md and of Raft's papers where there is one. */
export type Oracle =
  | 'ElectionSafety'
  | 'LeaderCompleteness'
  | 'LogMatching'
  | 'StateMachineSafety'
  | 'QuorumLog'
  | 'LeaderCommit'
  | 'OneVote'
  | 'Monotonic'
  | 'Promises'
  | 'Recovery'
  | 'Members'
  | 'Transfer'
  | 'Snapshots'
  | 'Reads'
  | 'Requests'
  | 'Linearizability'
  | 'Bounds'
  | 'Liveness'
  | 'Alarm'
  | 'Runaway'
  | 'Process';

/** Something that must never happen has happened. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly oracle: Oracle;

  constructor(oracle: Oracle, message: string) {
    super(message);
    this.oracle = oracle;
  }
}

/** Throws {@link Violation} when `condition` is false. */
export function check(
  oracle: Oracle,
  condition: boolean,
  message: () => string,
): asserts condition {
  if (!condition) throw new Violation(oracle, message());
}
