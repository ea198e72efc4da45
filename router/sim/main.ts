// Runs seeds and says what they found: `npm run sim -- --from 1 --count 1000`. A seed that fails is made smaller, told
// with the command that runs it again, and its last events are written to a file.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Plan } from './faults.ts';
import { checkPlanted } from './plant.ts';
import { runSeeds } from './run-seeds.ts';
import { say, ToldError } from './say.ts';
import { mergeSlices } from './slices.ts';
import { parsePlan } from './transcript.ts';

const usage = `Usage: npm run sim -- [options]

Runs the simulator: every seed is a cluster with clients and faults of its own.

  --from <seed>         first seed (default 1)
  --count <n>           how many seeds (default 100); --seeds is the same
  --jobs <n>            how many at a time (default: as many as there are cores)
  --seed-max <s>        a seed that takes longer failed (default 120)
  --save [<directory>]  write what the seeds went through to <directory> (default bench/results/sim)
  --merge <file>...     add up slices that were saved, and judge them as one set
  --twice               run each seed twice and compare (otherwise each fiftieth)

  --seed <seed>         run one seed, and tell its last events
  --trace               ... (with --from, of each)
  --faults <n,...>      ... with these faults only; 'none' for none of them
  --without <kind,...>  ... without this weather: loss, duplication, disorder, gathering, 'disk errors', clocks,
                        'slow disk', 'slow rows'

  --planted             plant each of the known bugs in a copy of the sources and look for it
  --only <name,...>     ... only those

Exit codes: 0 nothing wrong, 1 something was found or the seeds went through too little, 2 wrong usage.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      from: { type: 'string', default: '1' },
      count: { type: 'string' },
      seeds: { type: 'string' },
      jobs: { type: 'string', default: `${availableParallelism()}` },
      save: { type: 'boolean', default: false },
      merge: { type: 'boolean', default: false },
      twice: { type: 'boolean', default: false },
      'seed-max': { type: 'string', default: '120' },
      quiet: { type: 'boolean', default: false },
      seed: { type: 'string' },
      faults: { type: 'string' },
      without: { type: 'string' },
      trace: { type: 'boolean', default: false },
      planted: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    say(usage.trimEnd());
    return 0;
  }
  if (values.merge) return await mergeSlices(positionals);
  const count = wholeNumber(
    'count',
    values.count ?? values.seeds ?? (values.planted ? '1000' : '100'),
  );
  const jobs = wholeNumber('jobs', values.jobs);
  const seedMaxMs = wholeNumber('seed-max', values['seed-max']) * 1000;
  if (values.planted) return await checkPlanted({ only: values.only, seeds: count, jobs });
  return await runSeeds({
    seedMaxMs,
    from: wholeNumber('from', values.seed ?? values.from),
    count: values.seed === undefined ? count : 1,
    jobs,
    isTwice: values.twice,
    isQuiet: values.quiet,
    isTraced: values.trace || values.seed !== undefined,
    plan: planOf(values),
    saveTo: values.save ? (positionals[0] ?? 'bench/results/sim') : undefined,
  });
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new UsageError(`--${name}: must be a whole number from 1, not ${text}`);
}

function planOf(values: Parameters<typeof parsePlan>[0]): Plan {
  try {
    return parsePlan(values);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

class UsageError extends ToldError {}

try {
  process.exitCode = await main();
} catch (error) {
  const { code } = error as { code?: string };
  const isUsage = error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS') === true;
  if (!isUsage && !(error instanceof ToldError)) throw error;
  process.stderr.write(`${(error as Error).message}\n${isUsage ? usage : ''}`);
  process.exitCode = 2;
}
