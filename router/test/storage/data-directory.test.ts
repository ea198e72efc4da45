import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@etl-router/core';
import { DataDirectory, type DataDirectoryOptions } from '../../src/storage/data-directory.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';

const path = '/var/lib/etl';

function options(disk: MemoryDisk): DataDirectoryOptions {
  return { disk, path, random: seededRandom(3), name: 'router-0' };
}

test('an identity is minted once and stays', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const first = await DataDirectory.open(options(disk));
  assert.ok(Number.isSafeInteger(first.identity.nodeId) && first.identity.nodeId > 0);
  assert.equal(first.logCreated, false);
  await first.markLogCreated();
  await first.close();
  const second = await DataDirectory.open({ ...options(disk), random: seededRandom(4) });
  assert.deepEqual(second.identity, first.identity);
  assert.equal(second.logCreated, true);
  await second.close();
});

test('a wiped directory is another member, and another log', async () => {
  const random = seededRandom(1);
  const one = await DataDirectory.open({ ...options(new MemoryDisk({ random })), random });
  const two = await DataDirectory.open({ ...options(new MemoryDisk({ random })), random });
  assert.notEqual(one.identity.nodeId, two.identity.nodeId);
  assert.notEqual(one.identity.logId, two.identity.logId);
});

test('another cluster and another name are refused', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  await (await DataDirectory.open({ ...options(disk), clusterId: 'main' })).close();
  await assert.rejects(DataDirectory.open({ ...options(disk), clusterId: 'other' }), {
    code: 'ETL_CONFIG_INVALID',
    message: /belongs to cluster main, not other/,
  });
  await assert.rejects(DataDirectory.open({ ...options(disk), name: 'router-1' }), {
    code: 'ETL_CONFIG_INVALID',
    message: /belongs to member router-0, not router-1; start it with --node-id router-0/,
  });
  await (await DataDirectory.open({ ...options(disk), clusterId: 'main' })).close();
});

test('any changed byte of the identity is found', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  await (await DataDirectory.open(options(disk))).close();
  const file = `${path}/identity.json`;
  const bytes = disk.peek(file);
  for (const at of bytes.keys()) {
    const changed = bytes.slice();
    changed[at] = (changed[at] as number) ^ 1;
    disk.poke(file, changed);
    const opened = await DataDirectory.open(options(disk)).catch((error: unknown) => error);
    if (opened instanceof DataDirectory) {
      assert.match(String.fromCharCode(bytes[at] as number), /\s/, `byte ${at}`);
      await opened.close();
    } else assert.match(String(opened), /identity\.json is damaged|has format version/);
  }
});

test('a power failure while founding leaves no identity or a whole one', async () => {
  for (let at = 1; at < 20; at++) {
    let failAt = at;
    const disk = new MemoryDisk({
      random: seededRandom(at),
      fault: ({ number }) => (number === failAt ? 'power' : undefined),
    });
    await Promise.race([DataDirectory.open(options(disk)), disk.powerLost]);
    failAt = 0;
    disk.restart();
    const directory = await DataDirectory.open(options(disk));
    assert.equal(directory.logCreated, false);
    await directory.close();
  }
});

test('what a killed process left in memory is durable before anything is built on it', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const first = await DataDirectory.open(options(disk));
  // Killed between the rename and the sync of the directory.
  const syncDirectory = disk.syncDirectory.bind(disk);
  disk.syncDirectory = () => Promise.reject(new Error('killed'));
  await assert.rejects(first.markLogCreated());
  disk.syncDirectory = syncDirectory;
  await first.close();
  const second = await DataDirectory.open(options(disk));
  assert.equal(second.logCreated, true);
  await second.close();
  const third = await DataDirectory.open(options(disk.durableCopy()));
  assert.equal(third.logCreated, true);
});

test('an error of the disk at any operation leaves the directory to whoever comes next', async () => {
  let failures = 0;
  for (let failAt = 1; failAt < 40; failAt++) {
    let isFailing = true;
    const disk = new MemoryDisk({
      random: seededRandom(failAt),
      fault: ({ number, kind }) => {
        const fails = isFailing && number === failAt && (kind === 'write' || kind === 'sync');
        return fails ? 'EIO' : undefined;
      },
    });
    const opened = await DataDirectory.open(options(disk)).catch(() => undefined);
    isFailing = false;
    if (opened === undefined) failures++;
    await opened?.close();
    await (await DataDirectory.open(options(disk))).close();
  }
  assert.ok(failures >= 3, `${failures} operations failed`);
});
