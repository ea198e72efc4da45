// The replicated state as the log's thread sees it: it is in the main thread, and every question is a message. One
// batch is on its way at a time, bounded as the applier bounds it. Results of the main thread's own proposals stay there,
// where those who wait for them are.

import { assert } from '@etl-router/core';
import type { CommittedEntry, ReplicatedState } from '../../consensus/consensus.ts';
import type { LogPosition, LogReader } from '../../storage/log-types.ts';
import type { Line } from './line.ts';
import { pack, unpackViews } from './packed.ts';
import type { MainCalls, MainWords } from './protocol.ts';

export interface RemoteStateOptions {
  readonly line: Line<MainCalls, MainWords>;
  readonly log: Pick<LogReader, 'snapshot'>;
  readonly applied: LogPosition;
  readonly membership: Uint8Array | undefined;
  /** Takes the proposal that a command is of; 0: none of the main thread's. */
  readonly takeProposal: (command: Uint8Array) => number;
}

export class RemoteState implements ReplicatedState {
  readonly #options: RemoteStateOptions;
  #applied: LogPosition;
  #membership: Uint8Array | undefined;

  constructor(options: RemoteStateOptions) {
    this.#options = options;
    this.#applied = options.applied;
    this.#membership = options.membership;
  }

  get applied(): LogPosition {
    return this.#applied;
  }

  get membership(): Uint8Array | undefined {
    return this.#membership;
  }

  async apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]> {
    const { line, takeProposal } = this.#options;
    const first = entries[0]?.index ?? 0;
    const last = entries.at(-1);
    if (last === undefined) return [];
    assert(last.index === first + entries.length - 1, 'committed entries follow each other');
    const data = pack(entries.map((entry) => entry.data));
    const batch = {
      first,
      terms: entries.map(({ term }) => term),
      data,
      memberships: entries.flatMap(({ membership }, at) =>
        membership === undefined ? [] : [[at, membership] as const],
      ),
      proposals: entries.map((entry) => takeProposal(entry.data)),
    };
    const results = await line.call('apply', batch, { transfer: [data.bytes.buffer] });
    this.#applied = { index: last.index, term: last.term };
    this.#membership = batch.memberships.at(-1)?.[1] ?? this.#membership;
    return unpackViews(results);
  }

  snapshot(): Promise<LogPosition> {
    const { line, log } = this.#options;
    return line.call('snapshot', { named: log.snapshot });
  }

  async install(position: LogPosition): Promise<void> {
    this.#membership = await this.#options.line.call('install', position);
    this.#applied = position;
  }

  membershipAt(position: LogPosition): Promise<Uint8Array> {
    return this.#options.line.call('membershipAt', position);
  }
}
