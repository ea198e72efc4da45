// EtlTransform.

import type { CustomResource } from '../custom-resource.ts';
import {
  anything,
  choice,
  count,
  flag,
  list,
  map,
  type ObjectSchema,
  object,
  required,
  text,
} from '../schema.ts';
import { byteSize } from '../shared.ts';
import { fileSource } from './file.ts';
import { columnTypes, connectorKind, expression, paths, payloadPath } from './shared.ts';

const pathKeys = {
  rule: "self.all(path, path.matches('^[^.]+([.][^.]+){0,15}$'))",
  message: 'has a name that is no path such as address.city',
} as const;

const cast: ObjectSchema = object('Turns fields into other types.', {
  casts: required(
    map(
      'Path of each field and its type. Null and missing fields are left alone.',
      choice('Its type.', columnTypes),
      { max: 1000, min: 1, rules: [pathKeys] },
    ),
  ),
});

const filter: ObjectSchema = object('Keeps the records for which a condition holds.', {
  condition: required(
    expression('CEL over record: those for which it holds go on, such as record.data.delay > 15.'),
  ),
  negate: flag('Whether those for which it does not hold go on instead.', { fallback: false }),
  strict: flag(
    'Whether a record fails in which a field of the condition is absent or of another type. Else the condition does not hold for it.',
    { fallback: false },
  ),
});

const lookup: ObjectSchema = object('Adds the fields of a row that is found by key in a table.', {
  table: required(
    object('The table, held in memory.', {
      file: required(
        fileSource('The file with the table.', {
          exclude: map(
            'Columns, each with values; rows with one of them are left out.',
            list('The values.', anything('One value, compared as text.', { maxLength: 1024 }), {
              max: 1000,
            }),
            { max: 100, min: 1 },
          ),
        }),
      ),
      maxRows: count('More rows are refused.', { min: 1, max: 10_000_000, fallback: 1_000_000 }),
      maxBytes: byteSize('A table with more bytes, counted as JSON, is refused.', {
        min: '1',
        max: '1Ti',
        fallback: '256Mi',
      }),
      onDuplicate: choice(
        'Which of several rows with one key counts. error: such a table is refused.',
        ['error', 'first', 'last'],
        { fallback: 'last' },
      ),
    }),
  ),
  keys: required(
    list(
      'By what a row is found.',
      object('One field and the column that it equals.', {
        field: required(payloadPath('Field of the record.')),
        column: text('Column of the table. Left out: the one of the same name.', { max: 1024 }),
      }),
      { max: 100, min: 1 },
    ),
  ),
  fields: map(
    'The fields that are added, and the columns that they come from. Left out: all columns.',
    text('The column.', { min: 0, max: 1024 }),
    { max: 1000, rules: [pathKeys] },
  ),
  merge: choice(
    'merge: the fields stand in the payload. nest: in a map under prefix. replace: they are the payload.',
    ['merge', 'nest', 'replace'],
    { fallback: 'merge' },
  ),
  prefix: text('merge: before each added name. nest: name of the map, else lookup.', {
    min: 0,
    max: 255,
  }),
  onMiss: choice(
    'What happens to a record without a row. passThrough: it goes on with the header etl-lookup-miss, which names the stage.',
    ['passThrough', 'drop', 'error'],
    { fallback: 'passThrough' },
  ),
  markField: payloadPath('A field that is set to true when a row was found, else to false.'),
});

const mapping: ObjectSchema = object(
  'One field.',
  {
    target: required(payloadPath('The field that is set.')),
    source: payloadPath('The field that it is taken from. Left out: the target.'),
    expression: expression('What it is computed by, such as record.data.price * 1.19.'),
    literal: anything('What it is set to.'),
    default: anything(
      'What it is set to when the source has no value. Left out: the field is left out then.',
    ),
    cast: choice('Its type.', columnTypes),
  },
  {
    rules: [
      {
        rule: '!has(self.source) || !has(self.expression)',
        message: 'needs one of source, expression and literal',
      },
    ],
  },
);

const mapFields: ObjectSchema = object('Makes a payload of fields, expressions and literals.', {
  mappings: required(list('The fields to set, in order.', mapping, { max: 1000 })),
  dropUnmapped: flag('Whether fields that are not set here are left out.', { fallback: false }),
});

const mask: ObjectSchema = object(
  'Hides fields.',
  {
    fields: required(
      list(
        'What to hide.',
        object('One field.', {
          field: required(payloadPath('The field. Null and missing fields are left alone.')),
          strategy: choice(
            'redact: the replacement. hash: SHA-256 in hexadecimal, keyed by the salt. partial: all but the last characters become *. nullify: null. tokenize: tok_ and 16 characters, equal for equal values; needs a salt.',
            ['redact', 'hash', 'partial', 'nullify', 'tokenize'],
            { fallback: 'redact' },
          ),
          replacement: text('What redact writes.', { min: 0, max: 1024, fallback: '***' }),
          keep: count(
            'Characters that partial leaves; a value that has no more than these is hidden whole.',
            { min: 0, max: 1000, fallback: 4 },
          ),
        }),
        { max: 1000 },
      ),
    ),
    saltEnv: text('Environment variable with the salt.', { max: 255 }),
    saltFile: text('File with the salt.', { max: 4096 }),
  },
  {
    rules: [
      {
        rule: "has(self.saltEnv) || has(self.saltFile) || !self.fields.exists(field, field.strategy == 'tokenize')",
        message: 'tokenize needs a salt: name a variable with saltEnv, or a file with saltFile',
      },
    ],
  },
);

const project: ObjectSchema = object(
  'Keeps some fields, or all but some.',
  {
    fields: paths('The fields that are kept, in this order.'),
    exclude: paths('The fields that are left out.'),
  },
  {
    rules: [
      {
        rule: '(has(self.fields) && size(self.fields) > 0) != (has(self.exclude) && size(self.exclude) > 0)',
        message: 'needs either fields or exclude',
      },
    ],
  },
);

const rename: ObjectSchema = object('Gives fields other names.', {
  renames: required(
    map(
      'Old path to new path. A field that is not there is left alone.',
      payloadPath('The new path.'),
      { max: 1000, min: 1, rules: [pathKeys] },
    ),
  ),
});

/** EtlTransform. */
export const etlTransform: CustomResource = connectorKind(
  {
    kind: 'EtlTransform',
    plural: 'etltransforms',
    shortNames: ['etf'],
    description: 'What becomes of a record on its way.',
  },
  { cast, filter, lookup, map: mapFields, mask, project, rename },
);
