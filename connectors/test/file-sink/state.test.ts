// The log of a file sink after damage: a torn end is cut off, and nothing that was acknowledged ever is.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { realFileSystem } from '../../src/file-sink/files.ts';
import { StateLog } from '../../src/file-sink/state.ts';

/** A log that says `next` is 2, 3 and 4; where each of its frames begins. */
async function written(
  t: TestContext,
): Promise<{ directory: string; path: string; bytes: Buffer; starts: readonly number[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'etl-state-'));
  t.after(() => rm(directory, { recursive: true }));
  const log = await StateLog.open(realFileSystem, directory, 'out');
  for (const next of [2, 3, 4]) await log.append({ next });
  await log.close();
  const path = join(directory, 'out.state');
  const bytes = await readFile(path);
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at += 8 + bytes.readUInt32LE(at)) starts.push(at);
  return { directory, path, bytes, starts };
}

test('a last frame that is cut short anywhere is cut off', async (t) => {
  const { directory, path, bytes, starts } = await written(t);
  const last = starts[2] as number;
  for (let length = last; length < bytes.length; length++) {
    await writeFile(path, bytes.subarray(0, length));
    const log = await StateLog.open(realFileSystem, directory, 'out');
    assert.equal(log.state.next, 3);
    await log.close();
    assert.equal((await readFile(path)).length, last);
  }
});

test('a damaged length is corrupt, in every frame and whatever it says', async (t) => {
  const { directory, path, bytes, starts } = await written(t);
  for (const at of starts) {
    for (const length of [0, 1, 5, 1000, 0x7fffffff, 0xffffffff]) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt32LE(length, at);
      await writeFile(path, damaged);
      await assert.rejects(StateLog.open(realFileSystem, directory, 'out'), {
        code: 'ETL_STORAGE_CORRUPT',
        message: `${path}: the frame at ${at} does not check; restore the file, or remove it together with the data it describes`,
      });
      assert.deepEqual(await readFile(path), damaged);
    }
  }
});

test('a damaged sum or payload with a whole frame behind it is corrupt', async (t) => {
  const { directory, path, bytes, starts } = await written(t);
  for (const at of starts.slice(0, 2)) {
    for (const offset of [4, 8, 10]) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(at + offset) ^ 1, at + offset);
      await writeFile(path, damaged);
      await assert.rejects(StateLog.open(realFileSystem, directory, 'out'), {
        code: 'ETL_STORAGE_CORRUPT',
      });
    }
  }
});
