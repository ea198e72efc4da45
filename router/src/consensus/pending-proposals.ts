// Proposals that wait for their answers, bounded in number and bytes. An answer is given once, in the order of the log.
// A proposal is known by index and term: another entry in its place tells that it was lost.

import { EtlError } from '@etl-router/core';
import type { LogPosition } from '../storage/log-types.ts';
import { abandoned } from './aborted.ts';
import type { Proposed } from './consensus.ts';
import { unknownOutcome } from './outcome.ts';

/** How many proposals may wait, and how many bytes of commands. */
export interface ProposalBounds {
  readonly maxCount: number;
  readonly maxBytes: number;
}

/** A proposal on its way: queued, or in the log at a place. */
export interface PendingProposal {
  readonly command: Uint8Array;
  /** Nobody waits for it any more; one that is still queued is left out. */
  readonly isAbandoned: boolean;
  readonly resolve: (answer: Proposed) => void;
  readonly reject: (error: unknown) => void;
}

/** Waiting proposals. */
export class PendingProposals {
  readonly #bounds: ProposalBounds;
  readonly #maxTicksAway: number;
  readonly #placed = new Map<
    number,
    { readonly term: number; readonly proposal: PendingProposal }
  >();
  readonly #all = new Set<PendingProposal>();
  #queued: PendingProposal[] = [];
  #bytes = 0;
  #ticksAway = 0;

  /** `maxTicksAway`: how long proposals wait for their fate once the member ceased to lead. */
  constructor(bounds: ProposalBounds, maxTicksAway: number = Number.POSITIVE_INFINITY) {
    this.#bounds = bounds;
    this.#maxTicksAway = maxTicksAway;
  }

  /** Of commands that are not applied. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#all.size;
  }

  get hasQueued(): boolean {
    return this.#queued.length > 0;
  }

  /** Why a command of that size can not wait now; undefined when it can. */
  refusal(bytes: number): EtlError | undefined {
    const { maxCount, maxBytes } = this.#bounds;
    const full = this.#all.size >= maxCount ? `${maxCount} proposals` : undefined;
    const heavy = this.#bytes + bytes > maxBytes ? `${maxBytes} bytes of proposals` : undefined;
    const bound = full ?? heavy;
    if (bound === undefined) return undefined;
    return new EtlError(
      'ETL_LIMIT_EXCEEDED',
      `${bound} already wait for the log; send again when some are answered`,
      { retryable: true, details: { bound } },
    );
  }

  /**
   * Queues a command. When the signal aborts, the caller is released; the place stays taken until the entry is
   * applied, because its bytes are in memory that long.
   */
  add(command: Uint8Array, signal: AbortSignal | undefined): Promise<Proposed> {
    this.#bytes += command.length;
    return new Promise((resolve, reject) => {
      let isAbandoned = false;
      const settle = (): void => {
        if (!this.#all.delete(proposal)) return;
        this.#bytes -= command.length;
        signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        isAbandoned = true;
        reject(abandoned(signal));
      };
      const proposal: PendingProposal = {
        command,
        get isAbandoned() {
          return isAbandoned;
        },
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#all.add(proposal);
      this.#queued.push(proposal);
    });
  }

  /** Takes what is queued, without what was abandoned. */
  takeQueued(): readonly PendingProposal[] {
    const queued = this.#queued;
    this.#queued = [];
    const [left, gone] = [
      queued.filter((each) => !each.isAbandoned),
      queued.filter((each) => each.isAbandoned),
    ];
    for (const { reject } of gone) reject(superseded());
    return left;
  }

  /**
   * A proposal got its place in the log. One that waited there was replaced in this log alone: it is lost only once
   * another entry is committed in its place.
   */
  place(proposal: PendingProposal, { index, term }: LogPosition): void {
    this.#placed.get(index)?.proposal.reject(unknownOutcome('leadership changed'));
    this.#placed.set(index, { term, proposal });
  }

  /** Answers the proposal of an applied entry, if someone here made it, or tells it that another entry was applied. */
  answer(answer: Proposed): void {
    const placed = this.#placed.get(answer.index);
    if (placed === undefined) return;
    this.#placed.delete(answer.index);
    if (placed.term === answer.term) placed.proposal.resolve(answer);
    else placed.proposal.reject(superseded());
  }

  /**
   * To be called regularly. A member that was cut off while it led may not learn for long what became of its entries:
   * who waits is told so in time.
   */
  tick(leads: boolean): void {
    this.#ticksAway = leads ? 0 : this.#ticksAway + 1;
    if (this.#placed.size === 0 || this.#ticksAway < this.#maxTicksAway) return;
    for (const { proposal } of this.#placed.values()) {
      proposal.reject(unknownOutcome('leadership was lost, and no other member has told more'));
    }
    this.#placed.clear();
  }

  /** The state up to `index` came by a snapshot: what became of the proposals up to there is not known. */
  forgetTo(index: number): void {
    for (const [at, { proposal }] of this.#placed) {
      if (at > index) continue;
      this.#placed.delete(at);
      proposal.reject(unknownOutcome('leadership changed'));
    }
  }

  /** Ends all waiting. */
  rejectAll(error: EtlError): void {
    for (const { reject } of [...this.#all]) reject(error);
    this.#placed.clear();
    this.#queued = [];
  }
}

function superseded(): EtlError {
  return new EtlError(
    'ETL_UNAVAILABLE',
    'leadership changed before the command was committed; it did not take effect, send it again',
    { retryable: true, details: { outcome: 'refused' } },
  );
}
