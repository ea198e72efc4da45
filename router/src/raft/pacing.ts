// What a leader puts off so that members have less to do: the next batch of proposals while one is under way, and the
// word that entries are committed. Every message costs each member about the same, whatever its size; under load both
// go with something that leaves anyway. Neither waits for long: where nothing else leaves, a clock ends the wait.

import type { Cancel, Clock } from '@etl-router/core';
import type { Raft } from './raft.ts';

/**
 * How long a batch holds back the next one at most. Where members are far from each other the way there and back would
 * else be added to every answer.
 */
const holdMs = 20;
/** How long other members may go without hearing of a commit. */
const tellMs = 10;

export interface PacingOptions {
  readonly clock: Clock;
  /** What was held back may leave now. */
  readonly onHoldOver: () => void;
  /** Those who have not heard of a commit are to be told. */
  readonly onTellDue: () => void;
}

export class Pacing {
  readonly #options: PacingOptions;
  /** The last entry of the latest batch. */
  #sentIndex = 0;
  #sentMs = 0;
  #cancelHold: Cancel | undefined;
  #cancelTell: Cancel | undefined;
  /** Since when others have not heard of a commit; undefined: they have heard of all. */
  #owedSinceMs: number | undefined;

  constructor(options: PacingOptions) {
    this.#options = options;
  }

  /** A batch that ends with that entry is on its way. */
  sent(lastIndex: number): void {
    this.#sentIndex = lastIndex;
    this.#sentMs = this.#options.clock.monotonicMs();
  }

  /** Whether the next batch waits. Who does not lead refuses it, which never waits. */
  holdsBack({ role, commitIndex }: Pick<Raft, 'role' | 'commitIndex'>): boolean {
    if (role !== 'leader' || commitIndex >= this.#sentIndex) return false;
    const { clock, onHoldOver } = this.#options;
    const leftMs = this.#sentMs + holdMs - clock.monotonicMs();
    if (leftMs <= 0) return false;
    this.#cancelHold ??= clock.after(leftMs, () => {
      this.#cancelHold = undefined;
      onHoldOver();
    });
    return true;
  }

  /** To be called after every turn. */
  note(raft: Pick<Raft, 'owesCommit'>): void {
    if (!raft.owesCommit) {
      this.#owedSinceMs = undefined;
      return;
    }
    this.#owedSinceMs ??= this.#options.clock.monotonicMs();
    if (this.#cancelTell === undefined) this.#tellIn(tellMs);
  }

  #tellIn(ms: number): void {
    const { clock, onTellDue } = this.#options;
    this.#cancelTell = clock.after(ms, () => {
      this.#cancelTell = undefined;
      if (this.#owedSinceMs === undefined) return;
      // What was owed when the clock was set may have left since, and something else be owed.
      const leftMs = this.#owedSinceMs + tellMs - clock.monotonicMs();
      if (leftMs > 0) this.#tellIn(leftMs);
      else onTellDue();
    });
  }

  end(): void {
    this.#cancelHold?.();
    this.#cancelTell?.();
  }
}
