import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CoreLog } from '../../src/raft/core-log.ts';
import type { Entry, LogRecord } from '../../src/storage/log-types.ts';
import { MemoryLog } from './memory-log.ts';

/** The log as an array of terms, index 1 first, of which the first `released` are gone. */
class NaiveLog {
  terms: number[] = [];
  released = 0;
  releasedTerm = 0;

  term(index: number): number | undefined {
    if (index === this.released) return this.releasedTerm;
    return index < this.released ? undefined : this.terms[index - 1];
  }

  get lastIndex(): number {
    return this.terms.length;
  }

  release(index: number): void {
    this.releasedTerm = this.term(index) as number;
    this.released = index;
  }

  restore(index: number, term: number): void {
    this.terms = Array.from({ length: index }, () => term);
    this.released = index;
    this.releasedTerm = term;
  }
}

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      act: fc.constant('append' as const),
      back: fc.nat(5),
      count: fc.integer({ min: 1, max: 5 }),
      isNewTerm: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('hand over' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('release' as const), keep: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('restore' as const), by: fc.nat(4) }) },
);

function handOver(log: CoreLog, disk: MemoryLog): void {
  const { entries, snapshot } = log.take();
  const { commit, vote } = disk.hardState;
  const term = entries.at(-1)?.term ?? snapshot?.term ?? 0;
  const record: LogRecord = {
    hardState: { term: Math.max(disk.hardState.term, term), vote, commit },
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(entries.length === 0 ? {} : { entries }),
  };
  disk.write(record);
}

function entry(index: number, term: number): Entry {
  return { index, term, type: 'normal', data: Buffer.from(`${index}.${term}`) };
}

test('what is stored and what is not handed over yet look like one array', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      const disk = new MemoryLog();
      const log = new CoreLog(disk);
      const naive = new NaiveLog();
      let term = 1;
      for (const each of actions) {
        if (each.act === 'append') {
          const from = Math.max(naive.lastIndex - each.back, naive.released) + 1;
          if (each.isNewTerm || from <= naive.lastIndex) term++;
          log.append(Array.from({ length: each.count }, (_, at) => entry(from + at, term)));
          naive.terms.length = from - 1;
          for (let at = 0; at < each.count; at++) naive.terms.push(term);
        } else if (each.act === 'hand over') handOver(log, disk);
        else if (each.act === 'release') {
          handOver(log, disk);
          const index = Math.max(naive.lastIndex - each.keep, naive.released);
          if (index > disk.snapshot.index) {
            disk.release(index);
            naive.release(index);
          }
        } else {
          const index = naive.lastIndex + 1 + each.by;
          log.restore({ index, term: ++term });
          naive.restore(index, term);
        }
        compare(log, naive);
      }
    }),
    { numRuns: 400 },
  );
});

function compare(log: CoreLog, naive: NaiveLog): void {
  equal(log.lastIndex, naive.lastIndex);
  equal(log.firstIndex, naive.released + 1);
  equal(log.lastTerm, naive.term(naive.lastIndex));
  for (let index = 0; index <= naive.lastIndex + 2; index++)
    equal(log.term(index), naive.term(index), `term of ${index}`);
  for (let low = naive.released + 1; low <= naive.lastIndex; low += 3) {
    const entries = log.entries(low, naive.lastIndex + 1, Number.MAX_SAFE_INTEGER);
    deepEqual(
      entries.map((each) => `${each.index}.${each.term}`),
      naive.terms.slice(low - 1).map((term, at) => `${low + at}.${term}`),
    );
  }
  for (let term = 0; term <= (naive.term(naive.lastIndex) ?? 0) + 1; term++)
    deepEqual(log.lastWithTermAtMost(naive.lastIndex, term), naiveHint(naive, term));
}

function naiveHint(naive: NaiveLog, term: number): { index: number; term: number } {
  let index = naive.lastIndex;
  while ((naive.term(index) ?? 0) > term) index--;
  return { index, term: naive.term(index) ?? 0 };
}

test('entries come up to a bound of bytes, across the seam too, but at least one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(50), { minLength: 1, maxLength: 12 }),
      fc.nat(12),
      fc.nat(12),
      fc.nat(200),
      (sizes, seam, from, maxBytes) => {
        const disk = new MemoryLog();
        const log = new CoreLog(disk);
        const all = sizes.map((size, at): Entry => {
          return { index: at + 1, term: 1, type: 'normal', data: new Uint8Array(size) };
        });
        log.append(all.slice(0, seam));
        handOver(log, disk);
        log.append(all.slice(seam));
        const low = Math.min(from, sizes.length - 1) + 1;
        let [bytes, count] = [0, 0];
        for (const size of sizes.slice(low - 1)) {
          bytes += size;
          if (count > 0 && bytes > maxBytes) break;
          count++;
        }
        equal(log.entries(low, sizes.length + 1, maxBytes).length, count);
      },
    ),
    { numRuns: 1000 },
  );
});

test('a log is up to date by its last term, and of equal terms by its length', () => {
  const log = new CoreLog(new MemoryLog());
  log.append([entry(1, 1), entry(2, 3)]);
  const cases: readonly [number, number, boolean][] = [
    [2, 3, true],
    [3, 3, true],
    [1, 3, false],
    [1, 4, true],
    [9, 2, false],
    [0, 0, false],
  ];
  for (const [index, term, expected] of cases) equal(log.isUpToDate(index, term), expected);
});

test('a gap and a replacement of what is released are bugs', () => {
  const log = new CoreLog(new MemoryLog());
  throws(() => log.append([entry(2, 1)]), /no gaps/);
  log.restore({ index: 5, term: 1 });
  throws(() => log.append([entry(5, 2)]), /not replaced/);
});
