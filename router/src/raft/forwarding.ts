// Commands of this member's callers on their way to whoever leads: the own log, or that of another member, to which they
// are handed over. A command is tried again only while it is certain that nobody took it; a member that was handed one
// never hands it on. What waits or is under way is bounded, in number, bytes and time.

import { type Clock, EtlError, isEtlError } from '@etl-router/core';
import { abandoned } from '../consensus/aborted.ts';
import type { ProposalOptions, Proposed } from '../consensus/consensus.ts';
import { outcomeOf, withOutcome } from '../consensus/outcome.ts';
import type { ProposalBounds } from '../consensus/pending-proposals.ts';

/** Hands commands to other members. */
export interface Forwarder {
  /**
   * Resolves with the answer of the member `to`, which applied the command as leader. Every error says what became of
   * the command (consensus/outcome.ts).
   */
  forward(to: number, command: Uint8Array, options: ProposalOptions): Promise<Proposed>;
  /** This member leads from now on, as far as is known; 0: nobody. What was kept for an earlier leader is of no use. */
  follow(leader: number): void;
}

/** What the driver lends. */
export interface ForwardingParts {
  readonly self: number;
  /** Undefined: commands are for the own log only. */
  readonly forwarder: Forwarder | undefined;
  /** Puts a command into the own log. Every error says what became of it. */
  readonly here: (command: Uint8Array, options: ProposalOptions) => Promise<Proposed>;
  /** A command that another member handed over is answered: that member waits until it is applied there too. */
  readonly onAnswered: () => void;
  /** Resolves when the entry is applied here. */
  readonly applied: (index: number, signal: AbortSignal) => Promise<void>;
  /** Makes what another member stamped this member's own. Throws for what is no command. */
  readonly restamp: ((command: Uint8Array) => Uint8Array) | undefined;
  readonly clock: Clock;
  /** How long a command waits for a leader that takes it. */
  readonly waitMs: number;
  readonly bounds: ProposalBounds;
}

/** Attempts within the wait, evenly spread; a change of leader is one at once. */
const pausesPerWait = 16;
/** Hints that are followed one after the other without a pause. */
const maxHops = 2;
/** How long an entry that is committed may take to be applied here too. */
const applyMaxMs = 5000;

export class Forwarding {
  readonly #parts: ForwardingParts;
  readonly #watchers = new Set<() => void>();
  #leader = 0;
  #end: EtlError | undefined;
  #count = 0;
  #bytes = 0;

  constructor(parts: ForwardingParts) {
    this.#parts = parts;
  }

  /** To be called after every turn: who leads, as far as this member knows; 0: nobody. */
  note(leader: number): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    this.#parts.forwarder?.follow(leader);
    for (const wake of [...this.#watchers]) wake();
  }

  /** Nothing waits any more; `why` is told to those that do. */
  end(why: EtlError): void {
    this.#end = withOutcome(why, 'refused');
    for (const wake of [...this.#watchers]) wake();
  }

  /** Resolves when the command is committed, and applied here. Every error says what became of it. */
  async propose(command: Uint8Array, options: ProposalOptions): Promise<Proposed> {
    const { forwarder, here, bounds } = this.#parts;
    if (forwarder === undefined) return here(command, options);
    if (this.#count >= bounds.maxCount || this.#bytes + command.length > bounds.maxBytes)
      throw tooMany(bounds);
    this.#count += 1;
    this.#bytes += command.length;
    try {
      return await this.#insist(forwarder, command, options);
    } finally {
      this.#count -= 1;
      this.#bytes -= command.length;
    }
  }

  /** A command that another member handed over: for the own log, or refused with a word on who leads. */
  async receive(command: Uint8Array, options: ProposalOptions): Promise<Proposed> {
    const { here, restamp, onAnswered } = this.#parts;
    let own: Uint8Array;
    try {
      own = restamp?.(command) ?? command;
    } catch (error) {
      throw withOutcome(error, 'refused');
    }
    const answer = await here(own, options);
    onAnswered();
    return answer;
  }

  async #insist(
    forwarder: Forwarder,
    command: Uint8Array,
    options: ProposalOptions,
  ): Promise<Proposed> {
    const { clock, waitMs, here, self } = this.#parts;
    const untilMs = clock.monotonicMs() + waitMs;
    let to = this.#leader;
    let hops = 0;
    for (;;) {
      const known = this.#leader;
      try {
        // The own log says best why nothing can be proposed while nobody leads.
        if (to === self || to === 0) return await here(command, options);
        const answer = await forwarder.forward(to, command, options);
        await this.#untilApplied(answer, options.signal);
        return answer;
      } catch (error) {
        const leftMs = untilMs - clock.monotonicMs();
        if (!mayTryAgain(error) || leftMs <= 0) throw error;
        if (this.#end !== undefined) throw this.#end;
        const hint = hintOf(error);
        if (hint !== 0 && hint !== to && hint !== self && hops < maxHops) {
          hops += 1;
          to = hint;
          continue;
        }
        hops = 0;
        await this.#pause(known, leftMs, options.signal);
        to = this.#leader;
      }
    }
  }

  /** Until another leader is known than before the attempt, but not for long: whoever was asked may take it yet. */
  async #pause(known: number, leftMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#leader !== known && this.#leader !== 0) return;
    const { clock, waitMs } = this.#parts;
    const pauseMs = this.#leader === 0 ? leftMs : Math.min(leftMs, waitMs / pausesPerWait);
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        cancel();
        signal?.removeEventListener('abort', wake);
        this.#watchers.delete(wake);
        resolve();
      };
      const cancel = clock.after(pauseMs, wake);
      this.#watchers.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
    if (this.#end !== undefined) throw this.#end;
    if (signal?.aborted === true) throw withOutcome(abandoned(signal), 'refused');
  }

  /** Whoever wrote here reads here what was written. */
  async #untilApplied({ index }: Proposed, signal: AbortSignal | undefined): Promise<void> {
    const late = new AbortController();
    const cancel = this.#parts.clock.after(applyMaxMs, () => late.abort());
    const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    try {
      await this.#parts.applied(index, either);
    } catch (error) {
      if (!late.signal.aborted) throw withOutcome(error, 'applied');
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `entry ${index} is committed, and this member has not applied it within ${applyMaxMs} ms; it is cut off or behind`,
        { retryable: false, details: { outcome: 'applied', index }, cause: error },
      );
    } finally {
      cancel();
    }
  }
}

/** Nobody took it, and that may be otherwise in a moment. */
function mayTryAgain(error: unknown): boolean {
  if (!isEtlError(error) || outcomeOf(error) !== 'refused') return false;
  return error.code === 'ETL_NOT_LEADER' || error.code === 'ETL_UNAVAILABLE';
}

/** Who leads, by the one that was asked; 0: it does not know. */
function hintOf(error: unknown): number {
  const leader = isEtlError(error) ? error.details['leader'] : undefined;
  return typeof leader === 'number' ? leader : 0;
}

function tooMany({ maxCount, maxBytes }: ProposalBounds): EtlError {
  return new EtlError(
    'ETL_LIMIT_EXCEEDED',
    `${maxCount} commands or ${maxBytes} bytes of them already wait for the leader; send again when some are answered`,
    { retryable: true, details: { outcome: 'refused' } },
  );
}
