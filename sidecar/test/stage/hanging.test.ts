// Services that do not answer, or answer for records they were not given, under a whole run: the run says what is wrong
// and stores every record.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { RecordBatch, seededRandom, silentLogger, systemClock } from '@etl-router/core';
import { addService, rawService } from '@etl-router/proto/grpc';
import { SinkService } from '@etl-router/proto/sink';
import { RecordStatus, TransformService } from '@etl-router/proto/transform';
import {
  GrpcSink,
  GrpcTransform,
  LocalDeadLetterStore,
  Sidecar,
  SpillStore,
} from '@etl-router/sidecar';
import {
  MemoryControlPlane,
  MemoryDisk,
  MemorySource,
  MemoryTopic,
  testPipeline,
} from '../../src/testing.ts';
import { listen } from './fixture.ts';

const count = 40;
const numbers = Array.from({ length: count }, (_, index) => String(index));

/** What the services of a run answer to their calls, by number from 0; undefined: as they should. */
interface Script {
  /** Of calls of either kind. Where one of them hangs it is long for those that do not, on a busy machine too. */
  readonly deadlineMs?: number;
  readonly process?: (call: number, records: number, signal: AbortSignal) => Promise<object[]>;
  readonly write?: (call: number, records: number, signal: AbortSignal) => Promise<object[]>;
}

interface Ended {
  /** What was stored, each as often as it was. */
  readonly stored: readonly string[];
  readonly deadLetters: number;
  /** Code and message of the last fault of each stage. */
  readonly faults: readonly string[];
}

const byNumber = (a: string, b: string): number => Number(a) - Number(b);
const ok = (records: number): object[] =>
  Array.from({ length: records }, () => ({ status: RecordStatus.OK }));

/** Until the caller gives up. */
function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** Runs 40 records through a transform and a sink behind gRPC. */
async function run(t: TestContext, script: Script): Promise<Ended> {
  const stored: string[] = [];
  let processed = 0;
  let written = 0;
  const served = await listen(t, (server) => {
    addService(server, rawService(TransformService), {
      getCapabilities: () => ({ maxBatchRecords: 10 }),
      processBatch: async ({ batch }, { signal }) => {
        const records = RecordBatch.decode(batch).count;
        return { results: (await script.process?.(processed++, records, signal)) ?? ok(records) };
      },
      processStream: async function* () {},
    });
    addService(server, rawService(SinkService), {
      getCapabilities: () => ({ durable: true, batch: { maxRecords: 10 } }),
      openLane: () => ({}),
      writeBatch: async ({ batch: bytes }, { signal }) => {
        const batch = RecordBatch.decode(bytes);
        const failures = (await script.write?.(written++, batch.count, signal)) ?? [];
        for (let at = 0; at < batch.count; at++) stored.push(batch.payload(at).toString());
        return { failures };
      },
      writeStream: async function* () {},
      flush: () => ({}),
      complete: () => ({}),
      getCapacity: () => ({}),
    });
  });
  const { deadlineMs = 60_000 } = script;
  const target = { ...served, deadlinesMs: { process: deadlineMs, write: deadlineMs } };
  const pipeline = testPipeline({
    stages: { in: 'source', map: 'transform', out: 'sink' },
    edges: [
      ['in', 'map'],
      ['map', 'out'],
    ],
  });
  const topic = new MemoryTopic();
  topic.append(
    'p0',
    numbers.map((text) => ({ payload: Buffer.from(text) })),
  );
  const controlPlane = new MemoryControlPlane();
  controlPlane.assign(pipeline);
  const disk = new MemoryDisk().open();
  const deadLetters = await LocalDeadLetterStore.open({
    directory: disk.directory('dead-letters'),
  });
  const sidecar = new Sidecar({
    sidecarId: 'test/sidecar',
    version: '0',
    offers: ['connectors'],
    controlPlane,
    stages: {
      createSource: () => new MemorySource(topic, systemClock),
      createTransform: () => GrpcTransform.connect({ ...target, stage: 'map' }),
      createSink: () => GrpcSink.connect({ ...target, stage: 'out' }),
    },
    deadLetters,
    spills: new SpillStore({ directory: disk.directory('spill') }),
    baseDirectory: '/',
    clock: systemClock,
    random: seededRandom(7),
    logger: silentLogger,
  });
  const ended = Promise.withResolvers<readonly string[]>();
  sidecar.onEnded(() => {
    const stages = sidecar.snapshot(pipeline.id)?.stages ?? [];
    ended.resolve(
      stages.flatMap(({ fault }) =>
        fault === undefined ? [] : [`${fault.code}: ${fault.message}`],
      ),
    );
  });
  sidecar.start();
  const faults = await ended.promise;
  await sidecar.abort();
  return { stored, deadLetters: deadLetters.counts(pipeline.id).total, faults };
}

test('a ProcessBatch that hangs is given up at its deadline and comes again; nothing is lost', async (t) => {
  const { stored, deadLetters, faults } = await run(t, {
    deadlineMs: 1500,
    process: (call, records, signal) => (call === 1 ? hang(signal) : Promise.resolve(ok(records))),
  });
  assert.deepEqual([...new Set(stored)].toSorted(byNumber), numbers);
  assert.equal(deadLetters, 0);
  assert.match(faults.join('\n'), /ETL_TIMEOUT: .*deadline/i);
});

test('a WriteBatch that hangs is given up at its deadline and comes again; nothing is lost', async (t) => {
  const { stored, deadLetters, faults } = await run(t, {
    deadlineMs: 1500,
    write: (call, _records, signal) => (call === 1 ? hang(signal) : Promise.resolve([])),
  });
  assert.deepEqual(stored.toSorted(byNumber), numbers);
  assert.equal(deadLetters, 0);
  assert.match(faults.join('\n'), /ETL_TIMEOUT: .*deadline/i);
});

for (const [what, wrong] of [
  ['too few', -1],
  ['too many', 1],
] as const) {
  test(`${what} results stop the records until the answer is right; nothing is lost`, async (t) => {
    const { stored, deadLetters, faults } = await run(t, {
      process: (call, records) => Promise.resolve(ok(records + (call < 3 ? wrong : 0))),
    });
    assert.deepEqual([...new Set(stored)].toSorted(byNumber), numbers);
    assert.equal(deadLetters, 0);
    const message = `ETL_CONNECTOR_FAILED: stage map answered \\d+ results for \\d+ records`;
    assert.match(faults.join('\n'), new RegExp(message));
  });
}

test('a failure of a record that was not written stops the records until the answer is right', async (t) => {
  const { stored, deadLetters, faults } = await run(t, {
    write: (call, records) => Promise.resolve(call < 3 ? [{ index: records }] : []),
  });
  assert.deepEqual([...new Set(stored)].toSorted(byNumber), numbers);
  assert.equal(deadLetters, 0);
  assert.match(faults.join('\n'), /ETL_CONNECTOR_FAILED: the stage reported record \d+ of a batch/);
});
