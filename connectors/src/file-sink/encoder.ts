// The three formats behind one interface: making rows of a batch, which needs no file, and bytes of rows, which does.

import { gzipSync } from 'node:zlib';
import type { RecordBatch, RecordFailure } from '@etl-router/core';
import { type Column, type Rows, Table } from '../columns/table.ts';
import { isSameType } from '../columns/type.ts';
import { encodeCsvRows, encodeHeader } from './csv.ts';
import { encodeLines } from './lines.ts';
import { ParquetFile } from './parquet.ts';
import type { FileSinkSettings } from './settings.ts';
import type { SinkState } from './state.ts';

/** A batch on its way into a file; nothing of it is stored when there are failures. */
export interface Prepared {
  readonly count: number;
  readonly failures: readonly RecordFailure[];
  /** Columns it was made for; undefined for lines. A file has one list of columns. */
  readonly table: Table | undefined;
  readonly rows: Rows | undefined;
  readonly bytes: Buffer | undefined;
}

/** What goes into the file for one prepared batch. */
export interface Encoded {
  readonly bytes: Buffer;
  readonly rowGroup: string | undefined;
}

/** Row groups of one file, so that its footer stays small. */
const maxRowGroups = 2000;

/** Encodes for one output as it stands; a new one is made whenever the output is opened. */
export class Encoder {
  readonly #settings: FileSinkSettings;
  #table: Table | undefined;
  #parquet: ParquetFile | undefined;
  /** Of the current file; undefined: there is none, or it has lines. */
  #fileColumns: readonly Column[] | undefined;

  constructor(settings: FileSinkSettings, state: SinkState) {
    this.#settings = settings;
    if (settings.format === 'jsonl') return;
    const columns = settings.columns ?? state.columns;
    if (columns !== undefined) this.#table = new Table(columns, settings.newFields);
    const { file, rowGroups } = state;
    if (file === undefined) return;
    this.#fileColumns = state.columns ?? [];
    if (settings.format === 'parquet') {
      this.#parquet = new ParquetFile(this.#fileColumns, file.length, rowGroups);
    }
  }

  get table(): Table | undefined {
    return this.#table;
  }

  /** Whether the current file takes no more, whatever its size. */
  get isFull(): boolean {
    return this.#parquet !== undefined && this.#parquet.groups >= maxRowGroups;
  }

  /** Rows of a batch. Safe to call while other batches are being stored; check with {@link fits} before storing. */
  prepare(batch: RecordBatch): Prepared {
    const { count } = batch;
    if (this.#settings.format === 'jsonl') {
      const { bytes, failures } = encodeLines(batch);
      const isStored = failures.length === 0 && count > 0;
      return {
        count,
        failures,
        table: undefined,
        rows: undefined,
        bytes: isStored ? this.#compressed(bytes) : undefined,
      };
    }
    const table = this.#tableFor(batch);
    const rows = table.rows(batch);
    const failures =
      table.columns.length > 0 ? rows.failures : [...rows.failures, ...rows.records.map(noColumns)];
    return { count, failures, table, rows, bytes: undefined };
  }

  /** Whether the batch was prepared for the columns as they are now or may become. */
  fits({ table }: Prepared): boolean {
    return (
      table === undefined ||
      this.#table === undefined ||
      this.#table.columns.every((column, index) => column === table.columns[index])
    );
  }

  /** Whether the batch needs another file than the current one, since its columns are others. */
  needsNewFile({ table }: Prepared): boolean {
    return (
      table !== undefined &&
      this.#fileColumns !== undefined &&
      !areSameColumns(this.#fileColumns, table.columns)
    );
  }

  /** The columns from here on are those of the batch. */
  adopt({ table }: Prepared): void {
    this.#table = table;
    this.#fileColumns = table?.columns;
  }

  /** The bytes that follow in a file of `length` bytes. */
  encode(prepared: Prepared, length: number): Encoded {
    const { format, header, delimiter } = this.#settings;
    const { table, rows, bytes } = prepared;
    if (table === undefined || rows === undefined) {
      return { bytes: bytes ?? Buffer.alloc(0), rowGroup: undefined };
    }
    if (format === 'parquet') {
      this.#parquet ??= new ParquetFile(table.columns, 0, []);
      return this.#parquet.append(rows);
    }
    const lines = encodeCsvRows(table.columns, rows, delimiter);
    const head = header && length === 0 ? encodeHeader(table.columns, delimiter) : Buffer.alloc(0);
    return { bytes: this.#compressed(Buffer.concat([head, lines])), rowGroup: undefined };
  }

  /** What ends the current file. */
  end(): Buffer {
    const tail = this.#parquet?.finish() ?? Buffer.alloc(0);
    this.#parquet = undefined;
    this.#fileColumns = undefined;
    return tail;
  }

  #tableFor(batch: RecordBatch): Table {
    const { columns, newFields, format } = this.#settings;
    const table = this.#table;
    if (table === undefined) return new Table(columns ?? [], newFields).grownBy(batch);
    return newFields === 'addColumns' && format === 'parquet' ? table.grownBy(batch) : table;
  }

  /** A gzip member of its own, so that a file can be cut at every write and still be read. */
  #compressed(bytes: Buffer): Buffer {
    return this.#settings.gzip ? gzipSync(bytes, { level: 6 }) : bytes;
  }
}

function areSameColumns(a: readonly Column[], b: readonly Column[]): boolean {
  return (
    a.length === b.length &&
    a.every((column, index) => {
      const other = b[index] as Column;
      return column.name === other.name && isSameType(column.type, other.type);
    })
  );
}

function noColumns(index: number): RecordFailure {
  return {
    index,
    code: 'NO_COLUMNS',
    message: 'no columns are known yet and the record shows no field to make one of',
    retryable: false,
  };
}
