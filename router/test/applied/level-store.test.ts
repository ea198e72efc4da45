import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AppliedView, RowChange } from '../../src/applied/applied-store.ts';
import { LevelStore } from '../../src/applied/level-store.ts';
import { MemoryStore } from '../../src/applied/memory-store.ts';
import type { LogPosition } from '../../src/storage/log-types.ts';
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

test('a row that changes again before it is written is written once', () =>
  inDirectory(async (directory) => {
    const store = await LevelStore.open(directory);
    let encoded = 0;
    for (let index = 1; index <= 1000; index++) {
      const change: RowChange = {
        key: bytes(`key-${index % 10}`),
        get value() {
          encoded += 1;
          return bytes(String(index));
        },
      };
      await store.apply([change], { index, term: 1 });
    }
    assert.deepEqual(store.applied, { index: 1000, term: 1 });
    assert.equal(encoded, 0);
    const view = await store.view();
    assert.deepEqual(view.applied, { index: 1000, term: 1 });
    const last = Array.from({ length: 10 }, (_, at) => `key-${at}=${at === 0 ? 1000 : 990 + at}`);
    assert.deepEqual(await textsOf(view), last);
    assert.equal(encoded, 10);
    await store.close();
  }));

test('rows that wait are written once they are many', () =>
  inDirectory(async (directory) => {
    const store = await LevelStore.open(directory, { waitingRows: 10 });
    let encoded = 0;
    for (let index = 1; index <= 100; index++) {
      const change: RowChange = {
        key: bytes(String(index)),
        get value() {
          encoded += 1;
          return bytes('x');
        },
      };
      await store.apply([change], { index, term: 1 });
      assert.ok(index - encoded <= 20, `${index - encoded} rows wait after entry ${index}`);
    }
    await store.close();
  }));

test('what can not be written is thrown by the next call, and is an unclean stop', () =>
  inDirectory(async (directory) => {
    const store = await LevelStore.open(directory, { waitingRows: 1 });
    const refused = new Error('refused');
    const change: RowChange = {
      key: bytes('key'),
      get value(): Uint8Array {
        throw refused;
      },
    };
    const isThat = (error: unknown): boolean => error instanceof Error && error.cause === refused;
    await store.apply([change], { index: 1, term: 1 });
    await assert.rejects(store.view(), isThat);
    await assert.rejects(store.apply([], { index: 2, term: 1 }), isThat);
    await assert.rejects(store.close(), isThat);
    const again = await LevelStore.open(directory);
    assert.equal(again.origin, 'unclean stop');
    await again.close();
  }));

interface Step {
  readonly do: 'apply' | 'drop' | 'many' | 'replace' | 'view' | 'restart';
  /** Of the rows that it changes, if any. */
  readonly keys: readonly number[];
}

function step(kind: Step['do']): fc.Arbitrary<Step> {
  return fc.record({ do: fc.constant(kind), keys: fc.array(fc.nat(30), { maxLength: 12 }) });
}

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: step('apply') },
  { weight: 2, arbitrary: step('drop') },
  { weight: 1, arbitrary: step('many') },
  { weight: 1, arbitrary: step('replace') },
  { weight: 2, arbitrary: step('view') },
  { weight: 1, arbitrary: step('restart') },
);

test('every view, taken beside writes and replacements, is what a store in memory was at its entry', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(stepArbitrary, { maxLength: 40 }),
      fc.integer({ min: 1, max: 20 }),
      (steps, waitingRows) =>
        inDirectory(async (directory) => {
          let store = await LevelStore.open(directory, { waitingRows });
          const twin = new MemoryStore();
          const history = new Map<number, readonly string[]>([[0, []]]);
          const views: Promise<AppliedView>[] = [];
          for (const [at, step] of steps.entries()) {
            const applied: LogPosition = { index: at + 1, term: 1 };
            if (step.do === 'restart') {
              await checkViews(views.splice(0), history);
              await store.close();
              store = await LevelStore.open(directory, { waitingRows });
              assert.equal(store.origin, 'kept');
            } else if (step.do === 'view') {
              views.push(store.view());
            } else if (step.do === 'replace') {
              const rows = step.keys.map((key) => [bytes(String(key)), bytes(`r${at}`)] as const);
              await Promise.all([store.replace(rows, applied), twin.replace(rows, applied)]);
            } else {
              const value = step.do === 'drop' ? undefined : bytes(`v${at}`);
              const rows = step.keys.map((key) => ({ key: bytes(String(key)), value }));
              const last = { key: bytes('0'), value: bytes(`last ${at}`) };
              const changes = step.do === 'many' ? [last, { many: rows }, last] : rows;
              await Promise.all([store.apply(changes, applied), twin.apply(changes, applied)]);
            }
            assert.deepEqual(store.applied, twin.applied);
            history.set(twin.applied.index, rowTexts(await twin.load()));
          }
          await checkViews(views, history);
          assert.deepEqual(rowTexts(await store.load()), rowTexts(await twin.load()));
          await store.close();
        }),
    ),
    { numRuns: 60 },
  );
});

async function checkViews(
  opening: readonly Promise<AppliedView>[],
  history: ReadonlyMap<number, readonly string[]>,
): Promise<void> {
  for (const view of await Promise.all(opening))
    assert.deepEqual(await textsOf(view), history.get(view.applied.index));
}

async function textsOf(view: AppliedView): Promise<readonly string[]> {
  const texts: string[] = [];
  for await (const rows of view.rows()) texts.push(...rowTexts(rows));
  await view.close();
  return texts;
}
