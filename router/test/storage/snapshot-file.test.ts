import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@etl-router/core';
import fc from 'fast-check';
import type { Disk } from '../../src/storage/disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import {
  listSnapshots,
  pruneSnapshots,
  readSnapshot,
  readSnapshotRow,
  type SnapshotPlace,
  type SnapshotRow,
  snapshotName,
  writeSnapshot,
} from '../../src/storage/snapshot-file.ts';

const position = { index: 42, term: 3 };

function placeOn(disk: MemoryDisk): SnapshotPlace {
  return { disk, directory: '/data/snapshots', clusterId: 'test-cluster' };
}

function newPlace(): { readonly disk: MemoryDisk; readonly place: SnapshotPlace } {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  return { disk, place: placeOn(disk) };
}

async function* inPieces(rows: readonly SnapshotRow[], size = 3): AsyncGenerator<SnapshotRow[]> {
  for (let at = 0; at < rows.length; at += size) {
    yield await Promise.resolve(rows.slice(at, at + size));
  }
}

const someRows: readonly SnapshotRow[] = Array.from({ length: 8 }, (_, at) => [
  Buffer.from(`key ${at}`),
  Buffer.from('v'.repeat(at)),
]);

const plain = (rows: readonly SnapshotRow[]): readonly string[] =>
  rows.map(
    ([key, value]) => `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`,
  );

test('any rows come back as they were', async () => {
  const row = fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 300 }));
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 60 }), async (rows) => {
      const { disk, place } = newPlace();
      const info = await writeSnapshot(place, position, inPieces(rows));
      assert.equal(info.rows, rows.length);
      assert.equal(info.bytes, disk.peek(info.path).length);
      assert.deepEqual(plain(await readSnapshot(place, position)), plain(rows));
    }),
    { numRuns: 100 },
  );
});

test('rows of more than a chunk are written in several', async () => {
  const { place } = newPlace();
  const rows = Array.from(
    { length: 20 },
    (_, at): SnapshotRow => [Uint8Array.of(at), new Uint8Array(100_000).fill(at)],
  );
  await writeSnapshot(place, position, inPieces(rows));
  assert.deepEqual(plain(await readSnapshot(place, position)), plain(rows));
});

test('one row is found without more of the file in memory than a piece of it and the row', async () => {
  const { place } = newPlace();
  const rows = Array.from(
    { length: 40 },
    (_, at): SnapshotRow => [Uint8Array.of(at), new Uint8Array(at === 7 ? 900_000 : 100_000)],
  );
  const last: SnapshotRow = [Buffer.from('~members'), Buffer.from('they')];
  await writeSnapshot(place, position, inPieces([...rows, last]));
  const { disk, reads } = watched(place.disk);
  const found = await readSnapshotRow({ ...place, disk }, position, last[0]);
  assert.equal(Buffer.from(found ?? []).toString(), 'they');
  assert.ok(Math.max(...reads) <= 900_000, `${Math.max(...reads)} bytes are read at once`);
  assert.ok(reads.length > 10);
  assert.equal(await readSnapshotRow(place, position, Buffer.from('none')), undefined);
});

/** The disk, and how much was read at a time. */
function watched(disk: Disk): { readonly disk: Disk; readonly reads: readonly number[] } {
  const reads: number[] = [];
  const open: Disk['open'] = async (path, mode) => {
    const file = await disk.open(path, mode);
    return {
      size: () => file.size(),
      write: (offset, chunks) => file.write(offset, chunks),
      sync: () => file.sync(),
      close: () => file.close(),
      read: (offset, length) => {
        reads.push(length);
        return file.read(offset, length);
      },
    };
  };
  const of = (name: keyof Disk): unknown => (name === 'open' ? open : disk[name].bind(disk));
  return { disk: new Proxy(disk, { get: (_, name) => of(name as keyof Disk) }), reads };
}

test('every flipped bit and every length is refused', async () => {
  const { disk, place } = newPlace();
  const { path } = await writeSnapshot(place, position, inPieces(someRows));
  const bytes = disk.peek(path);
  const refused = async (content: Uint8Array, what: string): Promise<void> => {
    disk.poke(path, content);
    await assert.rejects(
      readSnapshot(place, position),
      { code: 'ETL_STORAGE_CORRUPT', message: /0000000000000042-3\.snap is damaged at byte/ },
      what,
    );
  };
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    await refused(flipped, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    await refused(bytes.slice(0, length), `length ${length}`);
  }
});

test('a snapshot of another cluster, another entry, or none is refused', async () => {
  const { disk, place } = newPlace();
  const { path } = await writeSnapshot(place, position, inPieces(someRows));
  await assert.rejects(readSnapshot({ ...place, clusterId: 'other' }, position), {
    message: /it is of cluster test-cluster/,
  });
  const other = { index: 43, term: 3 };
  await assert.rejects(readSnapshot(place, other), { message: /the snapshot is missing/ });
  disk.poke(`${place.directory}/${snapshotName(other)}`, disk.peek(path));
  await assert.rejects(readSnapshot(place, other), { message: /stands for another entry/ });
});

test('a power failure at any operation leaves a whole snapshot or none', async () => {
  let whole = 0;
  for (let at = 1; at <= 7; at++) {
    for (let seed = 1; seed <= 20; seed++) {
      let failAt = at;
      const disk = new MemoryDisk({
        random: seededRandom(seed),
        fault: ({ number }) => (number === failAt ? 'power' : undefined),
      });
      const place = placeOn(disk);
      let written = false;
      const write = writeSnapshot(place, position, inPieces(someRows)).then(() => {
        written = true;
      });
      await Promise.race([write, disk.powerLost]);
      failAt = 0;
      disk.restart();
      const found = await listSnapshots(place);
      if (written) assert.deepEqual(found, [position]);
      if (found.length === 0) continue;
      whole += 1;
      assert.deepEqual(plain(await readSnapshot(place, position)), plain(someRows));
    }
  }
  assert.ok(whole > 0);
});

test('snapshots older than the named one are removed, and unfinished ones', async () => {
  const { disk, place } = newPlace();
  for (const index of [10, 20, 30]) {
    await writeSnapshot(place, { index, term: 1 }, inPieces(someRows));
  }
  disk.poke(`${place.directory}/0000000000000040-1.snap.tmp`, Buffer.from('half'));
  await pruneSnapshots(place, { index: 20, term: 1 });
  assert.deepEqual(
    (await listSnapshots(place)).map(({ index }) => index),
    [20, 30],
  );
  assert.equal(disk.paths().length, 2);
});
