// Rows in memory, with a journal of what the present command changed: it becomes the changes for the applied store
// when the command is accepted, and is undone when it is refused. Rows are replaced, never edited in place, and so are
// all rows of a table at once. Nothing a command sees may depend on the order in which rows were put, so every walk over
// a table is in key order.

import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { assert, EtlError } from '@etl-router/core';
import { RowSet, sortKeys } from './row-set.ts';

export { joinKey, keySeparator } from './row-set.ts';

/** One row to write (or, without a value, to delete) in the applied store. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** So many changes that they are told one by one when they are written, and as of their command however late that is. */
export interface ManyChanges {
  readonly many: Iterable<Change>;
}

/** Rows that a command changed, for those who watch a table. */
export interface Touched {
  readonly table: string;
  /** Each is the parts of a key, joined by {@link keySeparator}. To be read at once; one may come twice. */
  readonly keys: Iterable<string>;
}

/** What a journal needs of the tables it spans. */
interface Journalled {
  readonly name: string;
  changes(): Iterable<Change | ManyChanges>;
  touchedKeys(): Iterable<string>;
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
  commit(): {
    readonly changes: readonly (Change | ManyChanges)[];
    readonly touched: readonly Touched[];
  } {
    const changes: (Change | ManyChanges)[] = [];
    const touched: Touched[] = [];
    for (const table of this.#touched) {
      for (const change of table.changes()) changes.push(change);
      touched.push({ table: table.name, keys: table.touchedKeys() });
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
  readonly #encode: (row: MessageShape<Schema>) => Uint8Array;
  readonly #journal: Journal;
  readonly #before = new Map<string, MessageShape<Schema> | undefined>();
  #rows: RowSet<MessageShape<Schema>>;
  /** All rows from before the present command, where it replaced them. */
  #replaced: RowSet<MessageShape<Schema>> | undefined;

  constructor(journal: Journal, options: TableOptions<Schema>) {
    this.name = options.name;
    this.tag = options.tag;
    this.#schema = options.schema;
    this.#rows = new RowSet(options.groupParts ?? 0);
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
    this.#rows.set(key, row);
  }

  delete(key: string): void {
    if (!this.#rows.has(key)) return;
    this.#remember(key);
    this.#rows.set(key, undefined);
  }

  /** No rows, for {@link Table.replace} when there are some. */
  emptyRows(): RowSet<MessageShape<Schema>> {
    return new RowSet(this.#rows.groupParts);
  }

  /** Puts these in the place of all rows, whose number costs nothing. They belong to the table from here on. */
  replace(rows: RowSet<MessageShape<Schema>>): void {
    assert(this.#before.size === 0, `${this.name} is replaced before anything else changes in it`);
    assert(rows.groupParts === this.#rows.groupParts, `these are rows of ${this.name}`);
    this.#journal.touch(this);
    this.#replaced ??= this.#rows;
    this.#rows = rows;
  }

  /** All keys in byte order. */
  keys(): readonly string[] {
    return this.#rows.keys();
  }

  /** All rows in order of their keys. */
  *rows(): Generator<MessageShape<Schema>> {
    for (const key of this.keys()) yield this.#rows.get(key) as MessageShape<Schema>;
  }

  /** The keys that start with the given parts, in byte order. */
  group(...parts: readonly string[]): readonly string[] {
    return sortKeys(this.#group(parts));
  }

  /** The rows whose keys start with the given parts, in no order: for what does not depend on one. */
  *groupRows(...parts: readonly string[]): Generator<MessageShape<Schema>> {
    for (const key of this.#group(parts)) yield this.#rows.get(key) as MessageShape<Schema>;
  }

  /** Number of keys that start with the given parts. */
  groupSize(...parts: readonly string[]): number {
    return this.#group(parts).size;
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
    this.#rows.set(key, row);
  }

  /** What the present command changed: the rows as they are now, however late they are asked for their bytes. */
  *changes(): Generator<Change | ManyChanges> {
    if (this.#replaced !== undefined) {
      yield { many: this.#replacement(this.#replaced, this.#rows.entries()) };
      return;
    }
    for (const key of this.#before.keys()) yield this.#change(key, this.#rows.get(key));
  }

  touchedKeys(): Iterable<string> {
    const replaced = this.#replaced;
    return replaced === undefined ? [...this.#before.keys()] : bothKeys(replaced, this.#rows);
  }

  keyBytes(key: string): Uint8Array {
    return Buffer.from(this.tag + key, 'utf8');
  }

  valueBytes(key: string): Uint8Array | undefined {
    const row = this.#rows.get(key);
    return row === undefined ? undefined : this.#encode(row);
  }

  settle(): void {
    this.#before.clear();
    this.#replaced = undefined;
  }

  undo(): void {
    if (this.#replaced !== undefined) this.#rows = this.#replaced;
    else for (const [key, row] of this.#before) this.#rows.set(key, row);
    this.settle();
  }

  #remember(key: string): void {
    if (this.#replaced !== undefined) return;
    if (this.#before.size === 0) this.#journal.touch(this);
    if (!this.#before.has(key)) this.#before.set(key, this.#rows.get(key));
  }

  #group(parts: readonly string[]): ReadonlySet<string> {
    const { groupParts } = this.#rows;
    assert(parts.length === groupParts, `${this.name} is grouped by ${groupParts} parts`);
    return this.#rows.group(parts);
  }

  #change(key: string, row: MessageShape<Schema> | undefined): Change {
    const stored = this.keyBytes(key);
    return row === undefined
      ? { key: stored, value: undefined }
      : new ChangedRow(stored, row, this.#encode);
  }

  /** Removes what was there, which nobody changes any more, and puts what is, whether or not they are the same. */
  *#replacement(
    before: RowSet<MessageShape<Schema>>,
    entries: Iterable<readonly [key: string, row: MessageShape<Schema>]>,
  ): Generator<Change> {
    for (const key of before.someKeys()) yield this.#change(key, undefined);
    for (const [key, row] of entries) yield this.#change(key, row);
  }
}

function bothKeys(one: RowSet<unknown>, other: RowSet<unknown>): Iterable<string> {
  return {
    *[Symbol.iterator]() {
      yield* one.someKeys();
      yield* other.someKeys();
    },
  };
}
