// What every log must do, on whatever disk. Run by log.test.ts on the machine's disk, on a disk in memory and on one
// that completes operations late and out of turn.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Disk, readWhole, replaceFile } from '../../src/storage/disk.ts';
import { append, compact, entriesFrom, openLog, take } from './log-harness.ts';
import { type Dice, imageOf, LogTwin, nextStep } from './log-twin.ts';

/** A disk to test on, with an empty directory. */
export interface ContractDisk {
  readonly disk: Disk;
  readonly directory: string;
  dispose(): Promise<void>;
}

export const diceArbitrary: fc.Arbitrary<Dice> = fc.record({
  kind: fc.nat(8),
  a: fc.nat(1000),
  b: fc.nat(1000),
  size: fc.constantFrom(0, 1, 7, 8, 60, 300, 513, 2100),
});

/** The suite. `runs`: how many random histories to try. */
export function logContract(name: string, create: () => Promise<ContractDisk>, runs: number): void {
  const on = (claim: string, run: (place: ContractDisk) => Promise<void>): void => {
    test(claim, async () => {
      const place = await create();
      try {
        await run(place);
      } finally {
        await place.dispose();
      }
    });
  };

  describe(`the log on ${name}`, () => {
    basics(on);
    marks(on);
    damage(on);
    test('agrees with its twin over any history with restarts', async () => {
      const history = fc.array(fc.tuple(diceArbitrary, fc.nat(9)), { maxLength: 40 });
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const place = await create();
          const { disk, directory } = place;
          let log = await openLog(disk, directory, { create: true });
          const twin = new LogTwin();
          for (const [dice, then] of steps) {
            const step = nextStep(twin, dice);
            twin.take(step);
            const done = take(log, step);
            assert.deepEqual(imageOf(log), twin.image());
            if (then > 2) await done;
            if (then < 8) continue;
            await log.close();
            await done;
            log = await openLog(disk, directory, { create: false });
            assert.deepEqual(imageOf(log), twin.image());
            assert.deepEqual(log.hardState, twin.hardState);
          }
          await log.close();
          await place.dispose();
        }),
        { numRuns: runs },
      );
    });
  });
}

type On = (claim: string, run: (place: ContractDisk) => Promise<void>) => void;

function basics(on: On): void {
  on('starts empty', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    assert.deepEqual(imageOf(log), new LogTwin().image());
    assert.equal(log.firstIndex, 1);
    assert.equal(log.term(0), 0);
    assert.equal(log.term(1), undefined);
    await log.close();
  });

  on('gives back entries, term and vote after a restart', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    const hardState = { term: 3, vote: 7, commit: 0 };
    await append(log, { hardState, entries: entriesFrom(1, 3, ['a', 'bc', '']) });
    assert.deepEqual(log.durable, { index: 3, term: 3 });
    const before = imageOf(log);
    await log.close();
    const again = await openLog(disk, directory, { create: false });
    assert.deepEqual(imageOf(again), before);
    assert.deepEqual(again.hardState, hardState);
    assert.deepEqual(again.durable, { index: 3, term: 3 });
    await again.close();
  });

  on('replaces everything from the first index of an append on', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    const first = { term: 1, vote: 1, commit: 1 };
    await append(log, { hardState: first, entries: entriesFrom(1, 1, ['a', 'b', 'c', 'd']) });
    const second = { term: 2, vote: 0, commit: 1 };
    await append(log, { hardState: second, entries: entriesFrom(3, 2, ['x']) });
    assert.equal(log.lastIndex, 3);
    assert.equal(log.term(3), 2);
    await log.close();
    const again = await openLog(disk, directory, { create: false });
    const texts = again.entries(1, 4, 1000).map(({ data }) => Buffer.from(data).toString());
    assert.deepEqual(texts, ['a', 'b', 'x']);
    await again.close();
  });

  on('refuses a gap, a committed entry and a term that goes back', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    const hardState = { term: 2, vote: 1, commit: 0 };
    await append(log, { hardState, entries: entriesFrom(1, 2, ['a', 'b']) });
    await append(log, { hardState: { ...hardState, commit: 2 } });
    const refused = (record: Parameters<typeof log.append>[0]): void =>
      assert.throws(() => log.append(record, () => {}), { name: 'AssertionFailure' });
    refused({ entries: entriesFrom(4, 2, ['gap']) });
    refused({ entries: entriesFrom(2, 2, ['committed']) });
    refused({ entries: entriesFrom(3, 1, ['older']) });
    refused({ entries: entriesFrom(3, 3, ['ahead of the term']) });
    refused({ hardState: { term: 1, vote: 1, commit: 2 } });
    refused({ hardState: { term: 2, vote: 3, commit: 2 } });
    await log.close();
  });

  on('gives entries up to a number of bytes, and always one', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    const hardState = { term: 1, vote: 1, commit: 0 };
    await append(log, { hardState, entries: entriesFrom(1, 1, ['aaaa', 'bbbb', 'cccc']) });
    assert.equal(log.entries(1, 4, 8).length, 2);
    assert.equal(log.entries(2, 4, 0).length, 1);
    assert.equal(log.entries(2, 2, 100).length, 0);
    await log.close();
  });

  on('joins what arrives during a sync', async ({ disk, directory }) => {
    let syncs = 0;
    const log = await openLog(disk, directory, { create: true, onSync: () => (syncs += 1) });
    await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
    const order: number[] = [];
    const all = Array.from({ length: 1000 }, async (_, at) => {
      await append(log, { entries: entriesFrom(at + 1, 1, [`${at}`]) });
      order.push(at);
    });
    await Promise.all(all);
    assert.equal(syncs, 1 + 2, 'at most 512 entries share a sync');
    assert.deepEqual(order, Array.from(order.keys()));
    await log.close();
  });

  on('refuses everything once closed', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    await log.close();
    await log.close();
    await assert.rejects(append(log, {}), { code: 'ETL_CANCELLED' });
    await assert.rejects(compact(log, 0), { code: 'ETL_CANCELLED' });
  });
}

function marks(on: On): void {
  on('writes a change of the commit index alone at close', async ({ disk, directory }) => {
    let syncs = 0;
    const log = await openLog(disk, directory, { create: true, onSync: () => (syncs += 1) });
    const hardState = { term: 1, vote: 1, commit: 0 };
    await append(log, { hardState, entries: entriesFrom(1, 1, ['a']) });
    await append(log, { hardState: { ...hardState, commit: 1 } });
    assert.equal(syncs, 1);
    await log.close();
    const again = await openLog(disk, directory, { create: false });
    assert.equal(again.hardState.commit, 1);
    await again.close();
  });

  on('writes a change of the commit index with the next batch', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    const hardState = { term: 1, vote: 1, commit: 0 };
    await append(log, { hardState, entries: entriesFrom(1, 1, ['a']) });
    await append(log, { hardState: { ...hardState, commit: 1 } });
    await append(log, { entries: entriesFrom(2, 1, ['b']) });
    const reader = await openLog(disk, directory, { create: false });
    assert.equal(reader.hardState.commit, 1);
    await reader.close();
    await log.close();
  });

  on('releases the segments that a compaction frees', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
    for (let index = 1; index <= 40; index++) {
      await append(log, { entries: entriesFrom(index, 1, ['x'.repeat(200)]) });
    }
    const before = await disk.list(directory);
    assert.ok(before.length > 3, `${before.length} segments`);
    await append(log, { snapshot: { index: 35, term: 1 } });
    await compact(log, 30);
    const after = await disk.list(directory);
    assert.ok(after.length < before.length && after.every((file) => before.includes(file)));
    assert.equal(log.firstIndex, 31);
    assert.equal(log.term(30), 1);
    assert.equal(log.term(29), undefined);
    const image = imageOf(log);
    await log.close();
    const again = await openLog(disk, directory, { create: false });
    assert.deepEqual(imageOf(again), image);
    await again.close();
  });

  on('goes on behind a snapshot that it does not hold', async ({ disk, directory }) => {
    const log = await openLog(disk, directory, { create: true });
    const hardState = { term: 2, vote: 0, commit: 0 };
    await append(log, { hardState, entries: entriesFrom(1, 1, ['a', 'b']) });
    await append(log, { hardState: { ...hardState, commit: 9 }, snapshot: { index: 9, term: 2 } });
    assert.equal(log.firstIndex, 10);
    assert.equal(log.lastIndex, 9);
    await append(log, { entries: entriesFrom(10, 2, ['c']) });
    const image = imageOf(log);
    await log.close();
    const again = await openLog(disk, directory, { create: false });
    assert.deepEqual(imageOf(again), image);
    await again.close();
  });
}

function damage(on: On): void {
  const fill = async (
    { disk, directory }: ContractDisk,
    text = 'text',
  ): Promise<readonly string[]> => {
    const log = await openLog(disk, directory, { create: true });
    await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
    for (let index = 1; index <= 20; index++) {
      await append(log, { entries: entriesFrom(index, 1, [`${text}${index}`.padEnd(200, '.')]) });
    }
    await log.close();
    const names = await disk.list(directory);
    assert.ok(names.length > 2);
    return names.map((name) => `${directory}/${name}`);
  };
  const refuses = async (place: ContractDisk, file: string): Promise<void> => {
    await assert.rejects(openLog(place.disk, place.directory, { create: false }), {
      code: 'ETL_STORAGE_CORRUPT',
      message: new RegExp(file.replaceAll('.', '\\.')),
    });
  };

  for (const which of [0, 1, -1] as const) {
    const position = which === 0 ? 'first' : which === 1 ? 'second' : 'last';
    on(`refuses to open without its ${position} segment`, async (place) => {
      const path = (await fill(place)).at(which) as string;
      await place.disk.remove(path);
      await refuses(place, path);
    });
  }

  on('refuses to open without any segment', async (place) => {
    for (const path of await fill(place)) await place.disk.remove(path);
    await refuses(place, place.directory);
  });

  on('refuses a segment in the place of another', async (place) => {
    const [first = '', second = ''] = await fill(place);
    const bytes = (await readWhole(place.disk, first)) as Uint8Array;
    await replaceFile(place.disk, second, bytes);
    await refuses(place, second);
  });

  on('refuses a segment of another course of the same log', async (place) => {
    const elsewhere = { ...place, directory: `${place.directory}-other` };
    const [, second = ''] = await fill(place);
    const [, other = ''] = await fill(elsewhere, 'other');
    await replaceFile(place.disk, second, (await readWhole(place.disk, other)) as Uint8Array);
    await refuses(place, second);
  });

  on('refuses a segment repeated behind the last', async (place) => {
    const paths = await fill(place);
    const last = paths.at(-1) as string;
    const next = `${place.directory}/${String(paths.length + 1).padStart(16, '0')}.log`;
    await replaceFile(place.disk, next, (await readWhole(place.disk, last)) as Uint8Array);
    await refuses(place, next);
  });

  on('refuses the log of another cluster', async ({ disk, directory }) => {
    await (await openLog(disk, directory, { create: true, clusterId: 'other' })).close();
    await assert.rejects(openLog(disk, directory, { create: false }), {
      code: 'ETL_STORAGE_CORRUPT',
      message: /belongs to another log, of cluster other/,
    });
  });

  on('removes what an unfinished creation left', async ({ disk, directory }) => {
    await (await openLog(disk, directory, { create: true })).close();
    await replaceFile(disk, `${directory}/0000000000000001.log.tmp`, Buffer.from('left'));
    await (await openLog(disk, directory, { create: true })).close();
    assert.deepEqual(await disk.list(directory), ['0000000000000001.log']);
    // A segment gets its name once it is whole: a broken one is damage, and may have held entries.
    const first = `${directory}/0000000000000001.log`;
    const whole = (await readWhole(disk, first)) as Uint8Array;
    await replaceFile(disk, first, whole.slice(0, 100));
    await assert.rejects(openLog(disk, directory, { create: true }), {
      code: 'ETL_STORAGE_CORRUPT',
    });
    await replaceFile(disk, first, whole);
    // No creation leaves more than the first segment.
    await replaceFile(disk, `${directory}/0000000000000009.log`, Buffer.from('kept'));
    await assert.rejects(openLog(disk, directory, { create: true }), {
      code: 'ETL_STORAGE_CORRUPT',
    });
  });
}
