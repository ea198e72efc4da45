import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { prepareDataDirectory, volumeWarnings } from '../src/data-place.ts';

const home = mkdtempSync(join(tmpdir(), 'etl-place-'));

test('a directory and its parents are made', () => {
  const path = join(home, 'a/b/c');
  assert.deepEqual(prepareDataDirectory(path), []);
  assert.ok(statSync(path).isDirectory());
  assert.deepEqual(prepareDataDirectory(path), []);
});

for (const [what, path, why] of [
  ['a file', join(home, 'file'), /^--data-dir: .*\/file is not a directory; give another/],
  ['a path below a file', join(home, 'file/below'), /\/file is not a directory/],
  ['a place that takes no directories', '/proc/etl-router/data', /can not be used \(ENOENT\)/],
] as const) {
  test(`${what} is refused by the name of the flag`, () => {
    writeFileSync(join(home, 'file'), '');
    assert.throws(() => prepareDataDirectory(path), { code: 'ETL_CONFIG_INVALID', message: why });
  });
}

test('a directory in memory is warned about', (t) => {
  const path = mkdtempSync('/dev/shm/etl-place-');
  t.after(() => rmdirSync(path));
  const warnings = prepareDataDirectory(path);
  assert.match(warnings.join(), /is in memory \(tmpfs\): what was acknowledged is gone/);
});

test('a directory on NFS, and a volume that is all but full, are warned about', () => {
  const ext4 = 0xef53;
  const told = (type: number, bavail: number): string =>
    volumeWarnings('/data', { type, bavail, blocks: 1000 }).join();
  assert.equal(told(ext4, 10), '');
  assert.match(told(ext4, 9), /^--data-dir: less than 1 % of the volume of \/data is free$/);
  assert.match(told(0x6969, 1000), /^--data-dir: \/data is on NFS, .*; use a local disk$/);
});
