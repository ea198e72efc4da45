// What this process wrote last and the caches do not show yet. Versions say nothing of before and after, so those that a
// write replaced are remembered: a cache that shows one of them is late, a cache that shows any other is right.

import type { KubeObject } from '../runtime/kube-object.ts';

interface Written<T> {
  readonly object: T;
  readonly replaced: ReadonlySet<string>;
}

export class LatestWrites<T extends KubeObject> {
  readonly #written = new Map<string, Written<T>>();

  /** The object as it is known best. */
  of(key: string, cached: T): T {
    const written = this.#written.get(key);
    if (written === undefined) return cached;
    const { uid, resourceVersion = '' } = cached.metadata;
    if (uid === written.object.metadata.uid && written.replaced.has(resourceVersion))
      return written.object;
    this.#written.delete(key);
    return cached;
  }

  /** Notes that `object` is what `before` became. */
  note(key: string, before: T, object: T): void {
    const { resourceVersion = '' } = before.metadata;
    if (object.metadata.resourceVersion === resourceVersion) return;
    const known = this.#written.get(key);
    const isNext = known?.object.metadata.resourceVersion === resourceVersion;
    const replaced = new Set(isNext ? known?.replaced : []).add(resourceVersion);
    this.#written.set(key, { object, replaced });
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}
