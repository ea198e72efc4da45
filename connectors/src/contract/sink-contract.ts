// The contract of every sink, as tests: what core/src/connector.ts says of Sink, one claim a test. A connector's own
// tests call testSink once for each of its modes.

import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BatchBuilder,
  isEtlError,
  positionOfCount,
  type RecordBatch,
  type Sink,
  type SinkCapabilities,
} from '@etl-router/core';
import {
  judge,
  type TestPayload,
  testBatch,
  testContext,
  testLane,
  type Verdict,
} from './sink-harness.ts';

/** An outside system that holds nothing yet, and sinks that write to it. */
export interface SinkFixture {
  /** A new sink on the same outside system; the one before was closed. */
  readonly create: () => Sink;
  readonly baseDirectory: string;
  /** All that is stored, in stored order. Called when no sink is open. */
  readonly contents: () => Promise<readonly TestPayload[]>;
}

export interface SinkContract {
  /** Such as `duckdb append`. */
  readonly name: string;
  readonly capabilities: SinkCapabilities;
  readonly fixture: () => Promise<SinkFixture>;
  /** Contents keep the order of writes. Default true. */
  readonly isOrdered?: boolean;
}

const signal: AbortSignal = new AbortController().signal;
const perfect: Verdict = { missing: 0, duplicates: 0, reordered: 0, foreign: 0 };

/** Registers the tests of one mode of a sink. */
export function testSink(contract: SinkContract): void {
  describe(`sink contract: ${contract.name}`, () => {
    testStoring(contract);
    testFailures(contract);
    testEndings(contract);
    if (contract.capabilities.transactionalPosition) testPositions(contract);
    if (contract.capabilities.idempotentByKey) testReplacement(contract);
  });
}

/** Opens a sink, lets `work` use it and closes it. */
async function using<T>(fixture: SinkFixture, work: (sink: Sink) => Promise<T>): Promise<T> {
  const sink = fixture.create();
  await sink.open(testContext(fixture.baseDirectory));
  try {
    return await work(sink);
  } finally {
    await sink.close();
  }
}

async function verdictOf(
  contract: SinkContract,
  fixture: SinkFixture,
  counts: { readonly [lane: string]: number },
): Promise<void> {
  const verdict = judge(await fixture.contents(), new Map(Object.entries(counts)));
  deepEqual(contract.isOrdered === false ? { ...verdict, reordered: 0 } : verdict, perfect);
}

function testStoring(contract: SinkContract): void {
  test('it declares what it can promise', async () => {
    deepEqual((await contract.fixture()).create().capabilities, contract.capabilities);
  });

  test('what is written is stored, in the order of the lane', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      for (let from = 1; from <= 91; from += 10) {
        deepEqual(
          await sink.write(testBatch({ lane: 'a', epoch: 1, from, to: from + 9 }), signal),
          { failures: [] },
        );
      }
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 100 });
  });

  test('a batch of no records changes nothing', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      deepEqual(await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 0 }), signal), {
        failures: [],
      });
      await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 3 }), signal);
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 3 });
  });

  test('lanes that write at the same time do not mix or lose records', async () => {
    const fixture = await contract.fixture();
    const lanes = ['a', 'b', 'c', 'd', 'e'];
    await using(fixture, async (sink) => {
      await Promise.all(
        lanes.map(async (lane, index) => {
          await sink.openLane(testLane(lane), 1);
          for (let from = 1; from <= 60; ) {
            const to = Math.min(60, from + index + (from % 7));
            await sink.write(testBatch({ lane, epoch: 1, from, to }), signal);
            from = to + 1;
          }
        }),
      );
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 60, b: 60, c: 60, d: 60, e: 60 });
  });
}

/** Records that are JSON, but may not fit; each is stored as it is or fails by itself. */
const hostilePayloads: readonly string[] = [
  '{"lane":"a","n":1,"text":"nul \\u0000 inside"}',
  '{"lane":"a","n":1,"text":"half \\ud800 pair"}',
  '{"lane":"a","n":9223372036854775808,"text":"wide"}',
  '{"lane":"a","n":1e400,"text":"infinite"}',
  '{"lane":"a","n":{"__proto__":{"x":1}},"text":"nested"}',
  '{"__proto__":1,"constructor":2,"toString":3}',
  '{"lane":"a","n":1,"text":"=HYPERLINK(\\"x\\")\\r\\n,;\\t"}',
  `{"lane":"a","n":1,"text":"${'x'.repeat(100_000)}"}`,
  `{"lane":"a","n":1,"text":${'['.repeat(500)}${']'.repeat(500)}}`,
  '{}',
  '[]',
  'null',
  '"text"',
  '{"lane":"a","n":1,',
  '',
];

function testFailures(contract: SinkContract): void {
  const { transactionalPosition } = contract.capabilities;

  test('a record that does not fit is named by its index, and the others are stored', async () => {
    const fixture = await contract.fixture();
    const payloads = new Map([
      [13, 'not json'],
      [17, '{"lane":'],
    ]);
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 10 }), signal);
      const { failures } = await sink.write(
        testBatch({ lane: 'a', epoch: 1, from: 11, to: 20, payloads }),
        signal,
      );
      deepEqual(
        failures.map(({ index, retryable }) => ({ index, retryable })),
        [
          { index: 2, retryable: false },
          { index: 6, retryable: false },
        ],
      );
      ok(failures.every(({ code, message }) => /^[A-Z][A-Z_]+$/.test(code) && message !== ''));
      if (transactionalPosition) {
        deepEqual(
          (await sink.openLane(testLane('a'), 1)).position,
          Buffer.from(positionOfCount(10)),
        );
        const rest = testBatch({ lane: 'a', epoch: 1, from: 11, to: 20 });
        deepEqual(await sink.write(rest.select([0, 1, 3, 4, 5, 7, 8, 9]), signal), {
          failures: [],
        });
      }
      await sink.complete();
    });
    const verdict = judge(await fixture.contents(), new Map([['a', 20]]));
    deepEqual({ ...verdict, reordered: 0 }, { ...perfect, missing: 2 });
  });

  test('hostile payloads are stored or fail alone, and never stop the sink', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 5 }), signal);
      for (const [index, payload] of hostilePayloads.entries()) {
        const at = 6 + index;
        const batch = testBatch({
          lane: 'a',
          epoch: 1,
          from: at,
          to: at,
          payloads: new Map([[at, payload]]),
        });
        const { failures } = await sink.write(batch, signal);
        ok(
          failures.length === 0 || (failures.length === 1 && failures[0]?.index === 0),
          payload.slice(0, 50),
        );
      }
      const after = testBatch({ lane: 'b', epoch: 1, from: 1, to: 5 });
      await sink.openLane(testLane('b'), 1);
      deepEqual(await sink.write(after, signal), { failures: [] });
      await sink.complete();
    });
    const contents = await fixture.contents();
    equal(contents.filter(({ lane }) => lane === 'b').length, 5);
  });
}

function testEndings(contract: SinkContract): void {
  test('a write that is cancelled before it begins stores nothing', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 5 }), signal);
      await rejects(
        async () =>
          sink.write(testBatch({ lane: 'a', epoch: 1, from: 6, to: 9 }), AbortSignal.abort()),
        (error) => isEtlError(error) && error.code === 'ETL_CANCELLED',
      );
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 5 });
  });

  test('complete and close can be called again', async () => {
    const fixture = await contract.fixture();
    const sink = fixture.create();
    await sink.open(testContext(fixture.baseDirectory));
    await sink.openLane(testLane('a'), 1);
    await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 5 }), signal);
    await sink.complete();
    await sink.complete();
    await sink.close();
    await sink.close();
    await verdictOf(contract, fixture, { a: 5 });
  });
}

/** Brings a lane of a new sink to record `to`, from wherever the sink says it stands. */
async function goOn(
  sink: Sink,
  lane: { readonly name: string; readonly epoch: number; readonly to: number },
): Promise<void> {
  const { position } = await sink.openLane(testLane(lane.name), lane.epoch);
  const from = position === undefined ? 1 : Number(Buffer.from(position).readBigUInt64BE()) + 1;
  if (from <= lane.to) {
    await sink.write(testBatch({ lane: lane.name, epoch: lane.epoch, from, to: lane.to }), signal);
  }
  await sink.complete();
}

function testPositions(contract: SinkContract): void {
  testResumption(contract);
  testFencing(contract);

  for (const delayTurns of [0, 1, 3]) {
    test(`a write that is cancelled ${delayTurns} turns after it began is stored whole or not at all`, async () => {
      const fixture = await contract.fixture();
      await using(fixture, async (sink) => {
        await sink.openLane(testLane('a'), 1);
        const controller = new AbortController();
        const written = sink
          .write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 500 }), controller.signal)
          .then(
            () => true,
            () => false,
          );
        for (let turn = 0; turn < delayTurns; turn++)
          await new Promise((resolve) => setImmediate(resolve));
        controller.abort();
        const isStored = await written;
        const { position } = await sink.openLane(testLane('a'), 1);
        if (isStored) deepEqual(position, Buffer.from(positionOfCount(500)));
        ok(position === undefined || Buffer.from(position).readBigUInt64BE() === 500n);
        await goOn(sink, { name: 'a', epoch: 1, to: 600 });
      });
      await verdictOf(contract, fixture, { a: 600 });
    });
  }

  test('closing during a write leaves it stored whole or not at all', async () => {
    const fixture = await contract.fixture();
    const sink = fixture.create();
    await sink.open(testContext(fixture.baseDirectory));
    await sink.openLane(testLane('a'), 1);
    const written = sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 500 }), signal).then(
      () => true,
      () => false,
    );
    await sink.close();
    const isStored = await written;
    await using(fixture, async (next) => {
      const { position } = await next.openLane(testLane('a'), 2);
      equal(
        position === undefined ? 0n : Buffer.from(position).readBigUInt64BE(),
        isStored ? 500n : 0n,
      );
      await goOn(next, { name: 'a', epoch: 2, to: 600 });
    });
    await verdictOf(contract, fixture, { a: 600 });
  });
}

function testResumption(contract: SinkContract): void {
  test('a sink that is opened again says where each lane stands and goes on there', async () => {
    const fixture = await contract.fixture();
    for (let round = 1; round <= 4; round++) {
      await using(fixture, async (sink) => {
        const { position } = await sink.openLane(testLane('a'), round);
        deepEqual(
          position,
          round === 1 ? undefined : Buffer.from(positionOfCount((round - 1) * 25)),
        );
        equal((await sink.openLane(testLane(`new ${round}`), 1)).position, undefined);
        const from = (round - 1) * 25 + 1;
        await sink.write(testBatch({ lane: 'a', epoch: round, from, to: from + 24 }), signal);
        if (round === 4) await sink.complete();
      });
    }
    await verdictOf(contract, fixture, { a: 100 });
  });

  test('records that are delivered again are left out by their position', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 10 }), signal);
      deepEqual(await sink.write(testBatch({ lane: 'a', epoch: 1, from: 5, to: 15 }), signal), {
        failures: [],
      });
      deepEqual(await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 15 }), signal), {
        failures: [],
      });
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 15 });
  });
}

function testFencing(contract: SinkContract): void {
  const isFenced = (error: unknown): boolean => isEtlError(error) && error.code === 'ETL_FENCED';

  test('a holder of a lower epoch is refused and stores nothing', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 3);
      await sink.write(testBatch({ lane: 'a', epoch: 3, from: 1, to: 5 }), signal);
      deepEqual((await sink.openLane(testLane('a'), 7)).position, Buffer.from(positionOfCount(5)));
      await rejects(
        async () => sink.write(testBatch({ lane: 'a', epoch: 3, from: 6, to: 9 }), signal),
        isFenced,
      );
      await rejects(async () => sink.openLane(testLane('a'), 6), isFenced);
      await sink.write(testBatch({ lane: 'a', epoch: 7, from: 6, to: 8 }), signal);
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 8 });
  });

  test('a fence holds after the sink was opened again, and for its lane only', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 9);
      await sink.write(testBatch({ lane: 'a', epoch: 9, from: 1, to: 2 }), signal);
    });
    await using(fixture, async (sink) => {
      await rejects(async () => sink.openLane(testLane('a'), 8), isFenced);
      await rejects(
        async () => sink.write(testBatch({ lane: 'a', epoch: 8, from: 3, to: 4 }), signal),
        isFenced,
      );
      await rejects(
        async () => sink.write(testBatch({ lane: 'b', epoch: 1, from: 1, to: 2 }), signal),
        isFenced,
      );
      await sink.openLane(testLane('b'), 1);
      await sink.write(testBatch({ lane: 'b', epoch: 1, from: 1, to: 2 }), signal);
      await sink.complete();
    });
    await verdictOf(contract, fixture, { a: 2, b: 2 });
  });
}

function testReplacement(contract: SinkContract): void {
  test('a record that comes again under another position replaces itself', async () => {
    const fixture = await contract.fixture();
    await using(fixture, async (sink) => {
      await sink.openLane(testLane('a'), 1);
      await sink.write(testBatch({ lane: 'a', epoch: 1, from: 1, to: 10 }), signal);
      await sink.openLane(testLane('~redrive/a'), 1);
      const again = testBatch({ lane: 'a', epoch: 1, from: 4, to: 6 });
      const moved = again.withHeader({ lane: testLane('~redrive/a') });
      deepEqual(await sink.write(withOriginIds(moved, again), signal), { failures: [] });
      await sink.complete();
    });
    await verdictOf({ ...contract, isOrdered: false }, fixture, { a: 10 });
  });
}

/** The records with the ids they had in another lane, as dead letters that are sent again have them. */
function withOriginIds(batch: RecordBatch, original: RecordBatch): RecordBatch {
  const builder = new BatchBuilder();
  for (let index = 0; index < batch.count; index++) {
    builder.append({ ...batch.record(index), originId: original.id(index) });
  }
  return builder.build({ ...batch.header });
}
