import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, rename, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createSource } from '@etl-router/connectors';
import { testContext, testLane, testSource } from '@etl-router/connectors/testing';
import { isEtlError, type PartitionReader, type Source } from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';

const { signal } = new AbortController();
const wide = { maxRecords: 1000, maxBytes: 1_000_000, signal };

const jsonLines = Array.from({ length: 50 }, (_, n) => `{"n":${n},"text":"${'é'.repeat(n)}"}`);
const csvRows = 'a,b\n1,x\n"2,2","say ""hi"""\n"3\nand more",\n4,y\n';
const csvPayloads = [
  '{"a":"1","b":"x"}',
  '{"a":"2,2","b":"say \\"hi\\""}',
  '{"a":"3\\nand more","b":""}',
  '{"a":"4","b":"y"}',
];
const crlf = (text: string): string => text.replaceAll('\n', '\r\n');

const kinds: readonly {
  readonly name: string;
  readonly file: string;
  readonly bytes: string | Buffer;
  readonly payloads: readonly string[];
  readonly config?: JsonObject;
}[] = [
  { name: 'lines', file: 'x.jsonl', bytes: `${jsonLines.join('\n')}\n`, payloads: jsonLines },
  {
    name: 'no line break at the end',
    file: 'x.ndjson',
    bytes: jsonLines.join('\n'),
    payloads: jsonLines,
  },
  {
    name: 'CRLF and empty lines',
    file: 'x.jsonl',
    bytes: `\r\n${jsonLines.join('\r\n\r\n')}\r\n\n`,
    payloads: jsonLines,
  },
  {
    name: 'a byte order mark',
    file: 'x.jsonl',
    bytes: `\ufeff${jsonLines.join('\n')}`,
    payloads: jsonLines,
  },
  { name: 'gzip', file: 'x.jsonl.gz', bytes: gzipSync(jsonLines.join('\n')), payloads: jsonLines },
  {
    name: 'gzip in several members',
    file: 'x.jsonl.gz',
    bytes: Buffer.concat(jsonLines.map((line) => gzipSync(`${line}\n`))),
    payloads: jsonLines,
  },
  {
    name: 'gzip by another name, with a type',
    file: 'x.data',
    bytes: gzipSync(jsonLines.join('\n')),
    payloads: jsonLines,
    config: { format: 'jsonl', compression: 'gzip', type: 'io.example.line.v1' },
  },
  { name: 'an empty file', file: 'x.jsonl', bytes: '', payloads: [] },
  { name: 'CSV', file: 'x.csv', bytes: csvRows, payloads: csvPayloads },
  {
    name: 'CSV, CRLF',
    file: 'x.csv',
    bytes: crlf(csvRows.replace('3\n', '3 ')),
    payloads: csvPayloads.map((payload) => payload.replace('3\\n', '3 ')),
  },
  {
    name: 'CSV, byte order mark, no end',
    file: 'x.csv',
    bytes: `\ufeff${csvRows.trimEnd()}`,
    payloads: csvPayloads,
  },
  { name: 'CSV, gzip', file: 'x.csv.gz', bytes: gzipSync(csvRows), payloads: csvPayloads },
  { name: 'CSV, header only', file: 'x.csv', bytes: 'a,b\n', payloads: [] },
  { name: 'CSV, empty', file: 'x.csv', bytes: '', payloads: [] },
  {
    name: 'CSV, a quote within a field is a character',
    file: 'x.csv',
    bytes: 'a,b\n1,5" pipe\n2,"x"\n',
    payloads: ['{"a":"1","b":"5\\" pipe"}', '{"a":"2","b":"x"}'],
  },
  {
    name: 'CSV, other columns and types',
    file: 'x.csv',
    bytes: '1;007;true;0.10\n9007199254740993;;no;0.12345678901234567890\n',
    payloads: [
      '{"a":1,"b":"007","c":true,"d":0.10}',
      '{"a":9007199254740993,"b":null,"c":"no","d":"0.12345678901234567890"}',
    ],
    config: {
      csv: { delimiter: ';', header: false, columns: ['a', 'b', 'c', 'd'], types: 'infer' },
    },
  },
];

for (const { name, file, bytes, payloads, config } of kinds) {
  testSource({
    name: `file: ${name}`,
    capabilities: { replayable: true, ordered: 'partition', bounded: true },
    fixture: async () => {
      const baseDirectory = await mkdtemp(join(tmpdir(), 'etl-file-source-'));
      await writeFile(join(baseDirectory, file), bytes);
      return {
        baseDirectory,
        create: () => createSource({ type: 'file', config: { path: file, ...config } }, 'test'),
        payloads: { [file]: payloads },
      };
    },
  });
}

testSource({
  name: 'file: several followed by a pattern',
  capabilities: { replayable: true, ordered: 'partition', bounded: false },
  fixture: async () => {
    const baseDirectory = await mkdtemp(join(tmpdir(), 'etl-file-source-'));
    await writeFile(join(baseDirectory, 'b.jsonl'), '{"b":1}\n{"b":2}\n{"b":');
    await writeFile(join(baseDirectory, 'a.jsonl'), '{"a":1}\n');
    await writeFile(join(baseDirectory, 'c.txt'), 'not this one');
    await symlink('a.jsonl', join(baseDirectory, 'link.jsonl'));
    return {
      baseDirectory,
      create: () =>
        createSource({ type: 'file', config: { path: '*.jsonl', follow: true } }, 'test'),
      payloads: {
        'a.jsonl': ['{"a":1}'],
        'b.jsonl': ['{"b":1}', '{"b":2}'],
        'link.jsonl': ['{"a":1}'],
      },
    };
  },
});

interface Opened {
  readonly directory: string;
  readonly source: Source;
  readonly read: (name: string, after?: Uint8Array) => Promise<PartitionReader>;
}

/** A source over files of a new directory. */
async function open(
  config: JsonObject,
  files: { readonly [name: string]: string | Buffer },
): Promise<Opened> {
  const directory = await mkdtemp(join(tmpdir(), 'etl-file-source-'));
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, name), bytes);
  const source = createSource({ type: 'file', config }, 'test');
  await source.open(testContext(directory));
  return {
    directory,
    source,
    read: (name, after) => source.openPartition({ lane: testLane(name), epoch: 1, after, signal }),
  };
}

async function payloads(reader: PartitionReader): Promise<string[]> {
  const result = await reader.next(wide);
  if (result.kind !== 'batch') return [result.kind];
  const { batch } = result;
  return Array.from({ length: batch.count }, (_, index) => batch.payload(index).toString());
}

function failsWith(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    ok(isEtlError(error), String(error));
    equal(error.code, 'ETL_CONNECTOR_FAILED');
    match(error.message, pattern);
    return true;
  };
}

test('a followed file brings what is appended, line by whole line', async () => {
  const { directory, read } = await open({ path: 'x.jsonl', follow: true }, { 'x.jsonl': '1\n2' });
  const reader = await read('x.jsonl');
  deepEqual(await payloads(reader), ['1']);
  deepEqual(await payloads(reader), ['idle']);
  await appendFile(join(directory, 'x.jsonl'), '2\n3\n');
  deepEqual(await payloads(reader), ['22', '3']);
  deepEqual(await payloads(reader), ['idle']);
  await reader.close();
});

test('a followed CSV file may get its header later', async () => {
  const { directory, read } = await open({ path: 'x.csv', follow: true }, { 'x.csv': '' });
  const reader = await read('x.csv');
  deepEqual(await payloads(reader), ['idle']);
  await appendFile(join(directory, 'x.csv'), 'a,');
  deepEqual(await payloads(reader), ['idle']);
  await appendFile(join(directory, 'x.csv'), 'b\n1,2\n');
  deepEqual(await payloads(reader), ['{"a":"1","b":"2"}']);
  await reader.close();
});

test('a followed pattern finds files that appear', async () => {
  const { directory, source } = await open({ path: 'in/*.jsonl', follow: true }, {});
  deepEqual(await source.partitions(signal), []);
  await mkdir(join(directory, 'in'));
  await writeFile(join(directory, 'in', 'x.jsonl'), '');
  deepEqual(await source.partitions(signal), [{ name: 'in/x.jsonl' }]);
});

test('a file that was cut while it was followed is an error', async () => {
  const { directory, read } = await open(
    { path: 'x.jsonl', follow: true },
    { 'x.jsonl': '1\n2\n' },
  );
  const reader = await read('x.jsonl');
  deepEqual(await payloads(reader), ['1', '2']);
  deepEqual(await payloads(reader), ['idle']);
  await truncate(join(directory, 'x.jsonl'), 1);
  await rejects(payloads(reader), failsWith(/x\.jsonl: was cut/));
  await reader.close();
});

test('a file that is shorter than the position says so', async () => {
  const { directory, read } = await open({ path: 'x.jsonl' }, { 'x.jsonl': '1\n2\n' });
  const reader = await read('x.jsonl');
  const result = await reader.next(wide);
  ok(result.kind === 'batch');
  const position = Buffer.from(result.batch.position(1));
  await reader.close();
  await writeFile(join(directory, 'new'), '3\n');
  await rename(join(directory, 'new'), join(directory, 'x.jsonl'));
  await rejects(read('x.jsonl', position), failsWith(/x\.jsonl/));
});

test('a line longer than maxRecordBytes stops the source and says where it is', async () => {
  const long = 'x'.repeat(100);
  const { read } = await open(
    { path: 'x.jsonl', maxRecordBytes: 64 },
    { 'x.jsonl': `1\n${long}\n2\n` },
  );
  const reader = await read('x.jsonl');
  await rejects(
    async () => {
      for (;;) if ((await payloads(reader))[0] === 'end') return;
    },
    failsWith(/x\.jsonl: the record at byte 2 .*maxRecordBytes/),
  );
  await reader.close();
});

test('what can not be read says why', async () => {
  const { directory, read, source } = await open(
    { path: 'x.csv' },
    { 'cut.jsonl.gz': gzipSync('1\n'.repeat(9999)).subarray(0, 20), 'twice.csv': 'a,a\n1,2\n' },
  );
  await rejects(source.partitions(signal), failsWith(/x\.csv.*(no file|not exist)/));
  await rejects(read('x.csv'), failsWith(/x\.csv: does not exist/));
  await rejects(read('.'), failsWith(/is not a regular file/));
  execFileSync('mkfifo', [join(directory, 'pipe.jsonl')]);
  await rejects(read('pipe.jsonl'), failsWith(/pipe\.jsonl: is not a regular file/));
  await rejects(async () => payloads(await read('twice.csv')), failsWith(/twice\.csv.*"a" twice/));
  const gzip = createSource({ type: 'file', config: { path: 'cut.jsonl.gz' } }, 'test');
  await gzip.open(testContext(directory));
  const reader = await gzip.openPartition({
    lane: testLane('cut.jsonl.gz'),
    epoch: 1,
    after: undefined,
    signal,
  });
  await rejects(
    async () => {
      for (;;) if ((await payloads(reader))[0] === 'end') return;
    },
    failsWith(/cut\.jsonl\.gz: is no whole gzip file/),
  );
  await reader.close();
});

test('one record is read without reading the file', async () => {
  const { read } = await open(
    { path: 'x.jsonl' },
    { 'x.jsonl': `${'x'.repeat(999)}\n`.repeat(8000) },
  );
  const reader = await read('x.jsonl');
  const before = process.resourceUsage().fsRead;
  const arrays = process.memoryUsage().arrayBuffers;
  await reader.next({ maxRecords: 1, maxBytes: 1000, signal });
  ok(process.memoryUsage().arrayBuffers - arrays < 2_000_000);
  ok(process.resourceUsage().fsRead - before < 8000);
  await reader.close();
});
