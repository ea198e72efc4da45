// Runs seeds and says what they found: `npm run sim -- --seeds 1000 --from 1`. One that fails is told with the command
// that runs it again and its last events. `--count` says what the seeds went through, `--twice` runs each again and
// compares, `--planted` looks for planted bugs.

import { parseArgs } from 'node:util';
import { Coverage } from './coverage.ts';
import { findPlanted } from './plant.ts';
import { type RunResult, runSeed } from './run.ts';
import { say } from './say.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    twice: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    count: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
  },
});

/** After so many a set of seeds ends. */
const maxFailures = 5;

process.on('unhandledRejection', (error) => {
  say(`a promise was lost: ${String(error)}`);
  process.exit(3);
});

async function main(): Promise<number> {
  if (values.planted) return await findPlanted(values.only, Number(values.seeds));
  const only = values.seed === undefined ? undefined : Number(values.seed);
  const from = only ?? Number(values.from);
  const count = only === undefined ? Number(values.seeds) : 1;
  const coverage = new Coverage();
  const failed: number[] = [];
  const startMs = performance.now();
  let seed = from;
  for (; seed < from + count && failed.length < (values.quiet ? 1 : maxFailures); seed++) {
    const result = await runSeed(seed, values.trace);
    coverage.add(result.coverage);
    if (result.violation !== undefined) {
      failed.push(seed);
      if (values.quiet) say(`seed ${seed}: ${result.violation.message}`);
      else await explain(result);
      continue;
    }
    if (!values.twice && seed % 50 !== 0) continue;
    const again = await runSeed(seed);
    if (again.hash === result.hash) continue;
    failed.push(seed);
    say(`seed ${seed} is not repeatable: ${result.hash} and ${again.hash}`);
  }
  const ran = seed - from;
  const seconds = (performance.now() - startMs) / 1000;
  say(`${ran} seeds in ${seconds.toFixed(1)} s, ${(ran / seconds).toFixed(1)} a second`);
  if (values.count) for (const [name, count] of Object.entries(coverage)) say(`${name}: ${count}`);
  const missing = ran >= 100 ? coverage.missing(ran) : [];
  for (const line of missing) say(`not enough of ${line}`);
  if (failed.length > 0) say(`failed: ${failed.join(' ')}`);
  return failed.length > 0 || missing.length > 0 ? 1 : 0;
}

async function explain(result: RunResult): Promise<void> {
  const { seed, violation, profile } = result;
  const { trace } = result.trace.length > 0 ? result : await runSeed(seed, true);
  say(trace.join('\n'));
  say(result.members.join('\n'));
  say(JSON.stringify(profile));
  say(`seed ${seed}: ${violation?.message}`);
  say(`npm run sim -- --seed ${seed} --trace`);
}

process.exitCode = await main();
