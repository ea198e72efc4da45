// A table's columns as a sink fills them: which there are, where each takes its value from, what happens to fields
// that no column takes. Turns records into rows of cells, and says for each record that does not fit why.

import { isEtlError, type RecordBatch, type RecordFailure } from '@etl-router/core';
import { type Cell, type Converter, createConverter, describeValue } from './convert.ts';
import { addEvidence, type FieldEvidence, inferColumnType, noEvidence } from './infer.ts';
import {
  fieldOfPath,
  type PayloadObject,
  parseValuePath,
  readField,
  type ValueReader,
} from './path.ts';
import { type ColumnType, formatColumnType } from './type.ts';

/** One column, as settings or inference define it. */
export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** A path of {@link parseValuePath}; undefined: the payload's field of the column's name. */
  readonly from: string | undefined;
}

/** What happens to a payload field that no column takes. */
export type NewFields = 'error' | 'ignore' | 'addColumns';
export const newFieldsPolicies: readonly NewFields[] = ['error', 'ignore', 'addColumns'];

/** Most columns a table may have or grow to. */
export const maxColumns = 1000;

interface CompiledColumn extends Column {
  readonly read: ValueReader;
  readonly convert: Converter;
}

/** Rows of one batch, column by column. */
export interface Rows {
  /** For column c: the cells of all rows. */
  readonly cells: (Cell | null)[][];
  /** For row r: index of its record in the batch. */
  readonly records: number[];
  readonly failures: RecordFailure[];
}

/** Columns ready to read records. Immutable: a table that grew is another one. */
export class Table {
  readonly columns: readonly Column[];
  readonly newFields: NewFields;
  readonly #compiled: readonly CompiledColumn[];
  readonly #fields: ReadonlySet<string>;

  constructor(columns: readonly Column[], newFields: NewFields) {
    this.columns = columns;
    this.newFields = newFields;
    this.#compiled = columns.map((column) => ({
      ...column,
      read:
        column.from === undefined
          ? readField(column.name)
          : parseValuePath(column.from, `columns.${column.name}.from`),
      convert: createConverter(column.type),
    }));
    const fields = columns.map(({ name, from }) => (from === undefined ? name : fieldOfPath(from)));
    this.#fields = new Set(fields.filter((field) => field !== undefined));
  }

  /** The table with columns for the fields of `batch` that it does not have; itself when there are none. */
  grownBy(batch: RecordBatch): Table {
    const evidence = new Map<string, FieldEvidence>();
    const taken = new Set(this.columns.map(({ name }) => name.toLowerCase()));
    for (let index = 0; index < batch.count; index++) {
      const value = payloadObject(batch, index);
      if (typeof value === 'string') continue;
      for (const field in value) {
        if (this.#fields.has(field)) continue;
        let seen = evidence.get(field);
        if (seen === undefined) {
          if (!isColumnName(field) || taken.has(field.toLowerCase())) continue;
          if (taken.size >= maxColumns) continue;
          taken.add(field.toLowerCase());
          seen = noEvidence();
          evidence.set(field, seen);
        }
        addEvidence(seen, value[field]);
      }
    }
    if (evidence.size === 0) return this;
    const added = Array.from(evidence, ([name, seen]) => ({
      name,
      type: inferColumnType(seen),
      from: undefined,
    }));
    return new Table([...this.columns, ...added], this.newFields);
  }

  /** The rows of all records that fit; every other record is a failure. */
  rows(batch: RecordBatch): Rows {
    const columns = this.#compiled;
    const cells: (Cell | null)[][] = columns.map(() => []);
    const rows: Rows = { cells, records: [], failures: [] };
    const row: (Cell | null)[] = columns.map(() => null);
    for (let index = 0; index < batch.count; index++) {
      const failure = this.#fillRow(row, batch, index);
      if (failure !== undefined) {
        rows.failures.push(failure);
        continue;
      }
      rows.records.push(index);
      for (let at = 0; at < row.length; at++) {
        (cells[at] as (Cell | null)[]).push(row[at] as Cell | null);
      }
    }
    return rows;
  }

  #fillRow(row: (Cell | null)[], batch: RecordBatch, index: number): RecordFailure | undefined {
    const value = payloadObject(batch, index);
    if (typeof value === 'string') return failed(index, value, notAnObject(value));
    if (this.newFields !== 'ignore') {
      for (const field in value) {
        if (!this.#fields.has(field)) return failed(index, 'UNKNOWN_FIELD', this.#unknown(field));
      }
    }
    const columns = this.#compiled;
    for (let at = 0; at < columns.length; at++) {
      const column = columns[at] as CompiledColumn;
      const source = column.read(batch, index, value);
      const cell = column.convert(source);
      if (cell === undefined) {
        const type = formatColumnType(column.type);
        return failed(
          index,
          'TYPE_MISMATCH',
          `column ${printable(column.name)}: ${describeValue(source)} does not fit ${type} exactly`,
        );
      }
      row[at] = cell;
    }
    return undefined;
  }

  #unknown(field: string): string {
    const name = printable(field);
    if (!isColumnName(field)) return `field ${name} can not be a column's name`;
    const lower = field.toLowerCase();
    if (this.columns.some((column) => column.name.toLowerCase() === lower)) {
      return `field ${name} differs from a column only in case; name both in the setting columns`;
    }
    return this.columns.length >= maxColumns
      ? `field ${name} would be column ${maxColumns + 1}; the bound is ${maxColumns}`
      : `field ${name} has no column; see the settings columns and newFields`;
  }
}

/** Whether a field's name can be that of a column: 1 to 255 bytes of text without control characters. */
export function isColumnName(name: string): boolean {
  return (
    name !== '' &&
    name.isWellFormed() &&
    Buffer.byteLength(name) <= 255 &&
    !/[\u0000-\u001f\u007f]/.test(name)
  );
}

/** A name as messages may show it. */
export function printable(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 57)}...` : name);
}

/** The payload as an object; else the code of the failure. */
function payloadObject(
  batch: RecordBatch,
  index: number,
): PayloadObject | 'NOT_JSON' | 'NOT_AN_OBJECT' {
  let value: unknown;
  try {
    value = batch.value(index);
  } catch (error) {
    if (isEtlError(error)) return 'NOT_JSON';
    throw error;
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as PayloadObject)
    : 'NOT_AN_OBJECT';
}

function notAnObject(code: 'NOT_JSON' | 'NOT_AN_OBJECT'): string {
  return code === 'NOT_JSON'
    ? 'the payload is not JSON'
    : 'the payload is not a JSON object, so it has no columns';
}

function failed(index: number, code: string, message: string): RecordFailure {
  return { index, code, message, retryable: false };
}
