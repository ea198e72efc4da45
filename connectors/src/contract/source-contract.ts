// The contract of every source, as tests: what core/src/connector.ts says of Source and PartitionReader, one claim a test.
// A connector's own tests call testSource once for each kind of contents it reads.

import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  comparePositions,
  isEtlError,
  type PartitionReader,
  type RecordBatch,
  type Source,
  type SourceCapabilities,
} from '@etl-router/core';
import { testContext, testLane } from './sink-harness.ts';

/** An outside system with known contents. */
export interface SourceFixture {
  readonly baseDirectory: string;
  /** A new source on the same contents. */
  readonly create: () => Source;
  /** The payloads of each partition, in order. */
  readonly payloads: { readonly [partition: string]: readonly string[] };
}

export interface SourceContract {
  /** Such as `file: CSV`. */
  readonly name: string;
  readonly capabilities: SourceCapabilities;
  readonly fixture: () => Promise<SourceFixture>;
}

/** A record as far as a replay has to bring it again. */
interface Read {
  readonly id: string;
  readonly position: Buffer;
  readonly payload: string;
}

interface Bounds {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

const { signal }: { readonly signal: AbortSignal } = new AbortController();
const wide: Bounds = { maxRecords: 10_000, maxBytes: 16 * 1024 * 1024 };
/** Positions of a partition that are resumed from, when it has more. */
const resumesMax = 24;

/** Registers the tests of one kind of contents. */
export function testSource(contract: SourceContract): void {
  describe(`source contract: ${contract.name}`, () => {
    testOrder(contract);
    testReplay(contract);
    testBounds(contract);
    testEndings(contract);
  });
}

/** Opens the source and lets `work` use it, then closes it. */
async function using(
  fixture: SourceFixture,
  work: (source: Source) => Promise<void>,
): Promise<void> {
  const source = fixture.create();
  await source.open(testContext(fixture.baseDirectory));
  try {
    await work(source);
  } finally {
    await source.close();
  }
}

/** Opens each partition in turn, and closes its reader. */
async function eachPartition(
  contract: SourceContract,
  work: (open: OpenReader, payloads: readonly string[]) => Promise<void>,
): Promise<void> {
  const fixture = await contract.fixture();
  await using(fixture, async (source) => {
    for (const [partition, payloads] of Object.entries(fixture.payloads)) {
      const opened: PartitionReader[] = [];
      try {
        await work(async (after) => {
          const reader = await source.openPartition({
            lane: testLane(partition),
            epoch: 3,
            after,
            signal,
          });
          opened.push(reader);
          return reader;
        }, payloads);
      } finally {
        for (const reader of opened) await reader.close();
      }
    }
  });
}

type OpenReader = (after?: Uint8Array) => Promise<PartitionReader>;

function recordsOf(batch: RecordBatch): Read[] {
  return Array.from({ length: batch.count }, (_, index) => ({
    id: batch.id(index),
    position: Buffer.from(batch.position(index)),
    payload: batch.payload(index).toString(),
  }));
}

/** Reads until there is nothing; `each` sees every batch. */
async function readAll(
  reader: PartitionReader,
  bounds: Bounds = wide,
  each: (batch: RecordBatch) => void = () => {},
): Promise<Read[]> {
  const records: Read[] = [];
  for (;;) {
    const result = await reader.next({ ...bounds, signal });
    if (result.kind !== 'batch') return records;
    ok(result.batch.count > 0, 'a batch has a record');
    each(result.batch);
    records.push(...recordsOf(result.batch));
  }
}

function payloadsOf(records: readonly Read[]): string[] {
  return records.map(({ payload }) => payload);
}

function testOrder(contract: SourceContract): void {
  test('it declares what it can promise', async () => {
    deepEqual((await contract.fixture()).create().capabilities, contract.capabilities);
  });

  test('its partitions are the same at every look, in the same order', async () => {
    const fixture = await contract.fixture();
    const looks: string[][] = [];
    for (let look = 0; look < 2; look++) {
      await using(fixture, async (source) => {
        looks.push((await source.partitions(signal)).map(({ name }) => name));
        looks.push((await source.partitions(signal)).map(({ name }) => name));
      });
    }
    const expected = Object.keys(fixture.payloads);
    deepEqual(looks[0]?.toSorted(), expected.toSorted());
    for (const look of looks) deepEqual(look, looks[0]);
  });

  test('a partition has its records in order, at ascending positions', async () => {
    await eachPartition(contract, async (open, payloads) => {
      const records = await readAll(await open());
      deepEqual(payloadsOf(records), payloads);
      for (const [index, { position }] of records.entries()) {
        ok(position.length > 0 && position.length <= 1024, 'a position has 1 to 1,024 bytes');
        const before = records[index - 1];
        ok(before === undefined || comparePositions(before.position, position) < 0);
      }
      equal(new Set(records.map(({ id }) => id)).size, records.length);
    });
  });

  test('batches carry the lane and the epoch they were asked for', async () => {
    await eachPartition(contract, async (open) => {
      await readAll(await open(), wide, (batch) => {
        equal(batch.epoch, 3);
        equal(batch.lane.source, 'source');
      });
    });
  });
}

function testReplay(contract: SourceContract): void {
  test('from every position it goes on with exactly the rest, ids and bytes included', async () => {
    await eachPartition(contract, async (open) => {
      const all = await readAll(await open());
      const step = Math.max(1, Math.ceil(all.length / resumesMax));
      for (let index = 0; index < all.length; index += step) {
        const reader = await open(all[index]?.position);
        deepEqual(await readAll(reader), all.slice(index + 1));
        await reader.close();
      }
      const last = all.at(-1);
      if (last !== undefined) deepEqual(await readAll(await open(last.position)), []);
    });
  });

  test('another source reads the same', async () => {
    const fixture = await contract.fixture();
    const runs: Read[][] = [];
    for (let run = 0; run < 2; run++) {
      await using(fixture, async (source) => {
        for (const partition of Object.keys(fixture.payloads)) {
          const lane = testLane(partition);
          const reader = await source.openPartition({ lane, epoch: 1, after: undefined, signal });
          runs.push(await readAll(reader, { maxRecords: 1 + run * 6, maxBytes: 1_000_000 }));
          await reader.close();
        }
      });
    }
    deepEqual(runs.slice(runs.length / 2), runs.slice(0, runs.length / 2));
  });

  test('acknowledgements may come late, twice and out of order', async () => {
    await eachPartition(contract, async (open, payloads) => {
      const reader = await open();
      const records: Read[] = [];
      for (;;) {
        const result = await reader.next({ maxRecords: 2, maxBytes: 1_000_000, signal });
        if (result.kind !== 'batch') break;
        records.push(...recordsOf(result.batch));
        const middle = records[Math.floor(records.length / 2)] as Read;
        await reader.acknowledge((records.at(-1) as Read).position);
        await reader.acknowledge(middle.position);
        await reader.acknowledge(middle.position);
      }
      deepEqual(payloadsOf(records), payloads);
    });
  });

  test('a position that it never gave out is refused', async () => {
    await eachPartition(contract, async (open) => {
      for (const bad of [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(8, 255)]) {
        await rejects(open(bad), (error: unknown) => {
          return isEtlError(error) && error.code === 'ETL_INVALID_ARGUMENT';
        });
      }
    });
  });
}

function testBounds(contract: SourceContract): void {
  test('a batch has no more records than asked for', async () => {
    await eachPartition(contract, async (open, payloads) => {
      for (const maxRecords of [1, 3]) {
        const records = await readAll(
          await open(),
          { maxRecords, maxBytes: 1_000_000 },
          (batch) => {
            ok(batch.count <= maxRecords);
          },
        );
        deepEqual(payloadsOf(records), payloads);
      }
    });
  });

  test('a batch has no more bytes than asked for, unless it is one record', async () => {
    await eachPartition(contract, async (open, payloads) => {
      for (const maxBytes of [1, 200, 700]) {
        const records = await readAll(await open(), { maxRecords: 1000, maxBytes }, (batch) => {
          ok(batch.count === 1 || batch.byteLength <= maxBytes);
        });
        deepEqual(payloadsOf(records), payloads);
      }
    });
  });

  test('what it gave out does not change when more is read', async () => {
    await eachPartition(contract, async (open) => {
      const given: { readonly batch: RecordBatch; readonly bytes: Buffer }[] = [];
      await readAll(await open(), { maxRecords: 4, maxBytes: 1_000_000 }, (batch) => {
        given.push({ batch, bytes: Buffer.from(batch.bytes) });
      });
      for (const { batch, bytes } of given) deepEqual(batch.bytes, bytes);
    });
  });
}

function testEndings(contract: SourceContract): void {
  test('a bounded source ends, and stays at its end; another one waits', async () => {
    const kind = contract.capabilities.bounded ? 'end' : 'idle';
    await eachPartition(contract, async (open) => {
      const reader = await open();
      await readAll(reader);
      for (let again = 0; again < 3; again++) {
        deepEqual(await reader.next({ ...wide, signal }), { kind });
      }
    });
  });

  test('a read that is cancelled rejects, and another reader starts over', async () => {
    await eachPartition(contract, async (open, payloads) => {
      const reader = await open();
      await reader.next({ maxRecords: 1, maxBytes: 1, signal });
      await rejects(reader.next({ ...wide, signal: AbortSignal.abort() }));
      await reader.close();
      deepEqual(payloadsOf(await readAll(await open())), payloads);
    });
  });

  test('what is left never grows while it reads, and is nothing at the end', async () => {
    await eachPartition(contract, async (open) => {
      const reader = await open();
      let left = Number.POSITIVE_INFINITY;
      await readAll(reader, { maxRecords: 2, maxBytes: 1_000_000 }, () => {
        const { records, bytes } = reader.lag();
        const now = records ?? bytes ?? 0;
        ok(now <= left);
        left = now;
      });
      const { records = 0, bytes = 0 } = reader.lag();
      equal(records, 0);
      if (contract.capabilities.bounded) equal(bytes, 0);
    });
  });
}
