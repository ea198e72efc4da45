// How often the same act failed in a row. It is in memory alone: a new operator begins to count anew.

import { sameJson } from '../runtime/canonical.ts';
import type { Act } from './step.ts';
import type { ActFailure } from './view.ts';

interface Failed {
  readonly act: Act;
  readonly failure: ActFailure;
}

const pauseFirstMs = 1000;
const pauseMaxMs = 60_000;

export class ActFailures {
  readonly #failed = new Map<string, Failed>();

  of(key: string): ActFailure | undefined {
    return this.#failed.get(key)?.failure;
  }

  /** Notes a failure; the result is how long to wait before the act is tried again. */
  note(key: string, act: Act, message: string): number {
    const known = this.#failed.get(key);
    const count = 1 + (known !== undefined && isSameAct(known.act, act) ? known.failure.count : 0);
    this.#failed.set(key, { act, failure: { count, message } });
    return Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(count - 1, 10));
  }

  /** The last act was made, or is not asked for any more. */
  forget(key: string): void {
    this.#failed.delete(key);
  }
}

/** A pod that only has another resource version is the same one. */
function isSameAct(a: Act, b: Act): boolean {
  const named = (act: Act): object => ({ ...act, resourceVersion: undefined });
  return sameJson(named(a), named(b));
}
