// The settings of the file source, and where its files are.

import { encodeCommonFields } from '@etl-router/core';
import type { Fields } from '@etl-router/pipeline';
import type { SettingHelp } from '../connector-type.ts';

export const fileFormats = ['jsonl', 'csv', 'parquet'] as const;
export type FileFormat = (typeof fileFormats)[number];

export interface CsvSettings {
  readonly delimiter: string;
  /** Empty: fields are never quoted. */
  readonly quote: string;
  /** False: there is no header row and `columns` names the fields. */
  readonly header: boolean;
  readonly columns: readonly string[];
  /** `infer`: numbers, booleans and empty fields become numbers, booleans and nulls where that loses nothing. */
  readonly types: 'text' | 'infer';
  /** Fields that a row leaves out at its end are left out of the record. */
  readonly allowShortRows: boolean;
}

export interface FileSourceSettings {
  readonly path: string;
  readonly format: FileFormat;
  readonly compression: 'auto' | 'none' | 'gzip';
  /** Wait for more at the end of each file, and for new files. */
  readonly follow: boolean;
  readonly maxRecordBytes: number;
  /** What becomes of a record that is too long or no CSV. */
  readonly onMalformed: 'fail' | 'skip' | 'keep';
  /** What becomes of a lane whose file is not the one it has a position of. */
  readonly onReplaced: 'fail' | 'restart';
  readonly type: string;
  readonly csv: CsvSettings;
}

export const fileSourceHelp: readonly SettingHelp[] = [
  {
    name: 'path',
    type: 'text',
    fallback: 'required',
    help: 'A file, or a glob such as `in/**/*.jsonl`. Each file is a partition.',
  },
  {
    name: 'format',
    type: 'jsonl, csv or parquet',
    fallback: 'by the file name',
    help: 'What the files hold.',
  },
  {
    name: 'compression',
    type: 'auto, none or gzip',
    fallback: 'auto',
    help: 'auto: gzip where the name ends in `.gz`.',
  },
  {
    name: 'follow',
    type: 'true or false',
    fallback: 'false',
    help: 'Wait for more lines and more files. Not for Parquet and gzip.',
  },
  {
    name: 'maxRecordBytes',
    type: 'size',
    fallback: '1Mi',
    help: 'Longest line, row or Parquet row as JSON, 16 to 16Mi. A longer line or row is malformed.',
  },
  {
    name: 'onMalformed',
    type: 'fail, skip or keep',
    fallback: 'fail',
    help: 'What becomes of a row that is no CSV, and of a line or row that is too long. fail: the source stops and says where it is. skip: it is left out and logged. keep: it goes on as `application/octet-stream` with the header `etl-source-error`; a too long one without what is beyond maxRecordBytes.',
  },
  {
    name: 'onReplaced',
    type: 'fail or restart',
    fallback: 'fail',
    help: 'What happens when a file is not the one that was read before. restart: the new one is read from its beginning.',
  },
  {
    name: 'type',
    type: 'text',
    fallback: '',
    help: 'Type of the records, such as `io.example.order.v1`.',
  },
  {
    name: 'csv.delimiter',
    type: 'text',
    fallback: ',',
    help: 'The ASCII character between two fields.',
  },
  {
    name: 'csv.quote',
    type: 'text',
    fallback: '"',
    help: 'The ASCII character around fields, doubled within them; empty: there is none.',
  },
  {
    name: 'csv.header',
    type: 'true or false',
    fallback: 'true',
    help: 'The first row names the fields.',
  },
  {
    name: 'csv.columns',
    type: 'list of text',
    fallback: '',
    help: 'Names of the fields where there is no header.',
  },
  {
    name: 'csv.types',
    type: 'text or infer',
    fallback: 'text',
    help: 'infer: unquoted numbers, `true`, `false` and empty fields become numbers, booleans and null where nothing is lost by it.',
  },
  {
    name: 'csv.allowShortRows',
    type: 'true or false',
    fallback: 'false',
    help: 'Rows may end early; the fields they lack are left out. Else they are malformed.',
  },
];

/** What a record has beside its payload and what all records have in common: its position, tags and lengths. */
export const frameBytesMax = 40;

/** What the records of these settings have in common. */
export function commonFields({ type }: FileSourceSettings): Buffer {
  return encodeCommonFields({ type, contentType: 'application/json' });
}

/** Reads the settings and checks what goes together. */
export function readFileSource(fields: Fields): FileSourceSettings {
  const path = fields.requiredText('path') ?? '';
  const guessed = guessFormat(path);
  if (guessed === undefined && !fields.has('format')) {
    fields.report('format', {
      code: 'MissingField',
      message: `is needed: the name of the file does not say whether it is ${fileFormats.join(', ')}`,
    });
  }
  const format = fields.oneOf('format', fileFormats, guessed ?? 'jsonl');
  const compression = fields.oneOf('compression', ['auto', 'none', 'gzip'] as const, 'auto');
  const follow = fields.boolean('follow', false);
  const isGzip = compression === 'gzip' || (compression === 'auto' && path.endsWith('.gz'));
  if (follow && (format === 'parquet' || isGzip)) {
    fields.report('follow', {
      code: 'BadValue',
      message: 'is for plain lines; a Parquet or gzip file can not grow',
    });
  }
  if (format !== 'csv' && fields.has('csv')) {
    fields.report('csv', { code: 'BadValue', message: `is for CSV; the format is ${format}` });
  }
  return {
    path,
    format,
    compression,
    follow,
    maxRecordBytes: fields.bytes('maxRecordBytes', 1_048_576, { min: 16, max: 16_777_216 }),
    onMalformed: fields.oneOf('onMalformed', ['fail', 'skip', 'keep'] as const, 'fail'),
    onReplaced: fields.oneOf('onReplaced', ['fail', 'restart'] as const, 'fail'),
    type: fields.text('type') ?? '',
    csv: readCsv(fields.fields('csv')),
  };
}

const csvDefaults: CsvSettings = {
  delimiter: ',',
  quote: '"',
  header: true,
  columns: [],
  types: 'text',
  allowShortRows: false,
};

function readCsv(fields: Fields | undefined): CsvSettings {
  if (fields === undefined) return csvDefaults;
  const delimiter = readCharacter(fields, 'delimiter', csvDefaults.delimiter);
  const quote = fields.text('quote') === '' ? '' : readCharacter(fields, 'quote', '"');
  if (delimiter === quote) {
    fields.report('quote', { code: 'BadValue', message: 'is the delimiter too' });
  }
  const header = fields.boolean('header', csvDefaults.header);
  const columns = fields.list('columns').flatMap(({ value, path }) => {
    if (typeof value === 'string') return [value];
    fields.report('columns', { code: 'WrongType', message: `${path} needs a string` });
    return [];
  });
  const repeated = columns.find((name, index) => columns.indexOf(name) !== index);
  if (repeated !== undefined) {
    const message = `names ${JSON.stringify(repeated.slice(0, 100))} twice`;
    fields.report('columns', { code: 'BadValue', message });
  }
  if (header === fields.has('columns')) {
    fields.report('columns', {
      code: header ? 'BadValue' : 'MissingField',
      message: header ? 'is for files without a header' : 'is needed where there is no header',
      suggestion: header ? 'set header: false' : undefined,
    });
  }
  const types = fields.oneOf('types', ['text', 'infer'] as const, csvDefaults.types);
  const allowShortRows = fields.boolean('allowShortRows', csvDefaults.allowShortRows);
  fields.end();
  return { delimiter, quote, header, columns, types, allowShortRows };
}

function readCharacter(fields: Fields, name: string, fallback: string): string {
  const text = fields.text(name) ?? fallback;
  if (/^[\t\x20-\x7e]$/.test(text)) return text;
  fields.report(name, { code: 'BadValue', message: 'needs one ASCII character, no line break' });
  return fallback;
}

function guessFormat(path: string): FileFormat | undefined {
  const name = path.replace(/\.gz$/, '');
  if (/\.(jsonl|ndjson)$/.test(name)) return 'jsonl';
  if (name.endsWith('.csv')) return 'csv';
  return name.endsWith('.parquet') ? 'parquet' : undefined;
}
