import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { LevelStore } from '../../src/applied/level-store.ts';
import { rowTexts } from './counting-machine.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(`${tmpdir()}/etl-applied-`);
  try {
    await run(`${path}/applied`);
  } finally {
    await rm(path, { recursive: true });
  }
}

/** A store with a few hundred rows, closed cleanly. */
async function fill(directory: string): Promise<readonly string[]> {
  const store = await LevelStore.open(directory);
  for (let index = 1; index <= 300; index++) {
    const key = `key-${String(index % 120).padStart(3, '0')}`;
    const value = index % 7 === 0 ? undefined : bytes(`value ${index}`.padEnd(400, '.'));
    await store.apply([{ key: bytes(key), value }], { index, term: 2 });
  }
  const rows = rowTexts(await store.load());
  await store.close();
  return rows;
}

test('a new store is empty', () =>
  inDirectory(async (directory) => {
    const store = await LevelStore.open(directory);
    assert.equal(store.origin, 'new');
    assert.deepEqual(store.applied, { index: 0, term: 0 });
    assert.deepEqual(await store.load(), []);
    await store.close();
  }));

test('a clean stop keeps rows and position', () =>
  inDirectory(async (directory) => {
    const rows = await fill(directory);
    for (let start = 0; start < 3; start++) {
      const store = await LevelStore.open(directory);
      assert.equal(store.origin, 'kept');
      assert.deepEqual(store.applied, { index: 300, term: 2 });
      assert.deepEqual(rowTexts(await store.load()), rows);
      assert.ok(rows.length > 80);
      await store.close();
    }
  }));

test('what a crash leaves is wiped', () =>
  inDirectory(async (directory) => {
    await fill(directory);
    const store = await LevelStore.open(directory);
    await store.apply([], { index: 301, term: 2 });
    await cp(directory, `${directory}-crashed/applied`, { recursive: true });
    await store.close();
    const crashed = await LevelStore.open(`${directory}-crashed/applied`);
    assert.equal(crashed.origin, 'unclean stop');
    assert.deepEqual(crashed.applied, { index: 0, term: 0 });
    assert.deepEqual(await crashed.load(), []);
    await crashed.close();
  }));

for (const reopened of [false, true]) {
  const where = reopened ? 'a table' : 'its log';
  test(`damage after a clean stop, with the rows in ${where}, is found or harmless`, () =>
    inDirectory(async (directory) => {
      const rows = await fill(directory);
      // Opening moves the rows from LevelDB's log to a table.
      if (reopened) await (await LevelStore.open(directory)).close();
      let wiped = 0;
      for (const name of await readdir(directory)) {
        if (!/\.(log|ldb)$/.test(name)) continue;
        const content = await readFile(`${directory}/${name}`);
        for (let part = 1; part < 12; part++) {
          const copy = `${directory}-${name}-${part}`;
          await cp(directory, copy, { recursive: true });
          await cp(`${directory}.clean`, `${copy}.clean`);
          const damaged = Buffer.from(content);
          const at = Math.floor((content.length * part) / 12);
          damaged[at] = (damaged[at] as number) ^ 0x10;
          await writeFile(`${copy}/${name}`, damaged);
          const store = await LevelStore.open(copy);
          wiped += store.origin === 'damaged' ? 1 : 0;
          const expected = store.origin === 'kept' ? rows : [];
          assert.deepEqual(rowTexts(await store.load()), expected);
          await store.close();
        }
      }
      assert.ok(wiped >= 3, `${wiped} were noticed`);
    }));
}

test('a view stays as it was while writes go on', () =>
  inDirectory(async (directory) => {
    const store = await LevelStore.open(directory);
    const many = Array.from({ length: 2500 }, (_, at) => ({
      key: bytes(String(at).padStart(5, '0')),
      value: bytes('old'),
    }));
    await store.apply(many, { index: 7, term: 1 });
    const view = await store.view();
    await store.apply(
      many.map(({ key }) => ({ key, value: undefined })),
      { index: 8, term: 1 },
    );
    assert.deepEqual(view.applied, { index: 7, term: 1 });
    let count = 0;
    for await (const some of view.rows()) count += some.length;
    assert.equal(count, 2500);
    await view.close();
    assert.deepEqual(await store.load(), []);
    await store.close();
  }));

test('replacing leaves nothing of before', () =>
  inDirectory(async (directory) => {
    await fill(directory);
    const store = await LevelStore.open(directory);
    await store.replace([[bytes('only'), bytes('row')]], { index: 900, term: 5 });
    assert.deepEqual(rowTexts(await store.load()), ['only=row']);
    assert.deepEqual(store.applied, { index: 900, term: 5 });
    await store.close();
    const again = await LevelStore.open(directory);
    assert.equal(again.origin, 'kept');
    assert.deepEqual(again.applied, { index: 900, term: 5 });
    await again.close();
  }));
