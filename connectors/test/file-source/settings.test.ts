import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { capabilitiesOf, checkConnector, createSource } from '@etl-router/connectors';
import type { JsonObject } from '@etl-router/pipeline';
import { folderWith, openSource, signal } from './fixture.ts';

const cases: readonly (readonly [JsonObject, readonly string[]])[] = [
  [{ path: 'a.jsonl' }, []],
  [{ path: 'a.ndjson.gz' }, []],
  [{ path: 'a.txt', format: 'csv', csv: { delimiter: '\t', quote: '' } }, []],
  [{ path: 'a.parquet', onReplaced: 'restart' }, []],
  [{}, ['path: is needed', 'format: is needed']],
  [{ path: 'a.txt' }, ['format: is needed']],
  [{ path: 'a.csv', folow: true }, ['folow: no such field']],
  [{ path: 'a.parquet', follow: true }, ['follow: is for plain lines']],
  [{ path: 'a.jsonl.gz', follow: true }, ['follow: is for plain lines']],
  [{ path: 'a.jsonl', csv: {} }, ['csv: is for CSV']],
  [{ path: 'a.csv', csv: { delimiter: '§' } }, ['csv.delimiter: needs one ASCII']],
  [{ path: 'a.csv', csv: { delimiter: '"' } }, ['csv.quote: is the delimiter too']],
  [{ path: 'a.csv', csv: { header: false } }, ['csv.columns: is needed']],
  [{ path: 'a.csv', csv: { columns: ['a'] } }, ['csv.columns: is for files without a header']],
  [
    { path: 'a.csv', csv: { header: false, columns: ['a', 'a'] } },
    ['csv.columns: names "a" twice'],
  ],
  [{ path: 'a.csv', csv: { heading: true } }, ['csv.heading: no such field']],
  [{ path: 'a.csv', maxRecordBytes: '17Mi' }, ['maxRecordBytes: 17825792 bytes is not between']],
  [{ path: 'a.csv', onMalformed: 'ignore' }, ['onMalformed: "ignore" is none of']],
];

for (const [config, expected] of cases) {
  test(`${JSON.stringify(config)} is ${expected.length === 0 ? 'fine' : 'refused'}`, () => {
    const findings = checkConnector('source', { type: 'file', config }, 'EtlSource t/files');
    const texts = findings.map(
      ({ path, message }) => `${path.replace('spec.file.', '')}: ${message}`,
    );
    deepEqual(
      texts.map((text, index) => text.slice(0, expected[index]?.length)),
      expected,
    );
    const capabilities = capabilitiesOf('source', { type: 'file', config });
    equal(capabilities === undefined, expected.length > 0);
  });
}

test('a name that could be a pattern is the file of that name where there is one', async () => {
  const folder = await folderWith({ 'a[1].jsonl': '1\n', 'a1.jsonl': '2\n' });
  const named = await openSource(folder, { path: 'a[1].jsonl' });
  deepEqual(await named.source.partitions(signal), [{ name: 'a[1].jsonl' }]);
  const pattern = await openSource(folder, { path: 'a[12].jsonl' });
  deepEqual(await pattern.source.partitions(signal), [{ name: 'a1.jsonl' }]);
});

test('a source without the settings it needs is not made', () => {
  try {
    createSource({ type: 'file', config: { path: 'a.csv', folow: true } }, 'EtlSource t/files');
  } catch (error) {
    equal((error as { code?: string }).code, 'ETL_CONFIG_INVALID');
    equal(
      (error as Error).message,
      'EtlSource t/files, spec.file.folow: no such field; did you mean "follow"?',
    );
    return;
  }
  throw new Error('it was made');
});
