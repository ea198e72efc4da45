import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { testBatch, testContext, testLane } from '@etl-router/connectors/testing';
import { isEtlError, type Sink } from '@etl-router/core';
import { Findings, type JsonObject, openFields } from '@etl-router/pipeline';
import { readFileSinkSettings } from '../../src/file-sink/settings.ts';
import { FileSink } from '../../src/file-sink/sink.ts';
import { FaultyFiles } from './faulty-files.ts';

const signal = new AbortController().signal;

function newDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'etl-file-'));
}

async function openSink(
  config: JsonObject,
  directory: string,
  files: FaultyFiles = new FaultyFiles(),
): Promise<Sink> {
  const fields = openFields(new Findings('test'), { value: config, path: '' });
  const sink = new FileSink(readFileSinkSettings(fields as NonNullable<typeof fields>), files);
  await sink.open(testContext(directory));
  await sink.openLane(testLane('a'), 1);
  return sink;
}

async function write(sink: Sink, from: number, to: number): Promise<void> {
  const batch = testBatch({ lane: 'a', epoch: 1, from, to });
  deepEqual(await sink.write(batch, signal), { failures: [] });
}

test('a write whose file or state was removed or cut meanwhile does not count as stored', async () => {
  const outputs: readonly JsonObject[] = [
    { path: 'out.jsonl' },
    { path: 'out.{sequence}.jsonl' },
    { path: 'out.{sequence}.parquet' },
  ];
  const damages = [
    async (directory: string) => {
      const name = (await readdir(directory)).find((one) => one.startsWith('out')) as string;
      await rm(join(directory, name));
    },
    async (directory: string) => {
      const name = (await readdir(directory)).find((one) => one.startsWith('out')) as string;
      await rename(join(directory, name), join(directory, 'rotated'));
      await writeFile(join(directory, name), '');
    },
    (directory: string) => rm(directory, { recursive: true }),
    (directory: string) => rm(join(directory, '.etl'), { recursive: true }),
  ];
  for (const config of outputs) {
    for (const damage of damages) {
      const directory = await newDirectory();
      const sink = await openSink(config, directory);
      await write(sink, 1, 10);
      await damage(directory);
      await rejects(
        write(sink, 11, 20),
        (error) => isEtlError(error) && /was removed|is missing|bytes/.test(error.message),
      );
      await sink.close();
    }
  }
});

test('an output that was removed before its input ended is not completed', async () => {
  for (const path of ['out.jsonl', 'out.{sequence}.jsonl', 'out.{sequence}.parquet']) {
    const directory = await newDirectory();
    const sink = await openSink({ path }, directory);
    await write(sink, 1, 10);
    await rm(directory, { recursive: true });
    await rejects(
      async () => sink.complete?.(),
      (error) => isEtlError(error) && /was removed|is missing/.test(error.message),
    );
    await sink.close();
  }
});

test('a file that appears between the opening and the first write is left alone', async () => {
  const directory = await newDirectory();
  const sink = await openSink({ path: 'out.jsonl' }, directory);
  await writeFile(join(directory, 'out.jsonl'), 'mine\n');
  await rejects(write(sink, 1, 10), /was not written by this sink/);
  await sink.close();
  equal(await readFile(join(directory, 'out.jsonl'), 'utf8'), 'mine\n');
});

test('a file that was being written when its state was removed is kept', async () => {
  const directory = await newDirectory();
  const config = { path: 'out-{sequence}.jsonl' };
  const files = new FaultyFiles();
  const sink = await openSink(config, directory, files);
  await write(sink, 1, 10);
  files.fault = { call: 'rename', ending: '.partial' };
  await sink.close().catch(() => undefined);
  await rm(join(directory, '.etl'), { recursive: true });
  const again = await openSink(config, directory);
  await write(again, 11, 20);
  await again.close();
  const names = (await readdir(directory)).filter((name) => name.startsWith('out')).toSorted();
  deepEqual(names, ['out-000001.jsonl.partial', 'out-000002.jsonl']);
});
