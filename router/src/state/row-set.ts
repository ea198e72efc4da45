// Rows of one kind by key, and the keys of each group of them. What a table holds is one of these, and what is to take
// its place is built as another. Every walk in an order is in that of the keys' bytes.

/** Separates the parts of a key. No name contains it (names.ts). */
export const keySeparator = '\u0000';

/** Joins the parts of a key. */
export function joinKey(...parts: readonly string[]): string {
  return parts.join(keySeparator);
}

export class RowSet<Row> {
  /** Parts of a key that its group is named by; 0: there are no groups. */
  readonly groupParts: number;
  readonly #rows = new Map<string, Row>();
  readonly #groups = new Map<string, Set<string>>();
  #sorted: readonly string[] | undefined;

  constructor(groupParts: number) {
    this.groupParts = groupParts;
  }

  get size(): number {
    return this.#rows.size;
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  get(key: string): Row | undefined {
    return this.#rows.get(key);
  }

  /** Puts a row; undefined: removes it. */
  set(key: string, row: Row | undefined): void {
    if (row === undefined) {
      if (!this.#rows.delete(key)) return;
    } else {
      const size = this.#rows.size;
      this.#rows.set(key, row);
      if (this.#rows.size === size) return;
    }
    this.#sorted = undefined;
    if (this.groupParts > 0) this.#regroup(key, row !== undefined);
  }

  /** All keys in byte order. */
  keys(): readonly string[] {
    this.#sorted ??= sortKeys(this.#rows.keys());
    return this.#sorted;
  }

  /** All keys in no order, to be read at once: for what does not depend on one. */
  someKeys(): Iterable<string> {
    return this.#rows.keys();
  }

  /** All rows as of now with their keys, in no order, however late they are read. */
  entries(): Iterable<readonly [key: string, row: Row]> {
    return zip([...this.#rows.keys()], [...this.#rows.values()]);
  }

  /** Keys of a group in no order. */
  group(parts: readonly string[]): ReadonlySet<string> {
    return this.#groups.get(joinKey(...parts)) ?? noKeys;
  }

  #regroup(key: string, present: boolean): void {
    const name = key.split(keySeparator, this.groupParts).join(keySeparator);
    const group = this.#groups.get(name);
    if (present) {
      if (group === undefined) this.#groups.set(name, new Set([key]));
      else group.add(key);
      return;
    }
    group?.delete(key);
    if (group?.size === 0) this.#groups.delete(name);
  }
}

const noKeys: ReadonlySet<string> = new Set();

function* zip<Row>(
  keys: readonly string[],
  rows: readonly Row[],
): Generator<readonly [key: string, row: Row]> {
  for (const [at, key] of keys.entries()) yield [key, rows[at] as Row];
}

/** Sorts by the order of the keys' UTF-8 bytes, which is the order of code points. */
export function sortKeys(keys: Iterable<string>): readonly string[] {
  return Array.from(keys).sort(compareCodePoints);
}

/** Order of code points: that of UTF-16 code units, but for surrogates, which come last. */
function compareCodePoints(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    const leftHigh = left >= 0xd800 && left <= 0xdfff;
    const rightHigh = right >= 0xd800 && right <= 0xdfff;
    return leftHigh === rightHigh ? left - right : leftHigh ? 1 : -1;
  }
  return a.length - b.length;
}
