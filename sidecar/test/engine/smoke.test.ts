import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, seededRandom, silentLogger } from '@etl-router/core';
import { LocalDeadLetterStore, Sidecar, SpillStore } from '../../src/index.ts';
import {
  advanceUntil,
  MemoryControlPlane,
  MemoryDisk,
  MemorySink,
  MemorySource,
  MemoryTable,
  MemoryTopic,
  testPipeline,
  testStages,
} from '../../src/testing.ts';

test('a bounded source reaches its sink and the run completes', async () => {
  const clock = new ManualClock(1_700_000_000_000);
  const topic = new MemoryTopic();
  topic.append(
    'p0',
    Array.from({ length: 5000 }, (_, i) => ({ payload: Buffer.from(`${i}`) })),
  );
  const table = new MemoryTable();
  const controlPlane = new MemoryControlPlane();
  const disk = new MemoryDisk();
  const sidecar = new Sidecar({
    sidecarId: 'test/sidecar',
    version: '0',
    offers: [],
    controlPlane,
    stages: testStages({
      sources: { in: () => new MemorySource(topic, clock) },
      sinks: { out: () => new MemorySink(table) },
    }),
    deadLetters: await LocalDeadLetterStore.open({ directory: disk.open().directory('dlq') }),
    spills: new SpillStore({ directory: disk.open().directory('spill') }),
    baseDirectory: '/',
    clock,
    random: seededRandom(1),
    logger: silentLogger,
  });
  controlPlane.assign(
    testPipeline({ stages: { in: 'source', out: 'sink' }, edges: [['in', 'out']] }),
  );
  let outcome: string | undefined;
  sidecar.onEnded((_, ended) => (outcome = ended.kind));
  sidecar.start();
  const done = await advanceUntil(clock, () => outcome !== undefined);
  assert.ok(done, JSON.stringify(sidecar.snapshots(), undefined, 1));
  assert.equal(outcome, 'completed');
  assert.deepEqual(
    table.payloads,
    Array.from({ length: 5000 }, (_, i) => `${i}`),
  );
  assert.equal(topic.acknowledged.get('p0'), 5000);
  const closing = sidecar.close(1000);
  await advanceUntil(clock, () => false, { limitMs: 2000 });
  await closing;
});
