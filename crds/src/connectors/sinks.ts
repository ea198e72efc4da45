// EtlSink.

import type { CustomResource } from '../custom-resource.ts';
import { choice, count, list, type ObjectSchema, object, required, text } from '../schema.ts';
import { byteSize } from '../shared.ts';
import { fileSink } from './file.ts';
import { connectorKind, tableFields } from './shared.ts';

const noControl = '^[^\\x00-\\x1f\\x7f]*$';
const column = (description: string) => text(description, { max: 200, pattern: noControl });

const duckdb: ObjectSchema = object(
  'Writes a table of a DuckDB file.',
  {
    path: required(
      text('The database file; it and its directory are made when missing.', {
        max: 4096,
        pattern: '^[^:\\x00][^\\x00]*$',
        format: 'path',
      }),
    ),
    table: required(column('The table; made when missing.')),
    schema: {
      ...column('The schema of the table; made when missing.'),
      fallback: 'main',
      rules: [
        {
          rule: "!self.matches('^(?i:etl)$')",
          message: 'etl holds the positions: choose another schema',
        },
      ],
    },
    mode: choice('What a load does to the table.', ['append', 'replace', 'upsert'], {
      fallback: 'append',
    }),
    key: list(
      "For upsert: the columns by which rows are the same. Left out: the record's id.",
      column('One column.'),
      { max: 100, min: 1, by: 'set' },
    ),
    idColumn: column(
      "For upsert without key: the column that holds the record's id. Default etl_id.",
    ),
    ...tableFields(),
    memoryLimit: byteSize("DuckDB's own memory limit for this file.", {
      min: '64Mi',
      max: '1Ti',
      fallback: '128Mi',
    }),
    threads: count("DuckDB's threads for this file.", { min: 1, max: 64, fallback: 1 }),
    idleCloseAfter: text(
      'The file is closed when nothing was written for this long, at most 24h, so that other processes can open it; or never.',
      {
        max: 28,
        pattern: '^(never|([0-9]{1,5}(h|ms|m|s)){1,4})$',
        fallback: '2s',
        rules: [
          {
            rule: "self == 'never' || duration(self) <= duration('24h')",
            message: 'needs a duration of at most 24h, or never',
          },
        ],
      },
    ),
  },
  {
    rules: [
      {
        rule: "self.mode == 'upsert' || !(has(self.key) || has(self.idColumn))",
        message: 'key and idColumn are for mode upsert: leave them out, or set the mode',
      },
    ],
  },
);

const stdout: ObjectSchema = object('Prints records as JSON lines.', {
  format: choice(
    'payload: the payload alone. envelope: an object with everything else that the record has.',
    ['payload', 'envelope'],
    { fallback: 'payload' },
  ),
});

/** EtlSink. */
export const etlSink: CustomResource = connectorKind(
  {
    kind: 'EtlSink',
    plural: 'etlsinks',
    shortNames: ['esnk'],
    description: 'Where records go.',
  },
  { duckdb, file: fileSink, stdout },
);
