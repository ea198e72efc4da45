import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isEtlError, seededRandom } from '@etl-router/core';
import { type DeadLetterEntry, LocalDeadLetterStore } from '../../src/index.ts';
import { MemoryDisk } from '../../src/testing.ts';
import { batchOf } from '../batches-of.ts';

const pipelineId = 'test/pipeline';
const { signal } = new AbortController();

function entry(n: number, change: Partial<DeadLetterEntry> = {}): DeadLetterEntry {
  const batch = batchOf([n], { payload: () => `payload ${n}` });
  return {
    pipelineId,
    id: batch.id(0),
    stage: 'out',
    stageKind: 'sink',
    source: 'in',
    partition: 'p0',
    code: 'BAD',
    message: 'does not fit',
    attempts: 1,
    firstFailureMs: 1000 + n,
    lastFailureMs: 2000 + n,
    pipelineVersion: 3,
    batch,
    ...change,
  };
}

async function open(disk: MemoryDisk, maxBytes?: number): Promise<LocalDeadLetterStore> {
  return LocalDeadLetterStore.open({
    directory: disk.open(),
    segmentBytes: 1000,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
}

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

test('dead letters survive a restart on the real disk, records and all', async () => {
  const path = await mkdtemp(join(tmpdir(), 'dead-letters-'));
  try {
    const store = await LocalDeadLetterStore.open({ directory: path });
    await store.append(
      range(5).map((n) => entry(n)),
      signal,
    );
    await store.close();
    const again = await LocalDeadLetterStore.open({ directory: path });
    const { items, total } = await again.list({ pipelineId, first: 10 });
    assert.equal(total, 5);
    assert.equal(items[3]?.batch.payload(0).toString(), 'payload 3');
    assert.equal(items[3]?.fingerprint, 'out/BAD');
    assert.deepEqual((await again.get(pipelineId, entry(3).id))?.batch.bytes, entry(3).batch.bytes);
    await again.close();
  } finally {
    await rm(path, { recursive: true });
  }
});

test('what was appended before a crash is there after it', async () => {
  const disk = new MemoryDisk();
  for (let life = 0; life < 10; life++) {
    const store = await open(disk);
    assert.deepEqual(
      await Promise.all(
        range(life).map((n) => store.get(pipelineId, entry(n).id).then((item) => item?.id)),
      ),
      range(life).map((n) => entry(n).id),
    );
    await store.append([entry(life)], signal);
    void store.append([entry(1000 + life)], signal).catch(() => {});
    disk.crash(seededRandom(life));
    await store.close().catch(() => {});
  }
});

test('a record that fails again replaces its dead letter, and keeps its first failure', async () => {
  const store = await open(new MemoryDisk());
  await store.append([entry(1)], signal);
  await store.redrive(pipelineId, {});
  await store.append([entry(1, { code: 'WORSE', attempts: 2, firstFailureMs: 9999 })], signal);
  const { items, total } = await store.list({ pipelineId, first: 10 });
  assert.equal(total, 1);
  const [item] = items;
  assert.equal(item?.code, 'WORSE');
  assert.equal(item?.attempts, 3);
  assert.equal(item?.firstFailureMs, 1001);
  assert.equal(item?.redrive, undefined, 'it waits for somebody to decide again');
});

test('pages follow each other and filters count what they match', async () => {
  const store = await open(new MemoryDisk());
  await store.append(
    range(25).map((n) => entry(n, { code: n % 2 === 0 ? 'EVEN' : 'ODD' })),
    signal,
  );
  const seen: string[] = [];
  let after = 0;
  for (;;) {
    const page = await store.list({ pipelineId, filter: { code: 'ODD' }, first: 5, after });
    assert.equal(page.total, 12);
    seen.push(...page.items.map(({ id }) => id));
    if (page.next === undefined) break;
    after = page.next;
  }
  assert.deepEqual(
    seen,
    range(25)
      .filter((n) => n % 2 === 1)
      .map((n) => entry(n).id),
  );
  assert.deepEqual(
    [...store.counts(pipelineId).byFingerprint],
    [
      ['out/EVEN', 13],
      ['out/ODD', 12],
    ],
  );
  await assert.rejects(store.list({ pipelineId, first: 0 }), isEtlError);
});

test('what is queued comes in order, survives a restart, and leaves when it is resolved', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  await store.append(
    range(6).map((n) => entry(n)),
    signal,
  );
  assert.equal(await store.redrive(pipelineId, { ids: [entry(4).id, entry(1).id] }), 2);
  assert.equal(await store.redrive(pipelineId, { ids: [entry(1).id] }), 0, 'it is queued already');
  assert.equal(await store.redrive(pipelineId, { ids: [entry(0).id] }), 1);
  await store.close();
  const again = await open(disk);
  const lane = { source: 'in', stage: 'out' };
  assert.deepEqual(again.redriveLanes(pipelineId), [lane]);
  const bounds = { after: 0, maxRecords: 10, maxBytes: 1_000_000 };
  const queued = await again.redriveQueue(pipelineId, lane).read(bounds);
  assert.deepEqual(
    queued.map(({ id }) => id),
    [entry(1).id, entry(4).id, entry(0).id],
  );
  assert.equal(await again.discard(pipelineId, {}), 3, 'what is queued is not discarded');
  await again.removeRedriven(pipelineId, lane, queued[1]?.redrive ?? 0);
  assert.deepEqual(again.counts(pipelineId), {
    total: 1,
    redriving: 1,
    byFingerprint: new Map([['out/BAD', 1]]),
  });
});

test('numbers are never given out twice, not even after all was removed and compacted', async () => {
  const disk = new MemoryDisk();
  let last = 0;
  for (let life = 0; life < 5; life++) {
    const store = await open(disk);
    await store.append(
      range(20).map((n) => entry(n)),
      signal,
    );
    const ordinal = store.lastOrdinal(pipelineId);
    assert.ok(ordinal >= last + 20);
    last = ordinal;
    await store.redrive(pipelineId, { ids: [entry(0).id] });
    await store.removeRedriven(pipelineId, { source: 'in', stage: 'out' }, last + 1000);
    await store.discard(pipelineId, {});
    await store.close();
  }
  assert.ok(disk.size < 10_000, `${disk.size} bytes are left of nothing`);
});

test('a full store makes appends wait until something leaves', async () => {
  const store = await open(new MemoryDisk(), 9000);
  let appended = 0;
  const appending = (async () => {
    for (const n of range(30)) {
      await store.append([entry(n)], signal);
      appended++;
    }
  })();
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(appended > 2 && appended < 30, `${appended} fit`);
  assert.equal(store.usage.waiting, 1);
  assert.ok(store.usage.bytes <= 9000);
  while (appended < 30) {
    await store.discard(pipelineId, {});
    await new Promise((resolve) => setImmediate(resolve));
  }
  await appending;
});

test('whoever waits for room can be called off', async () => {
  const store = await open(new MemoryDisk(), 1500);
  await store.append([entry(0), entry(7)], signal);
  const caller = new AbortController();
  const waiting = store.append([entry(1)], caller.signal);
  caller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
});

test('ids of a lane are told by stage, those being appended included', async () => {
  const store = await open(new MemoryDisk());
  const appending = store.append(
    [entry(1), entry(2, { stage: 't' }), entry(3, { partition: 'p1' })],
    signal,
  );
  const ids = await store.idsOf(pipelineId, { source: 'in', partition: 'p0' });
  await appending;
  assert.deepEqual(
    [...ids].map(([stage, known]) => [stage, [...known]]),
    [
      ['out', [entry(1).id]],
      ['t', [entry(2).id]],
    ],
  );
});
