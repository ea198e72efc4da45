// The settings of the file source, and where its files are.

import { encodeCommonFields } from '@etl-router/core';
import type { Fields } from '@etl-router/pipeline';
import type { SettingHelp } from '../connector-type.ts';

export const fileFormats = ['jsonl', 'csv', 'parquet'] as const;
export type FileFormat = (typeof fileFormats)[number];

export interface CsvSettings {
  readonly delimiter: string;
  /** False: there is no header row and `columns` names the fields. */
  readonly header: boolean;
  readonly columns: readonly string[];
  /** `infer`: numbers, booleans and empty fields become numbers, booleans and nulls where that loses nothing. */
  readonly types: 'text' | 'infer';
}

export interface FileSourceSettings {
  readonly path: string;
  readonly format: FileFormat;
  readonly compression: 'auto' | 'none' | 'gzip';
  /** Wait for more at the end of each file, and for new files. */
  readonly follow: boolean;
  readonly maxRecordBytes: number;
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
    help: 'Wait for more lines and more files. Not for Parquet, not for gzip.',
  },
  {
    name: 'maxRecordBytes',
    type: 'size',
    fallback: '1Mi',
    help: 'Longest line or row; a longer one stops the source with an error that says where it is. 16 to 16Mi.',
  },
  {
    name: 'type',
    type: 'text',
    fallback: '',
    help: 'Type of the records, such as `io.example.order.v1`.',
  },
  { name: 'csv.delimiter', type: 'text', fallback: ',', help: 'One character between two fields.' },
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
    help: 'infer: numbers, `true`, `false` and empty fields become numbers, booleans and null where nothing is lost by it.',
  },
];

/** What a record has beside its payload and what all records have in common: its position, tags and lengths. */
export const frameBytesMax = 32;

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
    type: fields.text('type') ?? '',
    csv: readCsv(fields.fields('csv')),
  };
}

function readCsv(fields: Fields | undefined): CsvSettings {
  if (fields === undefined) return { delimiter: ',', header: true, columns: [], types: 'text' };
  const delimiter = fields.text('delimiter') ?? ',';
  if (!/^[\t -~]$/.test(delimiter) || delimiter === '"') {
    fields.report('delimiter', {
      code: 'BadValue',
      message: 'needs one ASCII character that is no quote and no line break',
    });
  }
  const header = fields.boolean('header', true);
  const columns = readColumns(fields);
  if (!header && columns.length === 0) {
    fields.report('columns', {
      code: 'MissingField',
      message: 'is needed where there is no header',
    });
  }
  const types = fields.oneOf('types', ['text', 'infer'] as const, 'text');
  fields.end();
  return { delimiter, header, columns, types };
}

function readColumns(fields: Fields): readonly string[] {
  const columns: string[] = [];
  for (const { value, path } of fields.list('columns')) {
    if (typeof value !== 'string') {
      fields.report('columns', { code: 'WrongType', message: `${path} needs a string` });
    } else if (columns.includes(value)) {
      const message = `names ${JSON.stringify(value)} twice`;
      fields.report('columns', { code: 'BadValue', message });
    } else columns.push(value);
  }
  return columns;
}

function guessFormat(path: string): FileFormat | undefined {
  const name = path.replace(/\.gz$/, '');
  if (/\.(jsonl|ndjson)$/.test(name)) return 'jsonl';
  if (name.endsWith('.csv')) return 'csv';
  return name.endsWith('.parquet') ? 'parquet' : undefined;
}
