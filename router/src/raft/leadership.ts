// Whether this member leads, for those who act on it. It leads for them only once everything that was committed before
// is applied here. Who asked to hand leadership over is told when it ended, or that nobody took it: never left waiting.

import { EtlError } from '@etl-router/core';
import type { Raft } from './raft.ts';

interface Transfer {
  readonly to: number;
  readonly resolve: () => void;
  readonly reject: (error: EtlError) => void;
}

/** What the core and the driver say after a turn. */
export interface LeadershipFacts {
  /** The last entry that is in the log. */
  readonly lastIndex: number;
  /** The last entry that is applied here. */
  readonly applied: number;
}

export class Leadership {
  readonly #listeners = new Set<(leads: boolean) => void>();
  #leads = false;
  /** First entry of the term that this member leads; it serves once that is applied. */
  #leadsFrom = Number.POSITIVE_INFINITY;
  #transfers: Transfer[] = [];

  get leads(): boolean {
    return this.#leads;
  }

  watch(listener: (leads: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when this member no longer leads. Throws ETL_UNAVAILABLE when the other one did not take over in time. */
  handedTo(to: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#transfers.push({ to, resolve, reject });
    });
  }

  /** To be called after every turn; the role is as of then, and nothing of the new term is behind `lastIndex`. */
  note({ role, transferee }: Pick<Raft, 'role' | 'transferee'>, facts: LeadershipFacts): void {
    const isLeader = role === 'leader';
    if (isLeader && this.#leadsFrom === Number.POSITIVE_INFINITY) this.#leadsFrom = facts.lastIndex;
    if (!isLeader) this.#leadsFrom = Number.POSITIVE_INFINITY;
    this.#settleTransfers(isLeader, transferee);
    this.#tell(isLeader && facts.applied >= this.#leadsFrom);
  }

  /** Whoever waits is told why in vain. */
  rejectAll(error: EtlError): void {
    for (const { reject } of this.#transfers) reject(error);
    this.#transfers = [];
  }

  /** It failed, and leads no more. */
  fail(error: EtlError): void {
    this.rejectAll(error);
    this.#tell(false);
  }

  #tell(leads: boolean): void {
    if (leads === this.#leads) return;
    this.#leads = leads;
    for (const listener of [...this.#listeners]) listener(leads);
  }

  #settleTransfers(isLeader: boolean, transferee: number): void {
    if (this.#transfers.length === 0) return;
    const transfers = this.#transfers;
    this.#transfers = transfers.filter(({ to }) => isLeader && to === transferee);
    for (const { to, resolve, reject } of transfers) {
      if (!isLeader) resolve();
      else if (to !== transferee) reject(notTaken(to));
    }
  }
}

function notTaken(to: number): EtlError {
  return new EtlError(
    'ETL_UNAVAILABLE',
    `member ${to} did not take over leadership in time; see that it runs and keeps up, then try again`,
    { retryable: true },
  );
}
