import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSink } from '@etl-router/connectors';
import { testSink } from '@etl-router/connectors/testing';
import type { JsonObject } from '@etl-router/pipeline';
import { readTable } from '../read-output.ts';

const modes: {
  readonly [name: string]: { readonly config: JsonObject; readonly isOrdered: boolean };
} = {
  append: { config: {}, isOrdered: true },
  'append with columns': {
    config: { columns: { n: 'BIGINT', lane: 'VARCHAR', text: 'VARCHAR' } },
    isOrdered: true,
  },
  replace: { config: { mode: 'replace' }, isOrdered: true },
  'upsert by key': { config: { mode: 'upsert', key: ['lane', 'n'] }, isOrdered: false },
  'upsert by id': { config: { mode: 'upsert' }, isOrdered: false },
};

for (const [name, { config, isOrdered }] of Object.entries(modes)) {
  testSink({
    name: `duckdb ${name}`,
    isOrdered,
    capabilities: {
      durable: true,
      idempotentByKey: name.startsWith('upsert'),
      transactionalPosition: true,
    },
    fixture: async () => {
      const baseDirectory = await mkdtemp(join(tmpdir(), 'etl-duckdb-'));
      return {
        baseDirectory,
        create: () =>
          createSink(
            { type: 'duckdb', config: { path: 'x.duckdb', table: 't', ...config } },
            'test',
          ),
        contents: () => readTable(join(baseDirectory, 'x.duckdb'), 't'),
      };
    },
  });
}
