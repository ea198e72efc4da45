import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSink } from '@etl-router/connectors';
import { testSink } from '@etl-router/connectors/testing';
import type { JsonObject } from '@etl-router/pipeline';
import { readFiles } from '../read-output.ts';

const outputs: { readonly [name: string]: JsonObject } = {
  'one file of lines': { path: 'out.jsonl' },
  'a series of lines': { path: 'out-{sequence}.jsonl', rotate: { maxRecords: 30 } },
  'one compressed file of lines': { path: 'out.jsonl.gz' },
  'one CSV file': { path: 'out.csv' },
  'a series of compressed CSV files': { path: 'out-{sequence}.csv.gz', rotate: { maxBytes: 500 } },
  'a series of Parquet files': { path: 'out-{sequence}.parquet', rotate: { maxRecords: 40 } },
};

for (const [name, config] of Object.entries(outputs)) {
  testSink({
    name: `file: ${name}`,
    capabilities: { durable: true, idempotentByKey: false, transactionalPosition: true },
    fixture: async () => {
      const baseDirectory = await mkdtemp(join(tmpdir(), 'etl-file-'));
      return {
        baseDirectory,
        create: () => createSink({ type: 'file', config }, 'test'),
        contents: () => readFiles(baseDirectory),
      };
    },
  });
}
