// The settings of the file sink.

import { basename } from 'node:path';
import type { Fields } from '@etl-router/pipeline';
import {
  type ColumnSettings,
  columnSettingsHelp,
  readColumnSettings,
} from '../columns/settings.ts';
import type { NewFields } from '../columns/table.ts';
import type { SettingHelp } from '../connector-type.ts';

export type FileFormat = 'jsonl' | 'csv' | 'parquet';
const formats: readonly FileFormat[] = ['jsonl', 'csv', 'parquet'];

/** When a file of a series is finished and the next one begun. */
export interface Rotation {
  readonly maxBytes: number;
  readonly maxRecords: number;
  /** Since the file's first record; undefined: files do not age. */
  readonly maxAgeMs: number | undefined;
}

export interface FileSinkSettings extends ColumnSettings {
  /** With {@link sequenceMark} in its last part: a series of files; else one file, written in place. */
  readonly path: string;
  readonly format: FileFormat;
  readonly gzip: boolean;
  readonly delimiter: string;
  readonly header: boolean;
  /** Undefined: one file, never rotated. */
  readonly rotation: Rotation | undefined;
}

/** Stands for the number of a file in a series. */
export const sequenceMark = '{sequence}';

const mebibyte = 1024 * 1024;

/** Help of every setting. */
export const fileSinkSettingsHelp: readonly SettingHelp[] = [
  {
    name: 'path',
    type: 'path',
    fallback: 'required',
    help: 'One file, or with `{sequence}` in its name a series of files. Directories are made.',
  },
  {
    name: 'format',
    type: 'jsonl, csv or parquet',
    fallback: "by the name's ending",
    help: 'What a file holds. `parquet` needs a series.',
  },
  {
    name: 'compress',
    type: 'none or gzip',
    fallback: "by the name's ending",
    help: 'For `jsonl` and `csv`: `gzip` where the name ends in `.gz`.',
  },
  { name: 'delimiter', type: 'one character', fallback: ',', help: 'For `csv`.' },
  {
    name: 'header',
    type: 'true or false',
    fallback: 'true',
    help: 'For `csv`: the first line names the columns.',
  },
  ...columnSettingsHelp('error'),
  {
    name: 'rotate.maxBytes',
    type: 'size',
    fallback: '128Mi',
    help: 'For a series: a file that has grown to this is finished.',
  },
  {
    name: 'rotate.maxRecords',
    type: 'number',
    fallback: '',
    help: 'For a series: a file that holds this many records is finished.',
  },
  {
    name: 'rotate.maxAge',
    type: 'duration',
    fallback: '',
    help: 'For a series: a file is finished this long after its first record.',
  },
];

/** Reads the settings. */
export function readFileSinkSettings(fields: Fields): FileSinkSettings {
  const path = fields.requiredText('path') ?? '';
  const name = basename(path);
  const isSeries = name.includes(sequenceMark);
  checkPath(fields, path);
  const format = fields.oneOf('format', formats, formatOf(name) ?? 'jsonl');
  if (!fields.has('format') && fields.has('path') && formatOf(name) === undefined) {
    bad(fields, 'format', `needs to be given: the name does not end in .jsonl, .csv or .parquet`);
  }
  if (format === 'parquet' && !isSeries && fields.has('path')) {
    bad(
      fields,
      'path',
      `needs ${sequenceMark} in the file's name, as in part-${sequenceMark}.parquet: a Parquet file can not be written in place`,
    );
  }
  const gzip =
    fields.oneOf('compress', ['none', 'gzip'], name.endsWith('.gz') ? 'gzip' : 'none') === 'gzip';
  if (gzip && format === 'parquet')
    bad(fields, 'compress', 'is for jsonl and csv; Parquet compresses its pages');
  const policies: readonly NewFields[] =
    format === 'csv' ? ['error', 'ignore'] : ['error', 'ignore', 'addColumns'];
  const columns = readColumnSettings(
    fields,
    format === 'parquet' ? 'addColumns' : 'error',
    policies,
  );
  if (format === 'jsonl')
    refuse(
      fields,
      ['columns', 'newFields'],
      'is for csv and parquet; jsonl keeps payloads as they are',
    );
  const delimiter = fields.text('delimiter') ?? ',';
  if (!/^[^"\r\n\ud800-\udfff]$/.test(delimiter))
    bad(fields, 'delimiter', 'needs one character other than a quote or a line break');
  if (format !== 'csv') refuse(fields, ['delimiter', 'header'], 'is for csv');
  return {
    path,
    format,
    gzip,
    delimiter,
    header: fields.boolean('header', true),
    rotation: readRotation(fields, isSeries),
    ...columns,
  };
}

function readRotation(fields: Fields, isSeries: boolean): Rotation | undefined {
  const rotate = fields.fields('rotate');
  if (rotate !== undefined && !isSeries)
    bad(fields, 'rotate', `needs ${sequenceMark} in the name of path`);
  const rotation: Rotation = {
    maxBytes: rotate?.bytes('maxBytes', 128 * mebibyte, { min: 1, max: 2 ** 40 }) ?? 128 * mebibyte,
    maxRecords:
      rotate?.integer('maxRecords', Number.MAX_SAFE_INTEGER, { min: 1, max: 2 ** 52 }) ??
      Number.MAX_SAFE_INTEGER,
    maxAgeMs: rotate?.durationMs('maxAge', undefined, { min: 100, max: 7 * 86_400_000 }),
  };
  rotate?.end();
  return isSeries ? rotation : undefined;
}

function formatOf(name: string): FileFormat | undefined {
  const plain = name.toLowerCase().replace(/\.gz$/, '');
  if (plain.endsWith('.jsonl') || plain.endsWith('.ndjson')) return 'jsonl';
  if (plain.endsWith('.csv')) return 'csv';
  return plain.endsWith('.parquet') ? 'parquet' : undefined;
}

function checkPath(fields: Fields, path: string): void {
  if (!fields.has('path')) return;
  const name = basename(path);
  const marks = path.split(sequenceMark).length - 1;
  if (name === '' || path.endsWith('/') || path.includes('\0') || Buffer.byteLength(name) > 200) {
    bad(fields, 'path', 'needs to end in the name of a file, at most 200 bytes long');
  } else if (marks > 1 || (marks === 1 && !name.includes(sequenceMark))) {
    bad(fields, 'path', `takes ${sequenceMark} once, in the name of the file`);
  }
}

function refuse(fields: Fields, names: readonly string[], message: string): void {
  for (const name of names) if (fields.has(name)) bad(fields, name, message);
}

function bad(fields: Fields, name: string, message: string): void {
  fields.report(name, { code: 'BadValue', message });
}
