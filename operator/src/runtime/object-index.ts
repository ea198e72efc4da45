// Finds objects by values that are computed from them.

import type { KubeObject } from './kube-object.ts';

/** The values that an object is found by. */
export type IndexFunction<T extends KubeObject> = (object: T) => readonly string[];

/** One index. */
export class ObjectIndex<T extends KubeObject> {
  readonly #of: IndexFunction<T>;
  readonly #onDefect: (error: unknown, key: string) => void;
  readonly #keys = new Map<string, Set<string>>();

  /** An object that `of` can not make sense of is not found, `onDefect` is told, and all others are found as before. */
  constructor(of: IndexFunction<T>, onDefect: (error: unknown, key: string) => void) {
    this.#of = of;
    this.#onDefect = onDefect;
  }

  /** The keys under a value. */
  find(value: string): readonly string[] {
    return [...(this.#keys.get(value) ?? [])];
  }

  add(key: string, object: T): void {
    for (const value of this.#valuesOf(key, object)) {
      const keys = this.#keys.get(value) ?? new Set();
      this.#keys.set(value, keys.add(key));
    }
  }

  remove(key: string, object: T): void {
    for (const value of this.#valuesOf(key, object)) {
      const keys = this.#keys.get(value);
      keys?.delete(key);
      if (keys?.size === 0) this.#keys.delete(value);
    }
  }

  #valuesOf(key: string, object: T): readonly string[] {
    try {
      return this.#of(object);
    } catch (error) {
      this.#onDefect(error, key);
      return [];
    }
  }
}
