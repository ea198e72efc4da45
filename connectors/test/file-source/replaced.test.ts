import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { appendFile, rename, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isEtlError, type PartitionReader, type Record } from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';
import { parquetWriteBuffer } from 'hyparquet-writer';
import {
  folderWith,
  openPartition,
  openSource,
  readAll,
  readFrom,
  recordsOf,
  signal,
} from './fixture.ts';

const linesOf = (name: string, count: number): string =>
  Array.from({ length: count }, (_, n) => `{"${name}":${n}}\n`).join('');

const parquetOf = (name: string): Uint8Array =>
  new Uint8Array(
    parquetWriteBuffer({
      columnData: [{ name: 'text', data: [0, 1, 2, 3].map((n) => `${name} ${n}`), type: 'STRING' }],
    }),
  );

function texts(records: readonly Record[]): string[] {
  return records.map(({ payload }) => Buffer.from(payload).toString());
}

function refusal(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    match((error as Error).message, pattern);
    return isEtlError(error) && error.code === 'ETL_CONNECTOR_FAILED' && !error.retryable;
  };
}

const kinds: readonly {
  readonly file: string;
  readonly make: (name: string) => string | Uint8Array;
}[] = [
  { file: 'x.jsonl', make: (name) => linesOf(name, 4) },
  { file: 'long.jsonl', make: (name) => linesOf(name, 400) },
  { file: 'x.csv', make: (name) => `${name}\n0\n1\n2\n3\n` },
  { file: 'x.jsonl.gz', make: (name) => gzipSync(linesOf(name, 4)) },
  { file: 'x.parquet', make: parquetOf },
];

for (const { file, make } of kinds) {
  test(`${file}: another file of its name and size is not read from the old position`, async () => {
    const folder = await folderWith({ [file]: make('first') });
    const { source } = await openSource(folder, { path: file });
    const [, second] = await readFrom(source, file);
    await writeFile(join(folder, file), make('other'));
    await rejects(
      openPartition(source, file, second?.position),
      refusal(/is another file than the one that was read before.*onReplaced: restart/),
    );
  });

  test(`${file}: onReplaced: restart reads the new file from its beginning, at later positions`, async () => {
    const folder = await folderWith({ [file]: make('first') });
    const { source, warnings } = await openSource(folder, { path: file, onReplaced: 'restart' });
    const before = await readFrom(source, file);
    const { position } = before.at(-1) as Record;
    await writeFile(join(folder, file), make('other'));
    const after = await readFrom(source, file, position);
    equal(after.length, before.length);
    match(texts(after)[0] as string, /other/);
    equal(warnings.length, 1);
    const ordered = [position, ...after.map((record) => record.position)].map((bytes) =>
      Buffer.from(bytes).toString('hex'),
    );
    deepEqual(ordered, ordered.toSorted());
    equal(new Set(ordered).size, ordered.length);
    deepEqual(texts(await readFrom(source, file, after[1]?.position)), texts(after).slice(2));
  });
}

test('a file that got shorter is refused', async () => {
  const folder = await folderWith({ 'x.jsonl': linesOf('a', 400), 'x.jsonl.gz': '' });
  await writeFile(join(folder, 'x.jsonl.gz'), gzipSync(linesOf('a', 400)));
  for (const file of ['x.jsonl', 'x.jsonl.gz']) {
    const { source } = await openSource(folder, { path: file });
    const { position } = (await readFrom(source, file)).at(-1) as Record;
    const less = linesOf('a', 399);
    await writeFile(join(folder, file), file.endsWith('.gz') ? gzipSync(less) : less);
    await rejects(openPartition(source, file, position), refusal(/is shorter than the \d+ bytes/));
  }
});

test('a bounded file that grew goes on with what was added', async () => {
  const folder = await folderWith({ 'x.jsonl': linesOf('a', 3) });
  const { source } = await openSource(folder, { path: 'x.jsonl' });
  const { position } = (await readFrom(source, 'x.jsonl')).at(-1) as Record;
  await appendFile(join(folder, 'x.jsonl'), '{"b":1}\n');
  const added = await readFrom(source, 'x.jsonl', position);
  deepEqual(texts(added), ['{"b":1}']);
});

test('a last line that goes on after it was taken for whole is an error, its line break is not', async () => {
  for (const [added, expected] of [
    ['\n{"b":1}\n', ['{"b":1}']],
    ['\r\n{"b":1}', ['{"b":1}']],
    ['', []],
    ['3}\n', undefined],
  ] as const) {
    const folder = await folderWith({ 'x.jsonl': '{"a":1}\n{"a":12' });
    const { source } = await openSource(folder, { path: 'x.jsonl' });
    const { position } = (await readFrom(source, 'x.jsonl')).at(-1) as Record;
    await appendFile(join(folder, 'x.jsonl'), added);
    const reader = await openPartition(source, 'x.jsonl', position);
    if (expected !== undefined) deepEqual(texts(await readAll(reader)), expected);
    else await rejects(readAll(reader), refusal(/has grown in the middle of the line/));
    await reader.close();
  }
});

test('a file that is written to in place while it is read is an error at its end', async () => {
  const folder = await folderWith({ 'x.jsonl': linesOf('a', 3), 'x.parquet': parquetOf('a') });
  for (const [file, contents] of [
    ['x.jsonl', linesOf('b', 3)],
    ['x.parquet', parquetOf('b')],
  ] as const) {
    const { source } = await openSource(folder, { path: file });
    const reader = await openPartition(source, file);
    await writeFile(join(folder, file), contents);
    await utimes(join(folder, file), new Date(), new Date(Date.parse('2100-01-01')));
    await rejects(readAll(reader), refusal(/was written to/));
    await reader.close();
  }
});

test('a file that is renamed away while it is read is read to its end', async () => {
  const folder = await folderWith({ 'x.jsonl': linesOf('a', 5), 'x.parquet': parquetOf('a') });
  for (const file of ['x.jsonl', 'x.parquet']) {
    const { source } = await openSource(folder, { path: file });
    const reader = await openPartition(source, file);
    await rename(join(folder, file), join(folder, 'elsewhere'));
    await writeFile(join(folder, file), 'x');
    match(texts(await readAll(reader, 2)).join(), /a.*3/);
    await reader.close();
  }
});

/** Reads what is there; a followed file is asked until it is idle. */
async function textsOf(reader: PartitionReader): Promise<string[]> {
  return texts(await readAll(reader));
}

const followed: JsonObject = { path: 'x.jsonl', follow: true };

test('a rotated file is read to its end, then the one that has its name', async () => {
  const folder = await folderWith({ 'x.jsonl': '1\n' });
  const { source, clock } = await openSource(folder, followed);
  const reader = await openPartition(source, 'x.jsonl');
  const first = await readAll(reader);
  await rename(join(folder, 'x.jsonl'), join(folder, 'x.jsonl.1'));
  deepEqual(await textsOf(reader), []);
  await writeFile(join(folder, 'x.jsonl'), '4\n');
  deepEqual(await textsOf(reader), []);
  await appendFile(join(folder, 'x.jsonl.1'), '2\n3');
  deepEqual(await textsOf(reader), ['2']);
  clock.advance(4999);
  deepEqual(await textsOf(reader), []);
  clock.advance(5000);
  const rest = await readAll(reader);
  deepEqual(texts(rest), ['3', '4']);
  const positions = [...first, ...rest].map(({ position }) =>
    Buffer.from(position).toString('hex'),
  );
  deepEqual(positions, positions.toSorted());
  await reader.close();

  await appendFile(join(folder, 'x.jsonl'), '5\n');
  deepEqual(texts(await readFrom(source, 'x.jsonl', rest[1]?.position)), ['5']);
  await rejects(
    openPartition(source, 'x.jsonl', rest[0]?.position),
    refusal(/is another file|is shorter/),
  );
});

test('a rotated CSV file is read by the header it has', async () => {
  const folder = await folderWith({ 'x.csv': 'a,b\n1,2\n' });
  const { source, clock } = await openSource(folder, { path: 'x.csv', follow: true });
  const reader = await openPartition(source, 'x.csv');
  deepEqual(await textsOf(reader), ['{"a":"1","b":"2"}']);
  await rename(join(folder, 'x.csv'), join(folder, 'x.csv.1'));
  await writeFile(join(folder, 'x.csv'), 'b,c\n3,4\n');
  deepEqual(await textsOf(reader), []);
  clock.advance(5000);
  deepEqual(await textsOf(reader), ['{"b":"3","c":"4"}']);
  await reader.close();
});

test('a followed file that was cut and written past its old end is noticed', async () => {
  for (const onReplaced of ['fail', 'restart']) {
    const folder = await folderWith({ 'x.jsonl': linesOf('first', 5) });
    const { source, warnings } = await openSource(folder, { ...followed, onReplaced });
    const reader = await openPartition(source, 'x.jsonl');
    await readAll(reader);
    await truncate(join(folder, 'x.jsonl'));
    await appendFile(join(folder, 'x.jsonl'), linesOf('other', 50));
    if (onReplaced === 'fail') await rejects(readAll(reader), refusal(/was cut after/));
    else {
      equal((await readAll(reader)).length, 50);
      equal(warnings.length, 1);
    }
    await reader.close();
  }
});

test('records before a failure arrive, then the failure, every time', async () => {
  const folder = await folderWith({ 'x.csv': 'a,b\n1,2\n3,4\n5\n6,7\n' });
  const { source } = await openSource(folder, { path: 'x.csv' });
  const reader = await openPartition(source, 'x.csv');
  const read = await reader.next({ maxRecords: 100, maxBytes: 10_000, signal });
  equal(read.kind === 'batch' && recordsOf(read.batch).length, 2);
  for (let time = 0; time < 2; time++)
    await rejects(readAll(reader), refusal(/x\.csv: the record at byte 12 has fewer fields/));
  await reader.close();
});
