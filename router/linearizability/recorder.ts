// Takes down what clients do while they do it. No two stamps are equal, so that what was answered before something else
// was asked is known to be before it.

import type { Operation, OperationName, Operations } from './operations.ts';

/** An operation under way. One that is never answered stays in the history as one whose outcome is not known. */
export interface Invocation<Name extends OperationName> {
  answered(out: Operations[Name]['out']): void;
}

interface Taken {
  readonly client: number;
  readonly id: number;
  readonly callNs: number;
  returnNs: number | null;
  readonly op: OperationName;
  readonly in: object;
  out: object | null;
}

export class HistoryRecorder {
  readonly #nowNs: () => number;
  readonly #taken: Taken[] = [];
  #lastNs = -1;

  /** `nowNs` must not be so far from 0 that nanoseconds are lost: count from the beginning of the run. */
  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }

  get size(): number {
    return this.#taken.length;
  }

  /** Notes that a client asks, before anything is sent. */
  invoke<Name extends OperationName>(
    client: number,
    op: Name,
    input: Operations[Name]['in'],
  ): Invocation<Name> {
    const taken: Taken = {
      ...{ client, id: this.#taken.length + 1, callNs: this.#stamp() },
      ...{ returnNs: null, op, in: input, out: null },
    };
    this.#taken.push(taken);
    return {
      answered: (out) => {
        if (taken.out !== null) throw new Error(`operation ${taken.id} was answered already`);
        taken.returnNs = this.#stamp();
        taken.out = out;
      },
    };
  }

  /** What was taken down so far, in the order of calls. */
  history(): readonly Operation[] {
    return this.#taken.map((taken) => ({ ...taken }) as Operation);
  }

  #stamp(): number {
    this.#lastNs = Math.max(this.#lastNs + 1, Math.floor(this.#nowNs()));
    return this.#lastNs;
  }
}
