// Files of every format for the tests of the file source, and sources that read them.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSource } from '@etl-router/connectors';
import { testContext, testLane } from '@etl-router/connectors/testing';
import {
  ManualClock,
  type PartitionReader,
  type Record,
  type RecordBatch,
  type Source,
} from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';

export const signal: AbortSignal = new AbortController().signal;

/** A folder of its own with these files in it. */
export async function folderWith(files: {
  readonly [name: string]: string | Uint8Array;
}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'etl-file-source-'));
  for (const [name, contents] of Object.entries(files))
    await writeFile(join(folder, name), contents);
  return folder;
}

export interface OpenedSource {
  readonly source: Source;
  readonly clock: ManualClock;
  /** What was logged at warn. */
  readonly warnings: string[];
}

/** An open file source with these settings. */
export async function openSource(folder: string, config: JsonObject): Promise<OpenedSource> {
  const source = createSource({ type: 'file', config }, 'EtlSource test/files');
  const clock = new ManualClock();
  const warnings: string[] = [];
  const context = testContext(folder);
  const logger = {
    ...context.logger,
    warn: (_fields: object, text: string) => warnings.push(text),
  };
  await source.open({ ...context, clock, logger: logger as unknown as typeof context.logger });
  return { source, clock, warnings };
}

/** Opens a partition, by default the one of that name. */
export function openPartition(
  source: Source,
  partition: string,
  after?: Uint8Array,
): Promise<PartitionReader> {
  return source.openPartition({ lane: testLane(partition), epoch: 1, after, signal });
}

/** Reads until there is nothing more now. */
export async function readAll(reader: PartitionReader, maxRecords = 1000): Promise<Record[]> {
  const records: Record[] = [];
  for (;;) {
    const read = await reader.next({ maxRecords, maxBytes: 10_000_000, signal });
    if (read.kind !== 'batch') return records;
    records.push(...recordsOf(read.batch));
  }
}

/** Reads what there is of a partition after a position. */
export async function readFrom(
  source: Source,
  partition: string,
  after?: Uint8Array,
): Promise<Record[]> {
  const reader = await openPartition(source, partition, after);
  try {
    return await readAll(reader);
  } finally {
    await reader.close();
  }
}

export function recordsOf(batch: RecordBatch): Record[] {
  return Array.from({ length: batch.count }, (_, index) => batch.record(index));
}

/** The payloads of a whole file as text. */
export async function payloadsOf(
  folder: string,
  name: string,
  config: JsonObject = {},
): Promise<string[]> {
  const { source } = await openSource(folder, { path: name, ...config });
  try {
    return (await readFrom(source, name)).map(({ payload }) => Buffer.from(payload).toString());
  } finally {
    await source.close();
  }
}
