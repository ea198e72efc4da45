// The settings of the file source and the file sink.

import {
  choice,
  count,
  duration,
  flag,
  list,
  type ObjectSchema,
  object,
  type Rule,
  required,
  type Schema,
  text,
} from '../schema.ts';
import { byteSize } from '../shared.ts';
import { tableFields } from './shared.ts';

const csv: ObjectSchema = object(
  'How CSV is read.',
  {
    delimiter: text('The ASCII character between two fields.', {
      max: 1,
      pattern: '^[\\t\\x20-\\x7e]$',
      fallback: ',',
    }),
    quote: text('The ASCII character around fields, doubled within them; empty: there is none.', {
      min: 0,
      max: 1,
      pattern: '^[\\t\\x20-\\x7e]?$',
      fallback: '"',
    }),
    header: flag('Whether the first row names the fields.', { fallback: true }),
    columns: list(
      'Names of the fields, where there is no header.',
      text('One name.', { min: 0, max: 255 }),
      { max: 1000, by: 'set' },
    ),
    types: choice(
      'infer: unquoted numbers, true, false and empty fields become numbers, booleans and null where nothing is lost by it.',
      ['text', 'infer'],
      { fallback: 'text' },
    ),
    allowShortRows: flag(
      'Whether rows may end early; the fields that they lack are left out. Else they are malformed.',
      { fallback: false },
    ),
  },
  {
    rules: [
      {
        rule: 'self.delimiter != self.quote',
        message: 'quote is the delimiter too: choose another character for one of them',
      },
      {
        rule: 'self.header != has(self.columns)',
        message: 'needs columns where header is false, and only there',
      },
    ],
  },
);

/** Whether the settings say that the file is of a format, by `format` or by the file's name. */
const isFormat = (format: string, names: string): string =>
  `(has(self.format) ? self.format == '${format}' : self.path.matches('[.](${names})([.]gz)?$'))`;

const sourceRules: readonly Rule[] = [
  {
    rule: `has(self.format) || self.path.matches('[.](jsonl|ndjson|csv|parquet)([.]gz)?$')`,
    message: 'needs format, jsonl, csv or parquet: the name in path does not say which it is',
  },
  {
    rule: `!has(self.csv) || ${isFormat('csv', 'csv')}`,
    message: 'csv is for the format csv: leave it out, or set the format',
  },
  {
    rule: `!self.follow || !(${isFormat('parquet', 'parquet')} || self.compression == 'gzip' || (self.compression == 'auto' && self.path.endsWith('.gz')))`,
    message: 'follow is for plain lines: a Parquet or gzip file can not grow',
  },
];

const sourceFields: { readonly [name: string]: Schema } = {
  path: required(
    text('A file, or a glob such as in/**/*.jsonl. Each file is a partition.', {
      max: 4096,
      format: 'path',
    }),
  ),
  format: choice('What the files hold. Left out: as their name says.', ['jsonl', 'csv', 'parquet']),
  compression: choice('auto: gzip where the name ends in .gz.', ['auto', 'none', 'gzip'], {
    fallback: 'auto',
  }),
  follow: flag('Whether to wait for more lines and more files. Not for Parquet and gzip.', {
    fallback: false,
  }),
  maxRecordBytes: byteSize('The longest line or row. A longer one is malformed.', {
    min: '16',
    max: '16Mi',
    fallback: '1Mi',
  }),
  onMalformed: choice(
    'What becomes of a row that is no CSV, and of a line or row that is too long. fail: the source stops and says where it is. skip: it is left out and logged. keep: it goes on as application/octet-stream with the header etl-source-error.',
    ['fail', 'skip', 'keep'],
    { fallback: 'fail' },
  ),
  onReplaced: choice(
    'What happens when a file is not the one that was read before. restart: the new one is read from its beginning.',
    ['fail', 'restart'],
    { fallback: 'fail' },
  ),
  type: text('Type of the records, such as io.example.order.v1.', { min: 0, max: 1024 }),
  csv,
};

/** A source that reads files; `more` are fields of whoever embeds it. */
export function fileSource(
  description: string,
  more: { readonly [name: string]: Schema } = {},
): ObjectSchema {
  return object(description, { ...sourceFields, ...more }, { rules: sourceRules });
}

const isSinkCsv = isFormat('csv', '(?i:csv)');
const isSinkJsonl = isFormat('jsonl', '(?i:jsonl|ndjson)');
const isSinkParquet = isFormat('parquet', '(?i:parquet)');
const isSeries = "self.path.matches('[{]sequence[}][^/]*$')";

/** The sink that writes files. */
export const fileSink: ObjectSchema = object(
  'Writes files.',
  {
    path: required(
      text('One file, or with {sequence} in its name a series of files. Directories are made.', {
        max: 4096,
        pattern: '^[^\\x00]*[^/\\x00]$',
        format: 'path',
      }),
    ),
    format: choice('What a file holds; parquet needs a series. Left out: as the name ends.', [
      'jsonl',
      'csv',
      'parquet',
    ]),
    compress: choice('For jsonl and csv. Left out: gzip where the name ends in .gz.', [
      'none',
      'gzip',
    ]),
    delimiter: text('For csv: the character between two fields. Default a comma.', {
      max: 1,
      pattern: '^[^"\\r\\n]$',
    }),
    header: flag('For csv: whether the first line names the columns. Default true.'),
    ...tableFields(),
    rotate: object('For a series: when a file is finished and the next one begun.', {
      maxBytes: byteSize('When it has grown to this.', {
        min: '1',
        max: '1Ti',
        fallback: '128Mi',
      }),
      maxRecords: count('When it holds this many records.', { min: 1, max: 2 ** 52 }),
      maxAge: duration('This long after its first record.', { min: '100ms', max: '168h' }),
    }),
  },
  {
    rules: [
      {
        rule: `has(self.format) || ${isSinkCsv} || ${isSinkJsonl} || ${isSinkParquet}`,
        message: 'needs format, jsonl, csv or parquet: the name in path does not say which it is',
      },
      {
        rule: `!${isSinkParquet} || ${isSeries}`,
        message:
          'path needs {sequence} in the name of the file, as in part-{sequence}.parquet: a Parquet file can not be written in place',
      },
      {
        rule: "self.path.matches('(^|/)[^/]{1,200}$') && !self.path.matches('[{]sequence[}].*[{]sequence[}]')",
        message: 'path takes {sequence} once, and a name of the file of at most 200 characters',
      },
      {
        rule: `!self.path.contains('{sequence}') || ${isSeries}`,
        message: 'path takes {sequence} in the name of the file, not of a directory',
      },
      {
        rule: `${isSinkCsv} || !(has(self.delimiter) || has(self.header))`,
        message: 'delimiter and header are for the format csv: leave them out',
      },
      {
        rule: `!${isSinkJsonl} || !has(self.newFields)`,
        message: 'newFields is for csv and parquet: jsonl keeps payloads as they are',
      },
      {
        rule: `!${isSinkCsv} || !has(self.newFields) || self.newFields != 'addColumns'`,
        message: 'newFields: a CSV file can not grow columns; use ignore, error or parquet',
      },
      {
        rule: `!${isSinkParquet} || !(has(self.compress) && self.compress == 'gzip')`,
        message: 'compress is for jsonl and csv: Parquet compresses its pages',
      },
      {
        rule: `!has(self.rotate) || ${isSeries}`,
        message: 'rotate needs {sequence} in the name of path',
      },
    ],
  },
);
