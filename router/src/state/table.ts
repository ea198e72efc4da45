// Rows in memory, with a journal of what the present command changed: it becomes the changes for the applied store
// when the command is accepted, and is undone when it is refused. Rows are replaced, never edited in place. Nothing
// a command sees may depend on the order in which rows were put, so every walk over a table is in key order.

import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { assert, EtlError } from '@etl-router/core';

/** One row to write (or, without a value, to delete) in the applied store. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** A row that a command changed, for those who watch a table. */
export interface Touched {
  readonly table: string;
  /** Parts of the key, joined by {@link keySeparator}. */
  readonly key: string;
}

/** Separates the parts of a key. No name contains it (names.ts). */
export const keySeparator = '\u0000';

/** Joins the parts of a key. */
export function joinKey(...parts: readonly string[]): string {
  return parts.join(keySeparator);
}

/** What a journal needs of the tables it spans. */
interface Journalled {
  readonly name: string;
  touchedKeys(): Iterable<string>;
  change(key: string): Change;
  settle(): void;
  undo(): void;
}

/** The tables that the present command touched. */
export class Journal {
  readonly #touched = new Set<Journalled>();

  get isEmpty(): boolean {
    return this.#touched.size === 0;
  }

  touch(table: Journalled): void {
    this.#touched.add(table);
  }

  /** Accepts what was done, and returns it. */
  commit(): { readonly changes: readonly Change[]; readonly touched: readonly Touched[] } {
    const changes: Change[] = [];
    const touched: Touched[] = [];
    for (const table of this.#touched) {
      for (const key of table.touchedKeys()) {
        changes.push(table.change(key));
        touched.push({ table: table.name, key });
      }
      table.settle();
    }
    this.#touched.clear();
    return { changes, touched };
  }

  /** Undoes what was done. */
  rollback(): void {
    for (const table of this.#touched) table.undo();
    this.#touched.clear();
  }
}

/** A changed row, encoded when it is written: of rows that change again before, only the last ever is. */
class ChangedRow<Row> implements Change {
  readonly key: Uint8Array;
  readonly #row: Row;
  readonly #encode: (row: Row) => Uint8Array;

  constructor(key: Uint8Array, row: Row, encode: (row: Row) => Uint8Array) {
    this.key = key;
    this.#row = row;
    this.#encode = encode;
  }

  get value(): Uint8Array {
    return this.#encode(this.#row);
  }
}

export interface TableOptions<Row extends DescMessage> {
  readonly name: string;
  /** First character of the stored keys; never reused for another table. */
  readonly tag: string;
  readonly schema: Row;
  /** Parts of the key that {@link Table.group} selects by; 0: none. */
  readonly groupParts?: number;
  /** A faster encoder with the same bytes as the schema's. */
  readonly encode?: (row: MessageShape<Row>) => Uint8Array;
}

/** Rows of one kind by key. */
export class Table<Schema extends DescMessage> implements Journalled {
  readonly name: string;
  readonly tag: string;
  readonly #schema: Schema;
  readonly #groupParts: number;
  readonly #encode: (row: MessageShape<Schema>) => Uint8Array;
  readonly #journal: Journal;
  readonly #rows = new Map<string, MessageShape<Schema>>();
  readonly #groups = new Map<string, Set<string>>();
  readonly #before = new Map<string, MessageShape<Schema> | undefined>();
  #sorted: readonly string[] | undefined;

  constructor(journal: Journal, options: TableOptions<Schema>) {
    this.name = options.name;
    this.tag = options.tag;
    this.#schema = options.schema;
    this.#groupParts = options.groupParts ?? 0;
    this.#journal = journal;
    this.#encode = options.encode ?? ((row) => toBinary(options.schema, row));
  }

  get size(): number {
    return this.#rows.size;
  }

  get(key: string): MessageShape<Schema> | undefined {
    return this.#rows.get(key);
  }

  put(key: string, row: MessageShape<Schema>): void {
    this.#remember(key);
    this.#set(key, row);
  }

  delete(key: string): void {
    if (!this.#rows.has(key)) return;
    this.#remember(key);
    this.#set(key, undefined);
  }

  /** All keys in byte order. */
  keys(): readonly string[] {
    this.#sorted ??= sortKeys(this.#rows.keys());
    return this.#sorted;
  }

  /** All rows in order of their keys. */
  *rows(): Generator<MessageShape<Schema>> {
    for (const key of this.keys()) yield this.#rows.get(key) as MessageShape<Schema>;
  }

  /** The keys that start with the given parts, in byte order. */
  group(...parts: readonly string[]): readonly string[] {
    assert(
      parts.length === this.#groupParts,
      `${this.name} is grouped by ${this.#groupParts} parts`,
    );
    return sortKeys(this.#groups.get(joinKey(...parts)) ?? []);
  }

  /** The rows whose keys start with the given parts, in no order: for what does not depend on one. */
  *groupRows(...parts: readonly string[]): Generator<MessageShape<Schema>> {
    for (const key of this.#groups.get(joinKey(...parts)) ?? []) {
      yield this.#rows.get(key) as MessageShape<Schema>;
    }
  }

  /** Number of keys that start with the given parts. */
  groupSize(...parts: readonly string[]): number {
    return this.#groups.get(joinKey(...parts))?.size ?? 0;
  }

  /** Takes a stored row in, outside of any command. */
  load(key: string, value: Uint8Array): void {
    let row: MessageShape<Schema>;
    try {
      row = fromBinary(this.#schema, value);
    } catch (cause) {
      throw new EtlError(
        'ETL_STORAGE_CORRUPT',
        `the stored row of table ${this.name} can not be decoded`,
        { cause },
      );
    }
    this.#set(key, row);
  }

  touchedKeys(): Iterable<string> {
    return this.#before.keys();
  }

  keyBytes(key: string): Uint8Array {
    return Buffer.from(this.tag + key, 'utf8');
  }

  valueBytes(key: string): Uint8Array | undefined {
    const row = this.#rows.get(key);
    return row === undefined ? undefined : this.#encode(row);
  }

  /** The row as it is now, however late it is asked for its bytes: it is replaced, never edited. */
  change(key: string): Change {
    const row = this.#rows.get(key);
    const stored = this.keyBytes(key);
    return row === undefined
      ? { key: stored, value: undefined }
      : new ChangedRow(stored, row, this.#encode);
  }

  settle(): void {
    this.#before.clear();
  }

  undo(): void {
    for (const [key, row] of this.#before) this.#set(key, row);
    this.#before.clear();
  }

  #remember(key: string): void {
    if (this.#before.size === 0) this.#journal.touch(this);
    if (!this.#before.has(key)) this.#before.set(key, this.#rows.get(key));
  }

  #set(key: string, row: MessageShape<Schema> | undefined): void {
    if (row === undefined) {
      if (!this.#rows.delete(key)) return;
    } else {
      const size = this.#rows.size;
      this.#rows.set(key, row);
      if (this.#rows.size === size) return;
    }
    this.#sorted = undefined;
    if (this.#groupParts > 0) this.#regroup(key, row !== undefined);
  }

  #regroup(key: string, present: boolean): void {
    const name = key.split(keySeparator, this.#groupParts).join(keySeparator);
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

/** Sorts by the order of the keys' UTF-8 bytes, which is the order of code points. */
function sortKeys(keys: Iterable<string>): readonly string[] {
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
