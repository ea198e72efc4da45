// Those who wait for a linearizable read: asked of the core together, once a turn, and again when an answer was lost or
// refused. An answer that took longer than that still counts, or a network that is slower than the repetition would
// never let a read through. Counts ticks, so that it needs no clock.

import { EtlError } from '@etl-router/core';

interface Waiter {
  readonly deadlineTick: number;
  isOver: boolean;
  readonly resolve: (index: number) => void;
  readonly reject: (error: unknown) => void;
}

/** A request to the core. */
interface Asked {
  readonly atTick: number;
  readonly waiters: readonly Waiter[];
  /** Its waiters were put into another request. */
  isRepeated: boolean;
}

export interface ReadWaiterOptions {
  /** Requests are named by the numbers behind it. An answer to this member as it was before a restart is of no use. */
  readonly namesAfter: number;
  /** After which an unanswered request is repeated. */
  readonly retryTicks: number;
  /** After which those who wait are told that there is no quorum. */
  readonly timeoutTicks: number;
}

export class ReadWaiters {
  readonly #options: ReadWaiterOptions;
  #next: Waiter[] = [];
  readonly #asked = new Map<number, Asked>();
  #context: number;
  #tick = 0;

  constructor(options: ReadWaiterOptions) {
    this.#options = options;
    this.#context = options.namesAfter;
  }

  get hasNew(): boolean {
    return this.#next.length > 0;
  }

  /** Resolves with the index that must be applied before the read. */
  wait(): Promise<number> {
    const deadlineTick = this.#tick + this.#options.timeoutTicks;
    return new Promise((resolve, reject) => {
      this.#next.push({ deadlineTick, isOver: false, resolve, reject });
    });
  }

  /** Gives all that are new one context and asks with it; they stay new if that throws. */
  ask(send: (context: number) => void): void {
    const waiters = this.#next;
    this.#next = [];
    this.#context++;
    this.#asked.set(this.#context, { atTick: this.#tick, waiters, isRepeated: false });
    try {
      send(this.#context);
    } catch {
      this.#refused(this.#context);
    }
  }

  /** Index 0: refused, to be asked again with the next tick. */
  answer(context: number, index: number): void {
    if (index === 0) return this.#refused(context);
    const asked = this.#asked.get(context);
    this.#asked.delete(context);
    for (const waiter of asked?.waiters ?? []) {
      waiter.isOver = true;
      waiter.resolve(index);
    }
  }

  /** True when there is something to ask again. */
  tick(): boolean {
    this.#tick++;
    const { retryTicks, timeoutTicks } = this.#options;
    for (const [context, asked] of this.#asked) {
      const age = this.#tick - asked.atTick;
      if (age >= retryTicks) this.#repeat(asked);
      if (age >= timeoutTicks) this.#asked.delete(context);
    }
    for (const waiter of this.#next) {
      if (waiter.deadlineTick <= this.#tick) reject(waiter, noQuorum());
    }
    this.#next = this.#next.filter(({ isOver }) => !isOver);
    return this.#next.length > 0;
  }

  rejectAll(error: unknown): void {
    for (const asked of this.#asked.values()) this.#repeat(asked);
    this.#asked.clear();
    for (const waiter of this.#next) reject(waiter, error);
    this.#next = [];
  }

  #refused(context: number): void {
    const asked = this.#asked.get(context);
    this.#asked.delete(context);
    if (asked !== undefined) this.#repeat(asked);
  }

  /** Lets those who still wait ask once more. */
  #repeat(asked: Asked): void {
    if (asked.isRepeated) return;
    asked.isRepeated = true;
    this.#next.push(...asked.waiters.filter(({ isOver }) => !isOver));
  }
}

function reject(waiter: Waiter, error: unknown): void {
  waiter.isOver = true;
  waiter.reject(error);
}

function noQuorum(): EtlError {
  return new EtlError(
    'ETL_UNAVAILABLE',
    'no quorum of the cluster answered in time; try again, or ask for a stale read where one will do',
    { retryable: true },
  );
}
