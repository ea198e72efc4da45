import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isEtlError, seededRandom } from '@etl-router/core';
import fc from 'fast-check';
import { type Directory, nodeDirectory } from '../../src/storage/directory.ts';
import { FrameLog } from '../../src/storage/frame-log.ts';
import { MemoryDisk } from '../../src/testing.ts';

async function open(directory: Directory, segmentBytes = 100): Promise<[FrameLog, string[]]> {
  const frames: string[] = [];
  const log = await FrameLog.open({ directory, segmentBytes, what: 'test' }, (payload) =>
    frames.push(payload.toString()),
  );
  return [log, frames];
}

const bytes = (...texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text));

test('what was appended is there after a reopen, over many segments, on the real disk', async () => {
  const path = await mkdtemp(join(tmpdir(), 'frame-log-'));
  try {
    const [log] = await open(nodeDirectory(path));
    const texts = Array.from({ length: 50 }, (_, index) => `frame ${index}`);
    const addresses = await log.append(bytes(...texts));
    assert.equal((await log.read(addresses[7] as (typeof addresses)[0])).toString(), 'frame 7');
    for (const text of texts) await log.append(bytes(text));
    assert.ok(log.segments.length > 3);
    await log.close();
    const [again, frames] = await open(nodeDirectory(path));
    assert.deepEqual(frames, [...texts, ...texts]);
    await again.close();
  } finally {
    await rm(path, { recursive: true });
  }
});

test('appends that are called together share their writes and keep their order', async () => {
  const disk = new MemoryDisk();
  const [log] = await open(disk.open());
  await Promise.all(['a', 'b', 'c', 'd'].map((text) => log.append(bytes(text))));
  const [, frames] = await open(disk.open());
  assert.deepEqual(frames, ['a', 'b', 'c', 'd']);
});

test('after a crash everything that was acknowledged is there, and nothing that was never written', async () => {
  const scripts = fc.array(fc.array(fc.string({ minLength: 1, maxLength: 30 }), { maxLength: 4 }), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(scripts, fc.nat(), async (script, seed) => {
      const disk = new MemoryDisk();
      const [log] = await open(disk.open());
      const acknowledged: string[] = [];
      for (const texts of script) {
        await log.append(bytes(...texts));
        acknowledged.push(...texts);
      }
      void log.append(bytes('cut', 'off')).catch(() => {});
      await Promise.resolve();
      disk.crash(seededRandom(seed));
      const [, frames] = await open(disk.open());
      assert.deepEqual(frames.slice(0, acknowledged.length), acknowledged);
      for (const [index, text] of frames.slice(acknowledged.length).entries()) {
        assert.equal(text, ['cut', 'off'][index]);
      }
    }),
    { numRuns: 50 },
  );
});

test('a flipped bit is refused unless it is in the last frame of all', async () => {
  const path = await mkdtemp(join(tmpdir(), 'frame-log-'));
  try {
    const [log] = await open(nodeDirectory(path));
    for (let index = 0; index < 30; index++) await log.append(bytes(`frame ${index}`));
    await log.close();
    const [first = ''] = await readdir(path);
    const damaged = await readFile(join(path, first));
    damaged[10] = (damaged[10] as number) ^ 1;
    await writeFile(join(path, first), damaged);
    await assert.rejects(open(nodeDirectory(path)), (error) => {
      return isEtlError(error) && error.code === 'ETL_STORAGE_CORRUPT';
    });
  } finally {
    await rm(path, { recursive: true });
  }
});

test('after a failed write nothing more is taken', async () => {
  const disk = new MemoryDisk();
  const [log] = await open(disk.open());
  await log.append(bytes('a'));
  disk.failure = new Error('no space left');
  await assert.rejects(log.append(bytes('b')), /no space left/);
  disk.failure = undefined;
  await assert.rejects(log.append(bytes('c')), (error) => {
    return isEtlError(error) && error.code === 'ETL_STORAGE_FAILED';
  });
});
