// Reads of the main thread that wait for the log's thread. One question to it serves all that came before it left; what
// comes while it is under way shares the next one. A read never takes the answer to a question that left before it
// came: that answer may be older than what the read has to see.

import type { Cancel, Clock } from '@etl-router/core';
import { untilAborted } from '../../consensus/aborted.ts';

/**
 * How long a question holds back the next one at most. One that no quorum answers takes seconds, and those behind it
 * would wait as long for nothing.
 */
const holdMs = 20;

export interface ReadBookOptions {
  readonly clock: Clock;
  /** Asks the log's thread what has to be applied before a read; answers once it is. */
  readonly ask: () => Promise<number>;
}

interface Reader {
  readonly resolve: (index: number) => void;
  readonly reject: (error: unknown) => void;
}

export class ReadBook {
  readonly #options: ReadBookOptions;
  #next: Reader[] = [];
  #isDue = false;
  /** Counts questions; an answer that comes late does not stand for a later question. */
  #latest = 0;
  #isUnderWay = false;
  #askedMs = 0;
  #cancelHold: Cancel | undefined;

  constructor(options: ReadBookOptions) {
    this.#options = options;
  }

  /** Resolves when everything that was answered before the call is applied here: all up to that index. */
  wait(signal: AbortSignal | undefined): Promise<number> {
    const answer = new Promise<number>((resolve, reject) => {
      this.#next.push({ resolve, reject });
    });
    if (this.#isUnderWay) this.#hold();
    else this.#schedule();
    return signal === undefined ? answer : untilAborted(answer, signal, () => undefined);
  }

  /** Those of one turn share a question also where none is under way. */
  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      void this.#ask();
    });
  }

  #hold(): void {
    const { clock } = this.#options;
    const leftMs = Math.max(0, this.#askedMs + holdMs - clock.monotonicMs());
    this.#cancelHold ??= clock.after(leftMs, () => this.#goOn());
  }

  #goOn(): void {
    this.#isUnderWay = false;
    this.#cancelHold?.();
    this.#cancelHold = undefined;
    if (this.#next.length > 0) this.#schedule();
  }

  async #ask(): Promise<void> {
    const readers = this.#next;
    this.#next = [];
    const question = ++this.#latest;
    this.#isUnderWay = true;
    this.#askedMs = this.#options.clock.monotonicMs();
    try {
      const index = await this.#options.ask();
      for (const { resolve } of readers) resolve(index);
    } catch (error) {
      for (const { reject } of readers) reject(error);
    }
    if (question === this.#latest) this.#goOn();
  }
}
