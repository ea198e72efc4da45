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
  readonly cells: readonly (readonly (Cell | null)[])[];
  /** For row r: index of its record in the batch. */
  readonly records: readonly number[];
  /** By ascending index, one a record. */
  readonly failures: readonly RecordFailure[];
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

  /** The rows of a batch, one column after the other. When there are failures, cells and records are void. */
  rows(batch: RecordBatch): Rows {
    const failures = new Map<number, RecordFailure>();
    const records: number[] = [];
    const values: PayloadObject[] = [];
    for (let index = 0; index < batch.count; index++) {
      const value = payloadObject(batch, index);
      if (typeof value === 'string') {
        failures.set(index, failed(index, value, notAnObject(value)));
        continue;
      }
      const unknown = this.newFields === 'ignore' ? undefined : this.#findUnknown(value);
      if (unknown !== undefined) {
        failures.set(index, failed(index, 'UNKNOWN_FIELD', this.#describeUnknown(unknown)));
      }
      records.push(index);
      values.push(value);
    }
    const cells = this.#compiled.map((column) =>
      fill(column, { batch, records, values, failures }),
    );
    const inOrder = [...failures.values()].sort((a, b) => a.index - b.index);
    return { cells, records, failures: inOrder };
  }

  #findUnknown(value: PayloadObject): string | undefined {
    for (const field in value) {
      if (!this.#fields.has(field)) return field;
    }
    return undefined;
  }

  #describeUnknown(field: string): string {
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

interface Filling {
  readonly batch: RecordBatch;
  readonly records: readonly number[];
  readonly values: readonly PayloadObject[];
  /** By index; gets those of this column whose record did not fail before. */
  readonly failures: Map<number, RecordFailure>;
}

/** The cells of one column; null where a value does not fit. */
function fill(
  column: CompiledColumn,
  { batch, records, values, failures }: Filling,
): (Cell | null)[] {
  const { read, convert } = column;
  const cells: (Cell | null)[] = [];
  for (let row = 0; row < values.length; row++) {
    const source = read(batch, records[row] as number, values[row] as PayloadObject);
    const cell = source === null || source === undefined ? null : convert(source);
    cells.push(cell ?? null);
    if (cell !== undefined) continue;
    const index = records[row] as number;
    if (!failures.has(index)) failures.set(index, misfit(column, source, index));
  }
  return cells;
}

function misfit({ name, type }: Column, source: unknown, index: number): RecordFailure {
  const wanted = formatColumnType(type);
  return failed(
    index,
    'TYPE_MISMATCH',
    `column ${printable(name)}: ${describeValue(source)} does not fit ${wanted} exactly`,
  );
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
