// Virtual time: one queue of events in the order of (time, number), and nothing else decides what happens next. Between
// two events all promises settle, so what one event causes is complete before the next begins.

import type { Cancel, Clock } from '@etl-router/core';

/** One start of a member. Events of a process that ended are dropped, those of a stopped one wait. */
export class Process {
  readonly member: number;
  isAlive = true;
  /** Stopped, as by SIGSTOP, until then. */
  pausedUntilMs = 0;
  /** Of its machine. */
  clock?: Clock;

  constructor(member: number) {
    this.member = member;
  }
}

/** When every run begins. */
const beginningMs = 1_700_000_000_000;

interface Event {
  atMs: number;
  number: number;
  readonly owner: Process | undefined;
  run: (() => void) | undefined;
}

export class Kernel {
  nowMs = 0;
  /** Events that ran. */
  count = 0;
  /** Whose event runs; undefined: nobody's. */
  running: Process | undefined;
  /** Told after each event, once its promises settled, whose process ran; undefined: nobody's. */
  afterEvent: (owner: Process | undefined) => void = () => {};
  readonly #heap: Event[] = [];
  #number = 0;

  /** Events that wait. */
  get waiting(): number {
    return this.#heap.length;
  }

  /** Runs once, `delayMs` from now, unless the owner ended. */
  after(delayMs: number, owner: Process | undefined, run: () => void): Cancel {
    const event: Event = {
      atMs: this.nowMs + Math.max(0, delayMs),
      number: this.#number++,
      owner,
      run,
    };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Runs events until `isOver` or none is left. */
  async run(isOver: () => boolean): Promise<void> {
    await settled();
    while (!isOver()) {
      const event = this.#pop();
      if (event === undefined) return;
      const { owner, run } = event;
      if (run === undefined || owner?.isAlive === false) continue;
      this.nowMs = Math.max(this.nowMs, event.atMs);
      if (owner !== undefined && owner.pausedUntilMs > this.nowMs) {
        event.atMs = owner.pausedUntilMs;
        event.number = this.#number++;
        this.#push(event);
        continue;
      }
      this.count++;
      event.run = undefined;
      this.running = owner;
      run();
      await settled();
      this.afterEvent(owner);
    }
  }

  /** What the clock of the machine says whose event runs. */
  get wallMs(): number {
    return this.running?.clock?.wallMs() ?? beginningMs + this.nowMs;
  }

  /** A clock that belongs to one process and may run too fast or too slow. */
  clockOf(owner: Process, rate: number, skewMs: number): Clock {
    return {
      wallMs: () => beginningMs + skewMs + this.nowMs * rate,
      monotonicMs: () => this.nowMs * rate,
      after: (delayMs, run) => this.after(delayMs / rate, owner, run),
    };
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as Event, heap[child] as Event))
        child = right;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
}

/** Resolves when no promise has anything left to do. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
