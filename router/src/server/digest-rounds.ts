// Has the members compare their states now and then: the leader asks in the log, every member reports what it found, and
// what does not agree becomes a problem that people see. Who stops is decided where the rows are (applied/divergence.ts).

import type { Cancel, Clock, Logger } from '@etl-router/core';
import type { DivergenceAlarm } from '../applied/divergence.ts';
import type { ServerConsensus } from './cluster.ts';
import type { Members } from './members.ts';
import type { ProblemWatch } from './problem-watch.ts';
import type { Proposer } from './proposer.ts';

/** What this member knows of its own state and the others'. */
export interface StateComparison {
  onDigest: ((index: number, sha256: Uint8Array) => Promise<void>) | undefined;
  onAlarm: ((alarm: DivergenceAlarm) => void) | undefined;
  readonly checkedIndex: number;
  readonly diverged: readonly number[];
}

export interface DigestRoundsOptions {
  /** Undefined: nothing is compared. */
  readonly comparison: StateComparison | undefined;
  readonly consensus: ServerConsensus;
  readonly members: Members;
  /** Time between two comparisons. */
  readonly intervalMs: number;
  readonly proposer: Proposer;
  readonly problemWatch: ProblemWatch;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Time between two comparisons, unless another one is configured. */
export const digestIntervalMs: number = 10 * 60_000;

export class DigestRounds {
  readonly #options: DigestRoundsOptions;
  #cancel: Cancel | undefined;

  constructor(options: DigestRoundsOptions) {
    this.#options = options;
    const { comparison } = options;
    if (comparison === undefined) return;
    comparison.onDigest = (index, sha256) => this.#report(index, sha256);
    comparison.onAlarm = (alarm) => this.#tell(alarm);
  }

  /** Begins to ask; the leader does. */
  start(): void {
    if (this.#options.comparison === undefined) return;
    this.#cancel ??= this.#options.clock.after(this.#options.intervalMs, () => {
      this.#cancel = undefined;
      this.start();
      void this.ask();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Asks once. A member that is alone has nobody to be compared with. */
  async ask(): Promise<void> {
    const { consensus, proposer, logger } = this.#options;
    if (consensus.membership.members.length < 2) return;
    try {
      await proposer.propose({ case: 'takeDigest', value: {} });
    } catch (error) {
      logger.debug({ err: error }, 'the members were not asked for their digests');
    }
  }

  close(): void {
    this.stop();
    const { comparison } = this.#options;
    if (comparison === undefined) return;
    comparison.onDigest = undefined;
    comparison.onAlarm = undefined;
  }

  async #report(index: number, sha256: Uint8Array): Promise<void> {
    const { consensus, proposer, logger } = this.#options;
    const raftId = BigInt(consensus.status().nodeId);
    const value = { index: BigInt(index), raftId, sha256 };
    try {
      await proposer.propose({ case: 'reportDigest', value });
    } catch (error) {
      logger.debug({ err: error, index }, 'the digest was not reported');
    }
  }

  #tell({ index, diverged }: DivergenceAlarm): void {
    const { members, problemWatch, logger } = this.#options;
    const names = diverged.map((id) => members.shown(id)).join(', ');
    const message =
      diverged.length === 0
        ? `the members hold different states at entry ${index}, and no majority agrees; stop writing, keep all data directories and restore a backup`
        : `${names}: another state than a majority at entry ${index}; it stops, replace it by one with an empty data directory, under a new id`;
    logger.error({ index, diverged }, message);
    problemWatch.diverged(message, String(index));
  }
}
