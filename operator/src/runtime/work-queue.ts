// Keys to work on. A key waits once however often it is added; it is worked on by one worker at a time; what is added
// meanwhile is worked on once more. Failures wait longer each time, changes by users go before resyncs, and a key that
// waits for a time keeps the earliest one.

import type { Cancel, Clock, Random } from '@etl-router/core';
import type { RuntimeMetrics } from './metrics.ts';
import type { QueueView } from './queue-gauges.ts';

/** Of what somebody changed. */
export const userPriority = 0;
/** Of what a list, a resync or a timer brought up: it waits for what somebody changed. */
export const resyncPriority = -100;

/** After so many failures in a row a key waits for {@link failureMaxMs}. */
const failureFirstMs = 5;
const failureMaxMs = 1_000_000;
const failureJitter = 0.1;

export interface WorkQueueOptions {
  /** As metrics say it: the controller's name. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics?: RuntimeMetrics;
}

interface Waiting {
  readonly priority: number;
  readonly sinceMs: number;
}

interface Later {
  readonly atMs: number;
  readonly cancel: Cancel;
}

export class WorkQueue implements QueueView {
  readonly #options: WorkQueueOptions;
  readonly #labels: { readonly name: string; readonly controller: string };
  /** Keys to hand out. A key that is being worked on is here only as `#again`. */
  readonly #waiting = new Map<string, Waiting>();
  /** Waiting keys by priority, in the order they came. */
  readonly #lanes = new Map<number, Set<string>>();
  /** Keys under work, and since when. */
  readonly #working = new Map<string, number>();
  /** Keys under work that were added meanwhile, with their priority. */
  readonly #again = new Map<string, number>();
  readonly #later = new Map<string, Later>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #onIdle: (() => void)[] = [];
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#labels = { name: options.name, controller: options.name };
  }

  /** Keys that wait to be handed out. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys under work. */
  get working(): number {
    return this.#working.size;
  }

  /** Adds a key; of two priorities the higher one holds. A closed queue takes nothing. */
  add(key: string, priority: number = userPriority): void {
    if (this.#closed) return;
    if (this.#working.has(key)) {
      const known = this.#again.get(key);
      if (known === undefined) this.#options.metrics?.queueAdds.inc(this.#labels);
      this.#again.set(key, Math.max(priority, known ?? priority));
      return;
    }
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      this.#options.metrics?.queueAdds.inc(this.#labels);
      this.#enqueue(key, { priority, sinceMs: this.#nowMs() });
      this.#handOut();
    } else if (priority > waiting.priority) {
      this.#dequeue(key, waiting);
      this.#enqueue(key, { ...waiting, priority });
    }
  }

  /** Adds a key `delayMs` from now, or when it was to be added already if that is earlier. */
  addAfter(key: string, delayMs: number, priority: number = resyncPriority): void {
    if (this.#closed) return;
    if (delayMs <= 0) return this.add(key, priority);
    const atMs = this.#nowMs() + delayMs;
    const known = this.#later.get(key);
    if (known !== undefined && known.atMs <= atMs) return;
    known?.cancel();
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#later.delete(key);
      this.add(key, priority);
    });
    this.#later.set(key, { atMs, cancel });
  }

  /** Adds a key that failed: after 5 ms, twice that the next time, up to 1,000 s. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#options.metrics?.queueRetries.inc(this.#labels);
    const baseMs = Math.min(failureMaxMs, failureFirstMs * 2 ** Math.min(failures, 40));
    const delayMs = baseMs * (1 + failureJitter * this.#options.random.next());
    this.addAfter(key, Math.min(failureMaxMs, delayMs), userPriority);
  }

  /** Failures of a key in a row. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Forgets the failures of a key. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key; undefined once the queue is closed. Call {@link done} when its work is done. */
  async take(): Promise<string | undefined> {
    if (this.#closed) return undefined;
    const key = this.#next();
    if (key !== undefined) return key;
    return await new Promise((resolve) => this.#takers.push(resolve));
  }

  /** The work on a key is done, well or not. */
  done(key: string): void {
    const sinceMs = this.#working.get(key);
    if (sinceMs === undefined) return;
    this.#working.delete(key);
    this.#options.metrics?.workSeconds.observe(this.#labels, (this.#nowMs() - sinceMs) / 1000);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined && !this.#closed) {
      this.#enqueue(key, { priority: again, sinceMs: this.#nowMs() });
      this.#handOut();
    }
    if (this.#working.size === 0) this.#tellIdle();
  }

  /** Hands out nothing more, and forgets what waits. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#later.values()) cancel();
    this.#later.clear();
    this.#waiting.clear();
    this.#lanes.clear();
    this.#again.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  /** Resolves once nothing is under work. */
  async idle(): Promise<void> {
    if (this.#working.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  depthByPriority(): ReadonlyMap<number, number> {
    return new Map([...this.#lanes].map(([priority, keys]) => [priority, keys.size]));
  }

  workingSeconds(): readonly number[] {
    const nowMs = this.#nowMs();
    return [...this.#working.values()].map((sinceMs) => (nowMs - sinceMs) / 1000);
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #enqueue(key: string, waiting: Waiting): void {
    this.#waiting.set(key, waiting);
    const lane = this.#lanes.get(waiting.priority) ?? new Set();
    this.#lanes.set(waiting.priority, lane.add(key));
  }

  #dequeue(key: string, waiting: Waiting): void {
    this.#waiting.delete(key);
    const lane = this.#lanes.get(waiting.priority);
    lane?.delete(key);
    if (lane?.size === 0) this.#lanes.delete(waiting.priority);
  }

  #next(): string | undefined {
    if (this.#waiting.size === 0) return undefined;
    const lane = this.#lanes.get(Math.max(...this.#lanes.keys())) as Set<string>;
    const [key] = lane as Iterable<string> as [string];
    const waiting = this.#waiting.get(key) as Waiting;
    this.#dequeue(key, waiting);
    this.#working.set(key, this.#nowMs());
    this.#options.metrics?.queueSeconds.observe(
      this.#labels,
      (this.#nowMs() - waiting.sinceMs) / 1000,
    );
    return key;
  }

  #handOut(): void {
    while (this.#takers.length > 0) {
      const key = this.#next();
      if (key === undefined) return;
      this.#takers.shift()?.(key);
    }
  }

  #tellIdle(): void {
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }
}
