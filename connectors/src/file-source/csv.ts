// A CSV row as a JSON object. Rows without quotes, which are nearly all, are cut here; the others are parsed by the
// library, which knows every corner of the format.

import { EtlError } from '@etl-router/core';
import { parse } from 'csv-parse/sync';
import type { CsvSettings } from './settings.ts';

const integer = /^-?(0|[1-9]\d{0,17})$/;
const decimal = /^-?(0|[1-9]\d{0,30})\.\d{1,30}$/;
/** As many significant digits survive a double and back, whatever they are. */
const exactDigits = 15;

/** The fields of one row. Throws ETL_RECORD_MALFORMED when its quotes do not match. */
export function splitRow(text: string, delimiter: string): string[] {
  if (!text.includes('"')) return text.split(delimiter);
  try {
    const [row = []] = parse(text, {
      delimiter,
      record_delimiter: '\n',
      relax_column_count: true,
    }) as string[][];
    return row;
  } catch (cause) {
    throw new EtlError('ETL_RECORD_MALFORMED', 'the row is no CSV: its quotes do not match', {
      cause,
    });
  }
}

/** Makes the JSON text of rows. The names are checked once: a repeated one would hide a field. */
export class RowFormat {
  readonly #settings: CsvSettings;
  readonly #keys: readonly string[];

  constructor(names: readonly string[], settings: CsvSettings, file: string) {
    const repeated = names.find((name, index) => names.indexOf(name) !== index);
    if (repeated !== undefined) {
      throw new EtlError(
        'ETL_CONNECTOR_FAILED',
        `${file}: the header names ${JSON.stringify(repeated)} twice`,
        { retryable: false },
      );
    }
    this.#settings = settings;
    this.#keys = names.map((name, index) => `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
  }

  /** The row as JSON; fields beyond the header are refused, missing ones are left out. */
  toJson(row: string): string {
    const fields = splitRow(row, this.#settings.delimiter);
    if (fields.length > this.#keys.length) {
      throw new EtlError(
        'ETL_RECORD_MALFORMED',
        `the row has ${fields.length} fields and the header ${this.#keys.length}`,
      );
    }
    const infer = this.#settings.types === 'infer';
    let text = '';
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index] as string;
      text += this.#keys[index] as string;
      text += infer ? inferJson(field) : JSON.stringify(field);
    }
    return fields.length === 0 ? '{}' : `${text}}`;
  }
}

/** A number, boolean or null where the text says exactly that; else the text. */
function inferJson(field: string): string {
  if (field === '') return 'null';
  if (field === 'true' || field === 'false') return field;
  if (integer.test(field) && field !== '-0') return field;
  if (decimal.test(field) && significantDigits(field) <= exactDigits) return field;
  return JSON.stringify(field);
}

function significantDigits(field: string): number {
  return field.replace(/[-.]/g, '').replace(/^0+|0+$/g, '').length;
}
