// npm run bench -- NAME [--rounds N] [--quick] [--save]: runs one benchmark, prints its table, and as the last line
// one JSON object. Exit 1 when a required ratio was missed, 2 on wrong usage.

import process from 'node:process';
import { parseArgs } from 'node:util';
import type { Bench } from './lib/bench.ts';
import { allHold, formatRatios, outcomeOf, saveResult } from './lib/report.ts';

const benches: { readonly [name: string]: () => Promise<{ readonly bench: Bench }> } = {
  codec: () => import('./codec.ts'),
  engine: () => import('./engine.ts'),
  raft: () => import('./raft.ts'),
  'raft-scale': () => import('./raft-scale.ts'),
  'raft-core': () => import('./raft-core.ts'),
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
    },
  });
  const [name = '', ...rest] = positionals;
  const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (load === undefined || rest.length > 0) {
    await listBenches(name);
    return 2;
  }
  const { bench } = await load();
  const rounds = values.rounds === undefined ? bench.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) {
    console.error(`--rounds is "${values.rounds}"; give a whole number from 1 to 1000`);
    return 2;
  }
  const result = await bench.run({ rounds, quick: values.quick });
  const outcome = outcomeOf(name, rounds, result);
  console.log(result.text);
  console.log(`\n${formatRatios(result.ratios)}\n`);
  if (values.save) console.log(`kept in ${saveResult(outcome, result, Date.now())}`);
  console.log(JSON.stringify(outcome));
  return values.quick || allHold(result.ratios) ? 0 : 1;
}

async function listBenches(asked: string): Promise<void> {
  if (asked !== '') console.error(`there is no benchmark "${asked}"`);
  console.error('usage: npm run bench -- NAME [--rounds N] [--quick] [--save]');
  for (const [name, load] of Object.entries(benches)) {
    const { bench } = await load();
    console.error(`  ${name.padEnd(10)} ${bench.about}`);
  }
}

process.exitCode = await main();
