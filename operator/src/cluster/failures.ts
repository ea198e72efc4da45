// How often the same thing failed in a row, and when it is to be tried again, whatever happens until then: what fails is
// told in the status, and that alone would have it tried at once. In memory alone: a new operator begins to count anew.

import type { Clock } from '@etl-router/core';
import { canonicalJson, digestOf } from '../runtime/canonical.ts';
import type { UntypedObject } from '../runtime/kube-object.ts';
import type { CallAct } from './perform.ts';
import type { ActFailure } from './view.ts';

interface Failed {
  readonly what: string;
  readonly failure: ActFailure;
  readonly againAtMs: number;
}

const pauseFirstMs = 1000;
const pauseMaxMs = 60_000;

export class ActFailures {
  readonly #clock: Clock;
  readonly #failed = new Map<string, Failed>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is told of a cluster. */
  of(key: string): ActFailure | undefined {
    return this.#failed.get(key)?.failure;
  }

  /** How long `what` is not to be tried; 0: at once. */
  pauseMs(key: string, what: string): number {
    const known = this.#failed.get(key);
    if (known?.what !== what) return 0;
    return Math.max(0, known.againAtMs - this.#clock.monotonicMs());
  }

  /** Notes a failure; the result is how long to wait. */
  note(key: string, what: string, message: string): number {
    const known = this.#failed.get(key);
    const count = 1 + (known?.what === what ? known.failure.count : 0);
    const pauseMs = Math.min(pauseMaxMs, pauseFirstMs * 2 ** Math.min(count - 1, 10));
    const againAtMs = this.#clock.monotonicMs() + pauseMs;
    this.#failed.set(key, { what, failure: { count, message }, againAtMs });
    return pauseMs;
  }

  /** It succeeded, or nobody asks for it any more. */
  forget(key: string): void {
    this.#failed.delete(key);
  }

  /** Forgets it, provided that this is what failed. */
  settle(key: string, what: (known: string) => boolean): void {
    const known = this.#failed.get(key);
    if (known !== undefined && what(known.what)) this.#failed.delete(key);
  }
}

const applying = 'apply ';

/** Names an act: a pod that only has another resource version is the same one. */
export function namedAct(act: CallAct): string {
  return canonicalJson({ ...act, resourceVersion: undefined });
}

/** Names the application of these very objects. */
export function namedObjects(objects: readonly UntypedObject[]): string {
  return `${applying}${digestOf(objects)}`;
}

export function isApplication(what: string): boolean {
  return what.startsWith(applying);
}
