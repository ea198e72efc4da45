// A set of seeds, from the first to the last: each run, some run twice, those that fail made smaller, and in the end
// whether all of them together went through enough.

import { Coverage } from './coverage.ts';
import type { Plan } from './faults.ts';
import { type Ended, Pool, type Report } from './pool.ts';
import { say, sayJson } from './say.ts';
import { shrink } from './shrink.ts';
import { type Slice, saveSlice } from './slices.ts';
import { replayCommand, writeTranscript } from './transcript.ts';

export interface SeedsOptions {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
  readonly isTwice: boolean;
  /** Tells the first seed that fails in one line, and ends. */
  readonly isQuiet: boolean;
  readonly isTraced: boolean;
  readonly plan: Plan;
  readonly seedMaxMs: number;
  readonly saveTo: string | undefined;
}

/** After so many a set of seeds ends. */
const maxFailures = 5;
const heapMaxMib = 1024;
const shrinkMaxRuns = 80;
/** Each of so many seeds is run twice. */
const repeatEach = 50;
/** A set of fewer seeds is not judged by what it went through. */
const judgedFrom = 1000;
const transcriptDirectory = '.cache/sim';

/** Returns the exit code. */
export async function runSeeds(options: SeedsOptions): Promise<number> {
  const { from, count, jobs, isQuiet, seedMaxMs } = options;
  const pool = new Pool({ jobs, seedMaxMs, heapMaxMib });
  const coverage = new Coverage();
  const failed = new Map<number, string>();
  const startMs = performance.now();
  let next = from;
  const isOver = (): boolean => failed.size >= (isQuiet ? 1 : maxFailures);
  const work = async (): Promise<void> => {
    while (next < from + count && !isOver()) {
      const why = await runOne(pool, next++, { options, coverage });
      if (why !== undefined && !isOver()) failed.set(why.seed, why.message);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    await pool.close();
  }
  const seconds = (performance.now() - startMs) / 1000;
  const slice: Slice = {
    ...{ from, count: next - from, failed: [...failed.keys()].sort((a, b) => a - b) },
    ...{ seconds: Number(seconds.toFixed(1)), jobs },
    coverage: { seeds: coverage.seeds, counts: coverage.counts, hits: coverage.hits },
  };
  if (isQuiet) {
    for (const message of failed.values()) say(message);
    return failed.size > 0 ? 1 : 0;
  }
  return await conclude(slice, coverage, options);
}

async function conclude(
  slice: Slice,
  coverage: Coverage,
  { saveTo }: SeedsOptions,
): Promise<number> {
  const { count, seconds, failed } = slice;
  say(`${count} seeds in ${seconds} s, ${(count / seconds).toFixed(1)} a second`);
  if (failed.length > 0) say(`failed: ${failed.join(' ')}`);
  const missing = judge(coverage);
  if (saveTo !== undefined) say(`saved as ${await saveSlice(saveTo, slice)}`);
  sayJson({ sim: slice, missing });
  return failed.length > 0 || missing.length > 0 ? 1 : 0;
}

/** Says what a set of enough seeds has not gone through. */
export function judge(coverage: Coverage): readonly string[] {
  const missing = coverage.seeds < judgedFrom ? [] : coverage.missing;
  for (const line of missing) say(`not enough of ${line}`);
  return missing;
}

interface Failure {
  readonly seed: number;
  readonly message: string;
}

/** Runs a seed; returns what is wrong with it. */
async function runOne(
  pool: Pool,
  seed: number,
  { options, coverage }: { readonly options: SeedsOptions; readonly coverage: Coverage },
): Promise<Failure | undefined> {
  const { plan, isQuiet, isTwice, isTraced } = options;
  const report = await pool.run({ seed, plan, keepsTrace: isTraced });
  if ('counts' in report) coverage.add(Coverage.of(report.counts));
  const { violation } = report;
  if (isTraced && 'counts' in report) say(report.trace.join('\n'));
  if (violation !== undefined) {
    const message = `seed ${seed}: ${violation.oracle}: ${violation.message}`;
    if (!isQuiet) await explain(pool, report, options);
    return { seed, message };
  }
  if (!('counts' in report) || !(isTwice || seed % repeatEach === 0)) return undefined;
  const again = await pool.run({ seed, plan, keepsTrace: false });
  if ('counts' in again && again.hash === report.hash) return undefined;
  const message = `seed ${seed} is another run the second time`;
  say(message);
  return { seed, message };
}

/** Makes it smaller, writes down what happened, and says how to see it again. */
async function explain(pool: Pool, report: Report | Ended, { plan }: SeedsOptions): Promise<void> {
  const { seed, violation } = report;
  say(`seed ${seed}: ${violation?.oracle}: ${violation?.message}`);
  if (!('counts' in report)) return say(`  ${replayCommand(seed, plan)}`);
  const happened = report.faults.filter(({ number }) => report.happened.includes(number));
  const stillFails = async (smaller: Plan): Promise<boolean> => {
    const run = await pool.run({ seed, plan: smaller, keepsTrace: false });
    return run.violation?.oracle === violation?.oracle;
  };
  const whole = happened.map(({ number }) => number);
  const isExact =
    plan.faults !== undefined || (await stillFails({ ...plan, faults: new Set(whole) }));
  const shrunk =
    isExact && plan.faults === undefined
      ? await shrink(whole, stillFails, shrinkMaxRuns)
      : { plan, runs: 0 };
  const last = await pool.run({ seed, plan: shrunk.plan, keepsTrace: true });
  const told = 'counts' in last ? last : report;
  const path = await writeTranscript(transcriptDirectory, told, shrunk.plan);
  const left = shrunk.plan.faults?.size ?? report.faults.length;
  say(`  ${left} of ${report.faults.length} faults are needed (${shrunk.runs} runs)`);
  say(`  ${replayCommand(seed, shrunk.plan)}`);
  say(`  what led to it: ${path}`);
}
