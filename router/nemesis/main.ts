// `npm run nemesis -- --runs 100`: real router processes under load, and what can happen to them. Goes on where an earlier
// call ended. Ends with 1 where a promise was broken; such a run keeps its folder and prints the command that plays it
// again, because processes and disks can not be replayed: the same command does the same to them, at about the same time.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NamespaceHosts } from './hosts.ts';
import { type Need, needs, runIsolated, whyNot } from './isolation.ts';
import { commandOf, type PlannedRun, type PlanOptions, planRun, scenariosOf } from './plan.ts';
import { runScenario } from './run.ts';
import { scenarios } from './scenarios.ts';
import {
  appendDone,
  type DoneRun,
  lineOf,
  presentCommit,
  readDone,
  saveSummary,
  summarize,
  tableOf,
} from './summary.ts';

const usage = `Usage: npm run nemesis -- [flags]

Plays scenarios against three and five router processes under load, and checks that no answered write is lost.

  --runs N          Runs in all, those of earlier calls included. Default 100.
  --only NAME       Plays this scenario alone.
  --members 3|5     Members of the cluster. Default: three, and in every third round five.
  --seed N          First seed; run n has the seed n - 1 above it. Default 1.
  --least-rate N    Operations a second before the fault, below which a run is discarded. Default 100.
  --without LIST    Leaves out scenarios that need netns (hosts of their own) or disk (file systems of their own).
  --state FILE      Where finished runs are kept. Default: under .cache/nemesis, named after the other flags.
  --fresh           Forgets finished runs.
  --save            Keeps the summary under bench/results/nemesis, named after the day and the commit.
  --list            Shows the scenarios.
  --help            Shows this.

The last line is JSON. Exit code 0: every promise was kept; 1: one was not; 2: the flags or the machine do not do.
`;

const known = {
  runs: { type: 'string', default: '100' },
  only: { type: 'string' },
  members: { type: 'string' },
  seed: { type: 'string', default: '1' },
  'least-rate': { type: 'string', default: '100' },
  without: { type: 'string', default: '' },
  state: { type: 'string' },
  fresh: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  inside: { type: 'boolean', default: false },
} as const;

const flags = readFlags();

const resultsFolder = 'bench/results/nemesis';
/** A run that was too slow to count is played again, but not for ever. */
const attemptsPerRun = 3;

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`nemesis: ${(error as Error).message}\n`);
  process.exitCode = 2;
}

function readFlags() {
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    process.stderr.write(`nemesis: ${(error as Error).message}; --help shows the flags\n`);
    process.exit(2);
  }
}

async function main(): Promise<number> {
  if (flags.help) return say(usage);
  if (flags.list) return say(listed());
  const options = readOptions();
  const runs = readCount('--runs', flags.runs, 1, 100_000);
  readCount('--least-rate', flags['least-rate'], 0, 10_000);
  const used = needs.filter((need) => !options.without.includes(need));
  if (used.length === 0 || flags.inside) return await play(options, runs, used.includes('netns'));
  for (const need of used) {
    const why = whyNot(need);
    if (why !== undefined)
      throw new Error(
        `${need} can not be had here: ${why}. To play only what does without: --without ${need}`,
      );
  }
  const self = fileURLToPath(import.meta.url);
  return await runIsolated(used, [self, ...process.argv.slice(2), '--inside']);
}

async function play(options: PlanOptions, runs: number, isolated: boolean): Promise<number> {
  if (isolated) await NamespaceHosts.prepare();
  const state = resolve(flags.state ?? join('.cache/nemesis', `${nameOf(options)}.jsonl`));
  if (flags.fresh && existsSync(state)) rmSync(state);
  const done = [...readDone(state)];
  const stopped = new AbortController();
  process.once('SIGINT', () => stopped.abort());
  process.once('SIGTERM', () => stopped.abort());
  const counts = (run: number): boolean => {
    const tries = done.filter((each) => each.run === run);
    return tries.length >= attemptsPerRun || tries.some(({ outcome }) => outcome !== 'discarded');
  };
  for (let run = 1; run <= runs && !stopped.signal.aborted; run++) {
    while (!counts(run) && !stopped.signal.aborted) {
      const result = await playOne(planRun(options, run), {
        options,
        isolated,
        signal: stopped.signal,
      });
      if (stopped.signal.aborted) break;
      appendDone(state, result);
      done.push(result);
    }
  }
  const summary = summarize(done.filter(({ run }) => run <= runs));
  say(`\n${tableOf(summary)}\n`);
  if (flags.save && !stopped.signal.aborted)
    say(`saved as ${saveSummary(resultsFolder, summary, aboutOf(options, runs))}\n`);
  say(`${JSON.stringify(summary)}\n`);
  if (stopped.signal.aborted) process.exit(130);
  return summary.failed > 0 || summary.runs === 0 ? 1 : 0;
}

async function playOne(
  planned: PlannedRun,
  how: { readonly options: PlanOptions; readonly isolated: boolean; readonly signal: AbortSignal },
): Promise<DoneRun> {
  const { run, seed, scenario, members } = planned;
  const folder = mkdtempSync(join(tmpdir(), 'etl-nemesis-'));
  const { isolated, signal } = how;
  const leastRate = readCount('--least-rate', flags['least-rate'], 0, 10_000);
  const result = await runScenario({ ...planned, isolated, leastRate, folder, signal });
  const commit = presentCommit();
  const done: DoneRun = { run, seed, scenario: scenario.name, members, commit, ...result };
  if (signal.aborted) {
    rmSync(folder, { recursive: true, force: true });
    return done;
  }
  say(`${lineOf(done)}\n`);
  if (done.outcome === 'discarded') say(`      ${done.problems.join('; ')}\n`);
  if (done.outcome === 'failed') {
    for (const problem of done.problems.slice(0, 20)) say(`      ${problem}\n`);
    say(
      `      logs and history: ${folder}\n      again: ${commandOf(planned, how.options.without)}\n`,
    );
  }
  return done;
}

function readOptions(): PlanOptions {
  const { members } = flags;
  if (members !== undefined && members !== '3' && members !== '5')
    throw new Error(`--members ${members}: must be 3 or 5`);
  const options = {
    seed: readCount('--seed', flags.seed, 0, 2 ** 31),
    members: members === undefined ? undefined : Number(members),
    only: flags.only,
    without: readWithout(flags.without),
  };
  scenariosOf(options);
  return options;
}

function readWithout(text: string): readonly Need[] {
  const names = text.split(',').filter((name) => name !== '');
  const unknown = names.find((name) => !needs.includes(name as Need));
  if (unknown !== undefined)
    throw new Error(`--without ${unknown}: must be of ${needs.join(', ')}`);
  return needs.filter((need) => names.includes(need));
}

function readCount(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`${flag} ${text}: must be a whole number from ${least} to ${most}`);
}

function nameOf({ seed, members, only, without }: PlanOptions): string {
  const left = without.length === 0 ? [] : ['without', ...without];
  return [only ?? 'all', members ?? 'mixed', seed, ...left].join('-');
}

/** How a summary is named, and the command that makes such a one. */
function aboutOf(
  options: PlanOptions,
  runs: number,
): { readonly name: string; readonly command: string } {
  const { seed, members, only, without } = options;
  const given = [
    `--runs ${runs} --seed ${seed}`,
    ...(only === undefined ? [] : [`--only ${only}`]),
    ...(members === undefined ? [] : [`--members ${members}`]),
    ...(without.length === 0 ? [] : [`--without ${without.join(',')}`]),
    ...(flags['least-rate'] === '100' ? [] : [`--least-rate ${flags['least-rate']}`]),
  ];
  const isAll = nameOf({ ...options, seed: 1 }) === 'all-mixed-1';
  return {
    name: isAll ? 'all' : nameOf(options),
    command: `npm run nemesis -- ${given.join(' ')}`,
  };
}

function listed(): string {
  return scenarios
    .map(({ name, about, needs: needed }) => {
      const needing = needed.length === 0 ? '' : ` (needs ${needed.join(', ')})`;
      return `${name.padEnd(18)} ${about}${needing}\n`;
    })
    .join('');
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}
