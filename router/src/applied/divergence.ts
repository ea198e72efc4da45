// Whether this member holds what the others hold. Now and then all take the digest of their rows as of one entry and
// report it through the log; whoever differs from what a majority of the voters has must stop: what it answers is wrong,
// and nobody knows since when. Nothing here is part of the state, and a comparison that can not be made is left out.

import { createHash } from 'node:crypto';
import { EtlError } from '@etl-router/core';
import type { AppliedView } from './applied-store.ts';

/** What an entry says of digests. */
export type DigestNote =
  | { readonly kind: 'take' }
  | {
      readonly kind: 'report';
      readonly index: bigint;
      readonly raftId: bigint;
      readonly sha256: Uint8Array;
    };

/** Members that hold something else than a majority, or nobody knows which ones do. */
export interface DivergenceAlarm {
  readonly index: number;
  /** Raft ids. Empty: no majority agrees. */
  readonly diverged: readonly number[];
}

export interface DivergenceOptions {
  /** Raft id of this member. */
  readonly self: number;
  /** Raft ids of those who vote now. */
  readonly voters: () => readonly number[];
  /** Remembers durably that this member is not to start again. */
  readonly remember: (error: EtlError) => Promise<void>;
}

/** Entries whose digests are remembered. */
const roundsMax = 16;

interface Round {
  own: string | undefined;
  readonly reports: Map<number, string>;
  /** The others know what this member found, or can not be told: it may stop. */
  isReported: boolean;
  isTold: boolean;
}

/** The digests of this member and of the others. */
export class Divergence {
  /**
   * Told the digest of this member, to be reported; resolves when it is in the log, or will not be. Undefined: nobody is
   * there to report it.
   */
  onDigest: ((index: number, sha256: Uint8Array) => Promise<void>) | undefined;
  onAlarm: ((alarm: DivergenceAlarm) => void) | undefined;
  readonly #options: DivergenceOptions;
  readonly #rounds = new Map<number, Round>();
  #checkedIndex = 0;
  #diverged: readonly number[] = [];
  #taking: Promise<void> | undefined;
  #failure: EtlError | undefined;
  #isClosed = false;

  constructor(options: DivergenceOptions) {
    this.#options = options;
  }

  /** The last entry at which a majority agreed, this member among them; 0: none yet. */
  get checkedIndex(): number {
    return this.#checkedIndex;
  }

  /** Raft ids of those who differed at the last entry that was compared. */
  get diverged(): readonly number[] {
    return this.#diverged;
  }

  /** An entry that asks for the digest was applied. The view is read beside everything else, and closed. */
  async take(open: () => Promise<AppliedView>): Promise<void> {
    if (this.#taking !== undefined || this.#isClosed) return;
    const view = await open();
    this.#taking = this.#take(view).finally(() => {
      this.#taking = undefined;
    });
  }

  /** A member reported. */
  note({ index, raftId, sha256 }: Extract<DigestNote, { kind: 'report' }>): void {
    const at = Number(index);
    const round = this.#round(at);
    const digest = Buffer.from(sha256).toString('hex');
    round.reports.set(Number(raftId), digest);
    round.isReported ||= Number(raftId) === this.#options.self && digest === round.own;
    this.#judge(at);
  }

  /** Throws ETL_STATE_DIVERGED once this member is known to differ; it is remembered by then. */
  async check(): Promise<void> {
    if (this.#failure === undefined) return;
    await this.#options.remember(this.#failure);
    throw this.#failure;
  }

  /** Resolves when no view is being read. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#taking;
  }

  async #take(view: AppliedView): Promise<void> {
    const { index } = view.applied;
    const hash = createHash('sha256');
    const lengths = Buffer.alloc(8);
    try {
      for await (const rows of view.rows()) {
        if (this.#isClosed) return;
        for (const [key, value] of rows) {
          lengths.writeUInt32BE(key.length, 0);
          lengths.writeUInt32BE(value.length, 4);
          hash.update(lengths).update(key).update(value);
        }
      }
    } catch {
      // Storage that fails is found by who writes to it; there is just no digest.
      return;
    } finally {
      await view.close();
    }
    const digest = hash.digest();
    const round = this.#round(index);
    round.own = digest.toString('hex');
    void this.#report(index, digest).then(() => {
      round.isReported = true;
      this.#conclude(index);
    });
    this.#judge(index);
  }

  async #report(index: number, digest: Uint8Array): Promise<void> {
    try {
      await this.onDigest?.(index, digest);
    } catch {
      // That nobody could be told is no reason to go on with a wrong state.
    }
  }

  #round(index: number): Round {
    const known = this.#rounds.get(index);
    if (known !== undefined) return known;
    const round: Round = {
      ...{ own: undefined, reports: new Map<number, string>() },
      ...{ isReported: false, isTold: false },
    };
    this.#rounds.set(index, round);
    const [oldest] = this.#rounds.keys();
    if (this.#rounds.size > roundsMax && oldest !== undefined) this.#rounds.delete(oldest);
    return round;
  }

  #judge(index: number): void {
    const round = this.#round(index);
    const { own, reports } = round;
    const ids = this.#options.voters();
    const agreed = majorityOf(ids, reports);
    const diverged =
      agreed === undefined
        ? []
        : [...reports].filter(([, each]) => each !== agreed).map(([id]) => id);
    const isSplit = agreed === undefined && ids.length > 0 && ids.every((id) => reports.has(id));
    if (agreed !== undefined && own === agreed)
      this.#checkedIndex = Math.max(index, this.#checkedIndex);
    if (agreed !== undefined) this.#diverged = diverged;
    if (diverged.length > 0 || (isSplit && !round.isTold)) {
      round.isTold = true;
      this.onAlarm?.({ index, diverged });
    }
    this.#conclude(index);
  }

  /** Whether this member has to stop. */
  #conclude(index: number): void {
    const { self, voters } = this.#options;
    const { own, reports, isReported } = this.#round(index);
    const agreed = majorityOf(voters(), reports);
    if (isReported && agreed !== undefined && own !== undefined && own !== agreed)
      this.#failure ??= divergedError(self, index, { own, agreed });
  }
}

/** What more than half of the voters reported. */
function majorityOf(
  voters: readonly number[],
  reports: ReadonlyMap<number, string>,
): string | undefined {
  const counts = new Map<string, number>();
  for (const id of voters) {
    const digest = reports.get(id);
    if (digest !== undefined) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  }
  return [...counts].find(([, count]) => count > voters.length / 2)?.[0];
}

function divergedError(
  self: number,
  index: number,
  { own, agreed }: { readonly own: string; readonly agreed: string },
): EtlError {
  return new EtlError(
    'ETL_STATE_DIVERGED',
    `this member (id ${self}) holds another state at entry ${index} than a majority (digest ${own.slice(0, 12)}, not ${agreed.slice(0, 12)}); replace it by one with an empty data directory, under a new id`,
    { details: { index, own, agreed } },
  );
}
