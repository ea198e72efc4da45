// Counts and logs why members were refused, here or when dialled, whatever kind of call it was on.

import { type Clock, isEtlError, type Logger } from '@etl-router/core';
import { type Refusal, RefusedPeer } from './identity.ts';

/** A refusal of one kind is logged at most this often. */
const logEveryMs = 10_000;

export class Refusals {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #counts = new Map<Refusal, number>();
  readonly #loggedAtMs = new Map<Refusal, number>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  get counts(): { readonly [refusal in Refusal]?: number } {
    return Object.fromEntries(this.#counts);
  }

  during<Result>(run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  async awaiting<Result>(answer: Promise<Result>): Promise<Result> {
    try {
      return await answer;
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  async *reading<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item, void> {
    try {
      yield* items;
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  /** Counts it if it refuses a member, or what one said. */
  note(error: unknown): void {
    if (!isEtlError(error)) return;
    const isMalformed = error.code === 'ETL_INVALID_ARGUMENT';
    const refusal =
      error instanceof RefusedPeer ? error.refusal : isMalformed ? 'malformed' : undefined;
    if (refusal === undefined) return;
    this.#counts.set(refusal, (this.#counts.get(refusal) ?? 0) + 1);
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - (this.#loggedAtMs.get(refusal) ?? Number.NEGATIVE_INFINITY) < logEveryMs) return;
    this.#loggedAtMs.set(refusal, nowMs);
    this.#logger.warn({ refusal }, `a member was refused: ${error.message}`);
  }
}
