import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@etl-router/pipeline';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { RowConverter } from '../../src/file-source/csv.ts';
import { folderWith, openPartition, openSource, payloadsOf, readAll, readFrom } from './fixture.ts';

const field = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom('"', ',', '\n', '\r', ' ', 'a', '\\', '\t', '\u0001'),
    maxLength: 8,
  }),
  fc.constantFrom('', '0', 'null', 'x'.repeat(3000)),
);
const table = fc.integer({ min: 2, max: 6 }).chain((width) =>
  fc.array(fc.array(field, { minLength: width, maxLength: width }), {
    minLength: 1,
    maxLength: 12,
  }),
);

function quoted(text: string, quote: string): string {
  return quote + text.replaceAll(quote, quote + quote) + quote;
}

/** CSV of a table; fields that need no quotes have none where `bare` says so. */
function csvOf(
  rows: readonly (readonly string[])[],
  bare: (text: string) => boolean,
  { delimiter, quote }: { readonly delimiter: string; readonly quote: string },
): string {
  return rows
    .map((row) => row.map((text) => (bare(text) ? text : quoted(text, quote))).join(delimiter))
    .join('\n');
}

test('rows mean what csv-parse says, whatever is in them and wherever a read ends', async () => {
  await fc.assert(
    fc.asyncProperty(
      table,
      fc.constantFrom(
        { delimiter: ',', quote: '"' },
        { delimiter: ';', quote: "'" },
        { delimiter: '\t', quote: '"' },
      ),
      fc.integer({ min: 1, max: 5 }),
      async (rows, { delimiter, quote }, maxRecords) => {
        const plain = /^[ -~\u00a0-\uffff]*$/;
        const bare = (text: string): boolean =>
          plain.test(text) && !text.includes(delimiter) && !text.startsWith(quote);
        const names = (rows[0] as string[]).map((_, index) => `c${index}`);
        const csv = `${names.join(delimiter)}\n${csvOf(rows, bare, { delimiter, quote })}`;
        const expected = (
          parse(csv, {
            delimiter,
            quote,
            escape: quote,
            relax_quotes: true,
            record_delimiter: '\n',
          }) as string[][]
        )
          .slice(1)
          .filter((row) => row.some((text) => text !== ''))
          .map((row) => Object.fromEntries(names.map((name, index) => [name, row[index]])));
        const folder = await folderWith({ 'x.csv': csv });
        const config = { path: 'x.csv', csv: { delimiter, quote } };
        const { source } = await openSource(folder, config);
        const reader = await openPartition(source, 'x.csv');
        const records = await readAll(reader, maxRecords);
        await reader.close();
        const seen = records.map(
          ({ payload }) =>
            JSON.parse(Buffer.from(payload).toString()) as { [name: string]: string },
        );
        deepEqual(
          seen.filter((row) => Object.values(row).some((text) => text !== '')),
          expected,
        );
      },
    ),
    { numRuns: 150 },
  );
});

test('inferred fields are JSON that says exactly what the text said', () => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom(...'0123456789.-+eE'.split('')), maxLength: 22 }),
    fc.double().map(String),
    fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }).map(String),
    fc.constantFrom('true', 'false', 'True', 'null', 'NaN', '-0', '-0.0', '00', '0.10', '.5', '5.'),
  );
  const settings = {
    delimiter: ',',
    quote: '"',
    header: true,
    columns: [],
    types: 'infer',
    allowShortRows: false,
  } as const;
  const converter = new RowConverter(['a'], settings);
  fc.assert(
    fc.property(text, (written) => {
      const row = Buffer.from(written);
      equal(converter.convert(row, 0, row.length), undefined);
      const json = converter.bytes.toString('utf8', converter.from, converter.to);
      const inner = json.slice('{"a":'.length, -1);
      const { a } = JSON.parse(json) as { readonly a: unknown };
      if (typeof a === 'string') equal(a, written);
      else if (a === null) equal(written, '');
      else if (typeof a === 'boolean') equal(inner, written);
      else {
        equal(inner, written);
        ok(written !== '-0' && !/[eE+]/.test(written));
        if (typeof a === 'number') {
          const digits = written.replace(/^-|\./g, '');
          if (!written.includes('.')) ok(digits.length <= 18);
          else equal(trimmed(a.toFixed(fractionOf(written))), trimmed(written));
        }
      }
    }),
    { numRuns: 2000 },
  );
});

function fractionOf(text: string): number {
  return (text.split('.')[1] ?? '').length;
}

/** A decimal without the zeros behind its last digit. */
function trimmed(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

test('quoted fields stay text, empty ones are null, and headers of any name are kept', async () => {
  const contents = '"a ""b""",__proto__,"c\nd"\n"1",,true\n1,"",x\n';
  const folder = await folderWith({ 'x.csv': contents });
  deepEqual(await payloadsOf(folder, 'x.csv', { csv: { types: 'infer' } }), [
    '{"a \\"b\\"":"1","__proto__":null,"c\\nd":true}',
    '{"a \\"b\\"":1,"__proto__":"","c\\nd":"x"}',
  ]);
});

test('without quotes every character but the delimiter belongs to its field', async () => {
  const folder = await folderWith({ 'x.tsv': 'a\tb\n"1\t2"\n' });
  const csv = { delimiter: '\t', quote: '' };
  deepEqual(await payloadsOf(folder, 'x.tsv', { format: 'csv', csv }), ['{"a":"\\"1","b":"2\\""}']);
});

test('short rows are taken where they are allowed', async () => {
  const folder = await folderWith({ 'x.csv': 'a,b,c\n1\n1,2\n1,2,\n' });
  deepEqual(await payloadsOf(folder, 'x.csv', { csv: { allowShortRows: true } }), [
    '{"a":"1"}',
    '{"a":"1","b":"2"}',
    '{"a":"1","b":"2","c":""}',
  ]);
});

const faults: readonly { readonly name: string; readonly rows: string; readonly why: RegExp }[] = [
  { name: 'too many fields', rows: '1,2,3\n', why: /more fields than the 2 of the header/ },
  { name: 'too few fields', rows: '1\n', why: /fewer fields than the 2.*allowShortRows/ },
  {
    name: 'text behind a quote',
    rows: '"1"x,2\n',
    why: /has text behind the closing quote of field "a"/,
  },
  { name: 'a quote that is never closed', rows: '"1,2\n', why: /has a quote that is never closed/ },
  { name: 'a row that is too long', rows: `${'x'.repeat(100)},2\n`, why: /longer than 64 bytes/ },
  {
    name: 'a quote that is closed too late',
    rows: `"1,2\n${'3,4\n'.repeat(20)}"\n`,
    why: /has a quote that is not closed within 64 bytes/,
  },
  { name: 'bytes that are no UTF-8', rows: '\xff,2\n', why: /is not UTF-8/ },
];

async function fixtureOf(rows: string, config: JsonObject): ReturnType<typeof openSource> {
  const bytes = Buffer.from(`a,b\n0,0\n${rows}8,8\n9,9\n`, 'latin1');
  const folder = await folderWith({ 'x.csv': bytes });
  return openSource(folder, { path: 'x.csv', maxRecordBytes: 64, ...config });
}

for (const { name, rows, why } of faults) {
  test(`${name}: fails with the place, is kept whole, or is left out`, async () => {
    const failing = await fixtureOf(rows, {});
    await rejects(readFrom(failing.source, 'x.csv'), (error: Error) => {
      match(error.message, why);
      match(error.message, /x\.csv: the record at byte 8 .*onMalformed: keep or skip/);
      return true;
    });

    const keeping = await fixtureOf(rows, { onMalformed: 'keep', type: 'row' });
    const kept = await readFrom(keeping.source, 'x.csv');
    const bad = kept.find(({ contentType }) => contentType === 'application/octet-stream');
    match(bad?.headers.get('etl-source-error') ?? '', why);
    equal(bad?.type, 'row');
    const firstLine = rows.split('\n')[0] as string;
    equal(Buffer.from(bad?.payload ?? []).toString('latin1'), firstLine.slice(0, 64));

    const skipping = await fixtureOf(rows, { onMalformed: 'skip' });
    const left = await readFrom(skipping.source, 'x.csv');
    const payloads = left.map(({ payload }) => Buffer.from(payload).toString());
    equal(payloads[0], '{"a":"0","b":"0"}');
    deepEqual(payloads.slice(-2), ['{"a":"8","b":"8"}', '{"a":"9","b":"9"}']);
    equal(kept.filter(({ contentType }) => contentType === 'application/json').length, left.length);
    ok(skipping.warnings.length > 0);
  });
}

test('lines that are too long are passed over without being held', async () => {
  const long = 'x'.repeat(3_000_000);
  const folder = await folderWith({ 'x.jsonl': `1\n${long}\n2\n${long}` });
  const keep = await openSource(folder, {
    path: 'x.jsonl',
    maxRecordBytes: 1000,
    onMalformed: 'keep',
  });
  const records = await readFrom(keep.source, 'x.jsonl');
  deepEqual(
    records.map(({ payload, contentType }) => [payload.length, contentType]),
    [
      [1, 'application/json'],
      [1000, 'application/octet-stream'],
      [1, 'application/json'],
      [1000, 'application/octet-stream'],
    ],
  );
  const after = await readFrom(keep.source, 'x.jsonl', records[1]?.position);
  deepEqual(after, records.slice(2));
});

test('UTF-16 is named, and so is a header that is none', async () => {
  const folder = await folderWith({
    'x.jsonl': Buffer.from('\ufeff{"a":1}\n', 'utf16le'),
    'x.csv': 'a,b,a\n1,2,3\n',
    'y.csv': `"a${'x'.repeat(100)}\n1\n`,
  });
  await rejects(payloadsOf(folder, 'x.jsonl'), /x\.jsonl: is UTF-16; convert it to UTF-8/);
  await rejects(payloadsOf(folder, 'x.csv'), /the header names "a" twice/);
  await rejects(payloadsOf(folder, 'y.csv'), /the header has a quote that is never closed/);
});
