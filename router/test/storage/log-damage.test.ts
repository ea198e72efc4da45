// Damage and crashes. Whatever happens to the bytes, the log either refuses to open or holds every record that was
// told to be durable; all that it may lose without a word is the end of what nobody was told of.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EtlError, seededRandom } from '@etl-router/core';
import fc from 'fast-check';
import type { Log } from '../../src/storage/log.ts';
import { type DiskFault, MemoryDisk } from '../../src/storage/memory-disk.ts';
import { diceArbitrary } from './log-contract.ts';
import { append, entriesFrom, openLog, take } from './log-harness.ts';
import { type Dice, imageOf, type LogImage, LogTwin, nextStep, type Step } from './log-twin.ts';

const directory = '/data/log';

/** A disk with a small log of one segment, and its image after each record. */
async function smallLog(segmentBytes = 4096): Promise<{
  readonly bytes: Uint8Array;
  readonly path: string;
  readonly images: readonly LogImage[];
}> {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const options = { create: true, segmentBytes, allocateBytes: 512 };
  const log = await openLog(disk, directory, options);
  const images = [imageOf(log)];
  const hardState = { term: 2, vote: 1, commit: 0 };
  await append(log, { hardState, entries: entriesFrom(1, 1, ['first', 'second']) });
  images.push(imageOf(log));
  await append(log, { entries: entriesFrom(3, 2, ['third'.repeat(150)]) });
  images.push(imageOf(log));
  await append(log, { entries: entriesFrom(4, 2, ['fourth', '\0'.repeat(1100), 'x']) });
  images.push(imageOf(log));
  await log.close();
  const [path = ''] = disk.paths();
  return { bytes: disk.peek(path), path, images };
}

async function reopen(bytes: Uint8Array, path: string): Promise<LogImage | 'refused'> {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  disk.poke(path, bytes);
  let log: Log;
  try {
    log = await openLog(disk, directory, { create: false });
  } catch (error) {
    assert.match(
      String((error as Error).message),
      /0000000000000001\.log is damaged at byte \d+: /,
    );
    assert.equal((error as { code?: string }).code, 'ETL_STORAGE_CORRUPT');
    return 'refused';
  }
  const image = imageOf(log);
  await log.close();
  return image;
}

test('every flipped bit is found, or changes nothing because it lies behind the data', async () => {
  const { bytes, path, images } = await smallLog();
  const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const whole = JSON.stringify(images.at(-1));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const at = bit >> 3;
    const flipped = bytes.slice();
    flipped[at] = (flipped[at] as number) ^ (1 << (bit & 7));
    const outcome = await reopen(flipped, path);
    if (outcome === 'refused') continue;
    assert.ok(at >= used, `bit ${bit}`);
    assert.equal(JSON.stringify(outcome), whole, `bit ${bit}, behind the data`);
  }
});

test('a file that is shorter than it was made is refused, whatever its length', async () => {
  const { bytes, path } = await smallLog();
  assert.equal(bytes.length, 4096);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(await reopen(bytes.slice(0, length), path), 'refused', `cut to ${length}`);
  }
});

test('any bytes can be written so that no sector of theirs is all zeros, and are read back', async () => {
  const filler = fc.constantFrom('\0', '\0', '\u00a5', 'x', '\u00ff');
  const data = fc
    .array(fc.record({ filler, count: fc.integer({ min: 1, max: 1500 }) }), { maxLength: 5 })
    .map((runs) => runs.map((run) => run.filler.repeat(run.count)).join(''));
  await fc.assert(
    fc.asyncProperty(fc.array(data, { minLength: 1, maxLength: 3 }), async (texts) => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const log = await openLog(disk, directory, { create: true, segmentBytes: 32_768 });
      const entries = texts.map((text, at) => ({
        index: at + 1,
        term: 1,
        type: 'normal' as const,
        data: Buffer.from(text, 'latin1'),
      }));
      await append(log, { hardState: { term: 1, vote: 1, commit: 0 }, entries });
      const image = imageOf(log);
      await log.close();
      const [path = ''] = disk.paths();
      const bytes = disk.peek(path);
      const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
      for (let at = 512; at < used; at += 512) {
        const sector = bytes.subarray(at, Math.min(at + 512, used));
        assert.ok(!sector.every((byte) => byte === 0), `sector at ${at}`);
      }
      const again = await openLog(disk, directory, { create: false });
      assert.deepEqual(imageOf(again), image);
      await again.close();
    }),
  );
});

test('zeros over a sector before the last batch are found', async () => {
  const { bytes, path } = await smallLog();
  for (const start of [0, 512]) {
    const zeroed = bytes.slice();
    zeroed.fill(0, start, start + 512);
    assert.equal(await reopen(zeroed, path), 'refused', `sector at ${start}`);
  }
});

test('a torn last batch is cut off, and the log goes on', async () => {
  const { bytes, path, images } = await smallLog();
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const sector = used - (used % 512);
  disk.poke(path, bytes.slice().fill(0, sector));
  const log = await openLog(disk, directory, { create: false });
  assert.deepEqual(imageOf(log), images.at(-2));
  assert.ok(log.tornBytes > 0);
  await append(log, { entries: entriesFrom(4, 2, ['instead']) });
  const image = imageOf(log);
  await log.close();
  const again = await openLog(disk, directory, { create: false });
  assert.deepEqual(imageOf(again), image);
  assert.equal(again.tornBytes, 0);
  await again.close();
});

/** Steps against a log and its twin, up to a fault; which images the log may have after it. */
class Run {
  readonly twin = new LogTwin();
  readonly images: LogImage[] = [this.twin.image()];
  acknowledged = 0;
  failure: EtlError | undefined;

  async steps(log: Log, steps: readonly Step[], together: number): Promise<void> {
    const waiting: Promise<void>[] = [];
    for (const [at, step] of steps.entries()) {
      const number = this.images.push(this.#after(step)) - 1;
      const done = take(log, step).then(
        () => {
          assert.equal(this.acknowledged, number - 1, 'records are told in order');
          assert.equal(this.failure, undefined, 'nothing is told after a failure');
          this.acknowledged = number;
        },
        (error: EtlError) => {
          this.failure ??= error;
        },
      );
      waiting.push(done);
      if (at % together === together - 1) await Promise.all(waiting.splice(0));
    }
    await Promise.all(waiting);
  }

  #after(step: Step): LogImage {
    this.twin.take(step);
    return this.twin.image();
  }

  /** The log must be as after some record, and not before the last acknowledged one. */
  check(log: Log, what: string): void {
    const image = JSON.stringify(imageOf(log));
    const allowed = this.images
      .slice(this.acknowledged)
      .map((candidate) => JSON.stringify(candidate));
    assert.ok(
      allowed.includes(image),
      `${what}: acknowledged ${this.acknowledged} of ${this.images.length - 1}, found ${image}`,
    );
  }
}

function stepsOf(dice: readonly Dice[]): readonly Step[] {
  const twin = new LogTwin();
  return dice.map((die) => {
    const step = nextStep(twin, die);
    twin.take(step);
    return step;
  });
}

/** A history that rolls, truncates, snapshots and compacts. */
function fixedHistory(): readonly Step[] {
  const random = seededRandom(7);
  const kinds = [6, 7, 5, 6, 0, 6, 2, 6, 3, 7, 5, 1, 6, 6, 2, 3, 4, 6, 7, 6];
  return stepsOf(
    kinds.map((kind) => ({
      kind,
      a: random.below(1000),
      b: random.below(1000),
      size: [8, 60, 300, 513][random.below(4)] as number,
    })),
  );
}

/** Creates a log, runs the steps under faults and returns what was told. */
async function runUnder(disk: MemoryDisk, steps: readonly Step[], together: number): Promise<Run> {
  const run = new Run();
  const scenario = async (): Promise<void> => {
    const log = await openLog(disk, directory, { create: true }).catch((error: EtlError) => {
      run.failure = error;
    });
    if (log === undefined) return;
    await run.steps(log, steps, together);
    if (run.failure !== undefined) {
      await assert.rejects(append(log, {}), { code: 'ETL_STORAGE_FAILED' });
    }
    await log.close().catch((error: EtlError) => {
      run.failure ??= error;
    });
  };
  await Promise.race([scenario(), disk.powerLost]);
  return run;
}

async function countOperations(steps: readonly Step[], together: number): Promise<number> {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  await runUnder(disk, steps, together);
  return disk.operations;
}

for (const together of [1, 4]) {
  test(`a power failure at any operation loses nothing that was told (${together} at a time)`, async () => {
    const steps = fixedHistory();
    const operations = await countOperations(steps, together);
    assert.ok(operations > 30, `${operations} operations`);
    for (let at = 1; at <= operations; at++) {
      for (let seed = 1; seed <= 8; seed++) {
        const disk = new MemoryDisk({
          random: seededRandom(seed * 1000 + at),
          fault: ({ number }) => (number === at ? 'power' : undefined),
        });
        const run = await runUnder(disk, steps, together);
        disk.restart();
        if (run.acknowledged === 0 && !disk.paths().some((path) => path.endsWith('.log'))) continue;
        const log = await openLog(disk, directory, { create: false });
        run.check(log, `operation ${at}, seed ${seed}`);
        await log.close();
      }
    }
  });

  for (const fault of ['EIO', 'ENOSPC'] satisfies DiskFault[]) {
    test(`${fault} at any operation ends the log and loses nothing that was told (${together} at a time)`, async () => {
      const steps = fixedHistory();
      const operations = await countOperations(steps, together);
      for (let at = 1; at <= operations; at++) {
        const disk = new MemoryDisk({
          random: seededRandom(at),
          fault: ({ number }) => (number === at ? fault : undefined),
        });
        const run = await runUnder(disk, steps, together);
        if (run.failure !== undefined) {
          assert.equal(run.failure.code, 'ETL_STORAGE_FAILED');
          const full = /the disk is full \(ENOSPC\); free space/.test(run.failure.message);
          assert.equal(full, fault === 'ENOSPC');
        }
        const written = disk.operations;
        disk.killHolders();
        if (run.acknowledged === 0 && !disk.paths().some((path) => path.endsWith('.log'))) continue;
        const log = await openLog(disk, directory, { create: false });
        run.check(log, `operation ${at}`);
        assert.ok(disk.operations > written);
        await log.close();
      }
    });
  }
}

test('after a failed sync nothing is written and no sync is tried again', async () => {
  let failing = false;
  const after: string[] = [];
  const disk = new MemoryDisk({
    random: seededRandom(1),
    fault: ({ kind }) => {
      if (after.length > 0 || (failing && kind === 'sync')) after.push(kind);
      return failing && kind === 'sync' ? 'EIO' : undefined;
    },
  });
  const log = await openLog(disk, directory, { create: true, segmentBytes: 1_000_000 });
  await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
  failing = true;
  const waiting = Array.from({ length: 1200 }, (_, at) =>
    append(log, { entries: entriesFrom(at + 1, 1, ['a']) }),
  );
  for (const outcome of await Promise.allSettled(waiting)) {
    assert.equal(outcome.status === 'rejected' && outcome.reason.code, 'ETL_STORAGE_FAILED');
  }
  await assert.rejects(append(log, {}), { code: 'ETL_STORAGE_FAILED' });
  assert.equal(log.failure?.code, 'ETL_STORAGE_FAILED');
  assert.deepEqual(log.durable, { index: 0, term: 0 });
  await log.close();
  assert.deepEqual(after, ['sync', 'close']);
});

test('what a killed process left unsynced is durable once the log is open again', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    let stuck = false;
    const disk = new MemoryDisk({
      random: seededRandom(seed),
      schedule: ({ kind }, complete) => {
        if (!(stuck && kind === 'sync')) complete();
      },
    });
    const log = await openLog(disk, directory, { create: true });
    await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
    stuck = true;
    log.append({ entries: entriesFrom(1, 1, ['x'.repeat(900)]) }, () => {});
    while (disk.operations < 11) await new Promise((resolve) => setImmediate(resolve));
    disk.killHolders();
    stuck = false;
    const again = await openLog(disk, directory, { create: false });
    assert.equal(again.lastIndex, 1);
    const image = imageOf(again);
    disk.powerOff();
    disk.restart();
    const last = await openLog(disk, directory, { create: false });
    assert.deepEqual(imageOf(last), image);
    await last.close();
  }
});

test('a seal that a killed process left unsynced is durable once the log is open again', async () => {
  let stuck = false;
  const disk = new MemoryDisk({
    random: seededRandom(1),
    schedule: ({ kind, path }, complete) => {
      if (!(stuck && kind === 'sync' && path.includes('0001.log'))) complete();
    },
  });
  const options = { create: true, segmentBytes: 2000, allocateBytes: 512 };
  const log = await openLog(disk, directory, options);
  await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
  await append(log, { entries: entriesFrom(1, 1, ['x'.repeat(1200)]) });
  stuck = true;
  log.append({ entries: entriesFrom(2, 1, ['y'.repeat(900)]) }, () => {});
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  disk.killHolders();
  stuck = false;
  const again = await openLog(disk, directory, { ...options, create: false });
  await append(again, { entries: entriesFrom(2, 1, ['z']) });
  const image = imageOf(again);
  for (let crash = 0; crash < 20; crash++) {
    disk.powerOff();
    disk.restart();
    assert.deepEqual(imageOf(await openLog(disk, directory, { ...options, create: false })), image);
  }
});

test('a full disk is said to be full, and the log opens again with what was told', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1), capacityBytes: 6000 });
  const log = await openLog(disk, directory, { create: true });
  await append(log, { hardState: { term: 1, vote: 1, commit: 0 } });
  let told = 0;
  const fill = async (): Promise<void> => {
    for (let index = 1; ; index++) {
      await append(log, { entries: entriesFrom(index, 1, ['x'.repeat(100)]) });
      told = index;
    }
  };
  await assert.rejects(fill(), {
    code: 'ETL_STORAGE_FAILED',
    message: /the disk is full \(ENOSPC\)/,
  });
  await log.close();
  const again = await openLog(disk, directory, { create: false });
  assert.ok(told > 10 && again.lastIndex >= told);
  await again.close();
});

test('any history, with power failures on the way, loses nothing that was told', async () => {
  const lives = fc.array(
    fc.record({
      dice: fc.array(diceArbitrary, { minLength: 1, maxLength: 12 }),
      together: fc.integer({ min: 1, max: 4 }),
      failAfter: fc.integer({ min: 1, max: 60 }),
    }),
    { minLength: 1, maxLength: 5 },
  );
  await fc.assert(
    fc.asyncProperty(lives, fc.nat(1_000_000), async (all, seed) => {
      let failAt = Number.POSITIVE_INFINITY;
      const disk = new MemoryDisk({
        random: seededRandom(seed),
        fault: ({ number }) => (number === failAt ? 'power' : undefined),
      });
      await (await openLog(disk, directory, { create: true })).close();
      let image = new LogTwin().image();
      for (const life of all) {
        const run = await oneLife(disk, life, (operations) => {
          failAt = operations;
        });
        disk.restart();
        failAt = Number.POSITIVE_INFINITY;
        const log = await openLog(disk, directory, { create: false });
        if (run === undefined) assert.deepEqual(imageOf(log), image);
        else run.check(log, 'after a power failure');
        image = imageOf(log);
        await log.close();
      }
    }),
    { numRuns: 300 },
  );
});

/** Opens, runs steps until the power fails or all are done. Undefined: it failed before the log was open. */
async function oneLife(
  disk: MemoryDisk,
  life: { readonly dice: readonly Dice[]; readonly together: number; readonly failAfter: number },
  failAt: (operation: number) => void,
): Promise<Run | undefined> {
  failAt(disk.operations + life.failAfter);
  const opened = openLog(disk, directory, { create: false });
  const log = await Promise.race([opened, disk.powerLost.then(() => undefined)]);
  if (log === undefined) return undefined;
  const run = new Run();
  run.twin.entries = [...entriesOf(log)];
  run.twin.hardState = log.hardState;
  run.twin.snapshot = log.snapshot;
  run.twin.compacted = log.compacted;
  run.images[0] = run.twin.image();
  const planner = Object.assign(new LogTwin(), run.twin);
  const steps = life.dice.map((die) => {
    const step = nextStep(planner, die);
    planner.take(step);
    return step;
  });
  await Promise.race([
    run.steps(log, steps, life.together).then(() => log.close()),
    disk.powerLost,
  ]);
  return run;
}

function entriesOf(log: Log): readonly ReturnType<Log['entries']>[number][] {
  const { firstIndex, lastIndex } = log;
  return lastIndex < firstIndex
    ? []
    : log.entries(firstIndex, lastIndex + 1, Number.MAX_SAFE_INTEGER);
}

test('no log is made over one that holds something, whatever the identity beside it says', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const log = await openLog(disk, '/data/log', { create: true });
  // Nobody was told anything of an empty one: making it may have been interrupted.
  await log.close();
  const again = await openLog(disk, '/data/log', { create: true });
  const entries = entriesFrom(1, 1, ['a']);
  await append(again, { hardState: { term: 1, vote: 0, commit: 1 }, entries });
  await again.close();
  await assert.rejects(openLog(disk, '/data/log', { create: true }), {
    code: 'ETL_STORAGE_CORRUPT',
    message: /\/data\/log .*holds a log, and the identity beside it says that none was made/,
  });
  const kept = await openLog(disk, '/data/log', { create: false });
  assert.equal(kept.lastIndex, 1);
  await kept.close();
});
