import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOfPosition, seededRandom } from '@etl-router/core';
import { noFailpoints } from '../../src/index.ts';
import { SpillQueue } from '../../src/spill/spill-queue.ts';
import { SpillStore } from '../../src/spill/spill-store.ts';
import { MemoryDisk } from '../../src/testing.ts';
import { batchOf, payloadsOf } from '../batches-of.ts';

const key = { pipelineId: 'test/pipeline', edge: 'in>a', source: 'in', partition: 'p0' };
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function create(disk: MemoryDisk, segmentBytes = 100): SpillQueue {
  return SpillQueue.create(key, disk.open(), { failpoints: noFailpoints, segmentBytes });
}

async function recover(disk: MemoryDisk): Promise<SpillQueue | undefined> {
  return SpillQueue.recover(disk.open(), { failpoints: noFailpoints, segmentBytes: 100 });
}

test('batches come back in order, and again after a crash until they are released', async () => {
  const disk = new MemoryDisk();
  const queue = create(disk);
  for (let n = 0; n < 10; n++) await queue.append([batchOf([n], { payload: () => `b${n}` })], 0);
  assert.equal(queue.records, 10);
  for (let n = 0; n < 4; n++) {
    const read = await queue.read();
    assert.deepEqual(read && payloadsOf(read.batch), [`b${n}`]);
    if (read !== undefined && n < 2) queue.release(read.frame);
  }
  await settle();
  await settle();
  disk.crash(seededRandom(1));
  const again = await recover(disk);
  assert.deepEqual(again?.key, key);
  assert.equal(again?.records, 8, 'the two that were read and not released are there');
  const next = await again?.read();
  assert.deepEqual(next && payloadsOf(next.batch), ['b2']);
  assert.equal(countOfPosition(again?.lastPosition ?? new Uint8Array()), 10);
});

test('frames released out of order leave together with those before them', async () => {
  const queue = create(new MemoryDisk());
  await queue.append([batchOf([0]), batchOf([1]), batchOf([2])], 0);
  const frames = [await queue.read(), await queue.read(), await queue.read()];
  for (const index of [2, 1])
    queue.release((frames[index] as NonNullable<(typeof frames)[0]>).frame);
  assert.equal(queue.isEmpty, false);
  queue.release((frames[0] as NonNullable<(typeof frames)[0]>).frame);
  assert.equal(queue.isEmpty, true);
  assert.equal(queue.bytes, 0);
});

test('a segment goes only after the pointer past it is durable', async () => {
  const disk = new MemoryDisk();
  const queue = create(disk);
  for (let n = 0; n < 30; n++) await queue.append([batchOf([n])], 0);
  const before = disk.paths.length;
  disk.failure = new Error('no space left');
  for (let n = 0; n < 30; n++) {
    const read = await queue.read();
    if (read !== undefined) queue.release(read.frame);
  }
  for (let turns = 0; turns < 10; turns++) await settle();
  assert.equal(
    disk.paths.length,
    before,
    'the pointer could not be written, so nothing was removed',
  );
});

test('a released segment gives its space back', async () => {
  const disk = new MemoryDisk();
  const queue = create(disk);
  let woken = 0;
  queue.onRoom(() => woken++);
  for (let n = 0; n < 30; n++) await queue.append([batchOf([n])], 0);
  const before = disk.size;
  for (let n = 0; n < 30; n++) {
    const read = await queue.read();
    if (read !== undefined) queue.release(read.frame);
  }
  for (let turns = 0; turns < 20; turns++) await settle();
  assert.ok(disk.size < before / 3, `${disk.size} of ${before} bytes are left`);
  assert.ok(woken > 0);
});

test('what was in process when the spill began is released, not read', async () => {
  const queue = create(new MemoryDisk());
  const [first] = await queue.append([batchOf([0]), batchOf([1], { payload: () => 'next' })], 1);
  const read = await queue.read();
  assert.deepEqual(read && payloadsOf(read.batch), ['next']);
  assert.equal(await queue.read(), undefined);
  if (first !== undefined) queue.release(first);
  if (read !== undefined) queue.release(read.frame);
  assert.equal(queue.isEmpty, true);
});

test('a lane that is opened again reads what its predecessor did not release', async () => {
  const queue = create(new MemoryDisk());
  await queue.append([batchOf([0], { payload: () => 'a' }), batchOf([1])], 0);
  await queue.read();
  await queue.read();
  queue.rewind();
  assert.equal(queue.unread, 2);
  const read = await queue.read();
  assert.deepEqual(read && payloadsOf(read.batch), ['a']);
});

test('a store finds the queues that hold something, and clears the others away', async () => {
  const disk = new MemoryDisk();
  const store = new SpillStore({ directory: disk.open() });
  const full = store.create(key, noFailpoints);
  const empty = store.create({ ...key, partition: 'p1' }, noFailpoints);
  await full.append([batchOf([0])], 0);
  await empty.append([batchOf([0])], 0);
  const read = await empty.read();
  if (read !== undefined) empty.release(read.frame);
  await settle();
  disk.crash(seededRandom(2));
  const found = await new SpillStore({ directory: disk.open() }).recover(
    key.pipelineId,
    noFailpoints,
  );
  assert.deepEqual(
    found.map((queue) => queue.key),
    [key],
  );
});
