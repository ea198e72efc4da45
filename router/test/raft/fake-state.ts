// A state for tests of consensus: keeps every command it was given and answers with the command's length.

import type { CommittedEntry, ReplicatedState } from '../../src/consensus/consensus.ts';
import type { LogPosition } from '../../src/storage/log-types.ts';

export class FakeState implements ReplicatedState {
  applied: LogPosition;
  readonly entries: CommittedEntry[] = [];
  readonly snapshots: LogPosition[] = [];
  readonly installed: LogPosition[] = [];
  membership: Uint8Array | undefined;
  /** Runs before entries are applied. */
  before: (entries: readonly CommittedEntry[]) => Promise<void> = () => Promise.resolve();

  constructor(applied: LogPosition = { index: 0, term: 0 }, membership?: Uint8Array) {
    this.applied = applied;
    this.membership = membership;
  }

  async apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]> {
    await this.before(entries);
    for (const { index, term, membership } of entries) {
      this.membership = membership ?? this.membership;
      if (index !== this.applied.index + 1)
        throw new Error(`entry ${index} after ${this.applied.index}`);
      this.applied = { index, term };
    }
    this.entries.push(...entries);
    return entries.map(({ data }) => Uint8Array.of(data.length % 256));
  }

  snapshot(): Promise<LogPosition> {
    this.snapshots.push(this.applied);
    return Promise.resolve(this.applied);
  }

  install(position: LogPosition): Promise<void> {
    this.installed.push(position);
    this.applied = position;
    return Promise.resolve();
  }

  membershipAt(): Promise<Uint8Array> {
    return this.membership === undefined
      ? Promise.reject(new Error('no members'))
      : Promise.resolve(this.membership);
  }

  /** Commands as text, without the entries that begin terms. */
  get commands(): readonly string[] {
    return this.entries
      .filter(({ data }) => data.length > 0)
      .map(({ data }) => Buffer.from(data).toString('utf8'));
  }
}
