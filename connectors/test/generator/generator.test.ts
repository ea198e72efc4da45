import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { capabilitiesOf, checkConnector, createSource } from '@etl-router/connectors';
import { testContext, testLane } from '@etl-router/connectors/testing';
import {
  isEtlError,
  ManualClock,
  type PartitionReader,
  positionOfCount,
  type Record,
} from '@etl-router/core';
import type { JsonObject } from '@etl-router/pipeline';

const { signal } = new AbortController();

async function open(
  config: JsonObject,
  after?: Uint8Array,
): Promise<{ readonly clock: ManualClock; readonly reader: PartitionReader }> {
  const clock = new ManualClock();
  const source = createSource({ type: 'generator', config }, 'EtlSource test/load');
  await source.open(testContext('/', clock));
  const reader = await source.openPartition({ lane: testLane('0'), epoch: 1, after, signal });
  return { clock, reader };
}

async function take(reader: PartitionReader, maxRecords = 1000): Promise<Record[] | string> {
  const read = await reader.next({ maxRecords, maxBytes: 10_000_000, signal });
  if (read.kind !== 'batch') return read.kind;
  return Array.from({ length: read.batch.count }, (_, index) => read.batch.record(index));
}

test('a rate is kept by the clock, and again after it goes on from a position', async () => {
  for (const after of [undefined, positionOfCount(99)]) {
    const { clock, reader } = await open({ rate: 10 }, after);
    equal((await take(reader)).length, 1);
    equal(await take(reader), 'idle');
    clock.advance(99);
    equal(await take(reader), 'idle');
    clock.advance(1);
    equal((await take(reader)).length, 1);
    clock.advance(2000);
    equal((await take(reader)).length, 20);
    equal(await take(reader), 'idle');
  }
});

test('without a count there is no end', async () => {
  const config = { keys: 2 };
  deepEqual(capabilitiesOf('source', { type: 'generator', config }), {
    replayable: true,
    ordered: 'partition',
    bounded: false,
  });
  const { reader } = await open(config, positionOfCount(2 ** 40));
  const [record] = (await take(reader, 1)) as Record[];
  equal(Buffer.from(record?.position ?? []).readBigUInt64BE(), 2n ** 40n + 1n);
  deepEqual(reader.lag(), {});
});

test('payloads, keys and event times are what is set', async () => {
  const { reader } = await open({
    count: 5,
    payloadBytes: 300,
    keys: 2,
    startTime: '2026-01-31T00:00:00.5Z',
    interval: '1m',
  });
  const records = (await take(reader)) as Record[];
  for (const { payload } of records) {
    equal(payload.length, 300);
    ok('pad' in (JSON.parse(Buffer.from(payload).toString()) as object));
  }
  deepEqual(
    records.map(({ key }) => Buffer.from(key).toString()),
    ['k0', 'k1', 'k0', 'k1', 'k0'],
  );
  const start = Date.parse('2026-01-31T00:00:00Z') / 1000;
  deepEqual(
    records.map(({ eventTime }) => eventTime),
    records.map((_, index) => ({ seconds: start + 60 * index, nanos: 500_000_000 })),
  );
});

test('a partition that does not exist is refused by name', async () => {
  const source = createSource({ type: 'generator', config: { partitions: 2 } }, 'test');
  await source.open(testContext('/'));
  for (const partition of ['2', '-1', '01', 'x', '']) {
    const lane = testLane(partition);
    await rejects(
      source.openPartition({ lane, epoch: 1, after: undefined, signal }),
      (error) => isEtlError(error) && error.code === 'ETL_INVALID_ARGUMENT',
    );
  }
});

test('settings that are wrong are all named at once, with the way out', () => {
  const config = { partitions: 0, rat: 5, count: 'many', startTime: 'today', payloadBytes: '2Mi' };
  const findings = checkConnector('source', { type: 'generator', config }, 'EtlSource t/load');
  deepEqual(findings.map(({ path }) => path).toSorted(), [
    'spec.generator.count',
    'spec.generator.partitions',
    'spec.generator.payloadBytes',
    'spec.generator.rat',
    'spec.generator.startTime',
  ]);
  const unknown = findings.find(({ path }) => path.endsWith('.rat'));
  equal(unknown?.suggestion, 'did you mean "rate"?');
});
