// Those who wait for a linearizable read: asked of the core together, once a turn, and again when an answer was lost or
// refused. Counts ticks, so that it needs no clock.

import { EtlError } from '@etl-router/core';

interface Waiter {
  readonly deadlineTick: number;
  readonly resolve: (index: number) => void;
  readonly reject: (error: unknown) => void;
}

export interface ReadWaiterOptions {
  /** After which an unanswered request is repeated. */
  readonly retryTicks: number;
  /** After which those who wait are told that there is no quorum. */
  readonly timeoutTicks: number;
}

export class ReadWaiters {
  readonly #options: ReadWaiterOptions;
  #next: Waiter[] = [];
  readonly #asked = new Map<
    number,
    { readonly atTick: number; readonly waiters: readonly Waiter[] }
  >();
  #context = 0;
  #tick = 0;

  constructor(options: ReadWaiterOptions) {
    this.#options = options;
  }

  get hasNew(): boolean {
    return this.#next.length > 0;
  }

  /** Resolves with the index that must be applied before the read. */
  wait(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#next.push({ deadlineTick: this.#tick + this.#options.timeoutTicks, resolve, reject });
    });
  }

  /** Gives all that are new one context and asks with it; they stay new if that throws. */
  ask(send: (context: number) => void): void {
    const waiters = this.#next;
    this.#next = [];
    this.#context++;
    this.#asked.set(this.#context, { atTick: this.#tick, waiters });
    try {
      send(this.#context);
    } catch {
      this.#again(this.#context);
    }
  }

  /** Index 0: refused, to be asked again with the next tick. */
  answer(context: number, index: number): void {
    if (index === 0) return this.#again(context);
    const asked = this.#asked.get(context);
    this.#asked.delete(context);
    for (const { resolve } of asked?.waiters ?? []) resolve(index);
  }

  /** True when there is something to ask again. */
  tick(): boolean {
    this.#tick++;
    for (const [context, { atTick }] of this.#asked) {
      if (this.#tick - atTick >= this.#options.retryTicks) this.#again(context);
    }
    const isOver = ({ deadlineTick }: Waiter): boolean => deadlineTick <= this.#tick;
    for (const { reject } of this.#next.filter(isOver)) reject(noQuorum());
    this.#next = this.#next.filter((waiter) => !isOver(waiter));
    return this.#next.length > 0;
  }

  rejectAll(error: unknown): void {
    for (const context of this.#asked.keys()) this.#again(context);
    for (const { reject } of this.#next) reject(error);
    this.#next = [];
  }

  #again(context: number): void {
    const asked = this.#asked.get(context);
    this.#asked.delete(context);
    this.#next.push(...(asked?.waiters ?? []));
  }
}

function noQuorum(): EtlError {
  return new EtlError(
    'ETL_UNAVAILABLE',
    'no quorum of the cluster confirmed the read in time; try again, or ask for a stale read',
    { retryable: true },
  );
}
