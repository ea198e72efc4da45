// `npm run crash -- --kills 200`: kills the whole process with SIGKILL, at random moments and at named points, restarts it,
// and compares what each sink holds with what the source is known to have made. Prints a table; ends with 1 when a
// promise was broken, and keeps the folder of that run.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Random, seededRandom } from '@etl-router/core';
import { failpointNames } from '@etl-router/sidecar';
import { type AppendService, startAppendService } from './append-service.ts';
import {
  inFlightRecords,
  listFiles,
  manifestsOf,
  ratePerLane,
  type Scenario,
  scenarios,
} from './scenarios.ts';
import { keepsPromise, type Truth, type Verdict, verify } from './verify.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    records: { type: 'string', default: '20000' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const program = resolve('standalone/src/main.ts');
/** A run that is not killed is done within this time; more means that it hangs. */
const patienceMs = 120_000;

interface Row {
  readonly scenario: Scenario;
  kills: number;
  runs: number;
  records: number;
  missing: number;
  duplicates: number;
  bound: number;
  reordered: number;
  wrong: number;
  broken: boolean;
}

if (values.help) {
  process.stdout.write(
    'Usage: npm run crash -- [--kills 200] [--seed 1] [--records 20000] [--only TEXT]\n',
  );
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const random = seededRandom(Number(values.seed));
  const service = await startAppendService();
  const chosen = scenarios.filter(
    ({ name }) => values.only === undefined || name.includes(values.only),
  );
  const share = Math.ceil(Number(values.kills) / chosen.length);
  const rows: Row[] = [];
  try {
    for (const scenario of chosen) {
      const row: Row = {
        scenario,
        kills: 0,
        runs: 0,
        records: 0,
        missing: 0,
        duplicates: 0,
        bound: 0,
        reordered: 0,
        wrong: 0,
        broken: false,
      };
      rows.push(row);
      while (row.kills < share && !row.broken)
        await oneRun(row, { random, service, killsLeft: share - row.kills });
      process.stderr.write(
        `${scenario.name}: ${row.kills} kills, ${row.broken ? 'BROKEN' : 'kept'}\n`,
      );
    }
  } finally {
    await service.close();
  }
  process.stdout.write(renderTable(rows));
  return rows.some(({ broken }) => broken) ? 1 : 0;
}

interface RunOptions {
  readonly random: Random;
  readonly service: AppendService;
  readonly killsLeft: number;
}

/** One set of data, from empty to completed, with kills on the way. */
async function oneRun(row: Row, { random, service, killsLeft }: RunOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'etl-crash-'));
  const truth: Truth = {
    seed: random.below(1_000_000),
    lanes: 3,
    recordsPerLane: Number(values.records),
  };
  mkdirSync(join(folder, 'out'));
  writeFileSync(join(folder, 'pipeline.yaml'), manifestsOf(row.scenario, truth, service.address));
  service.writeTo(join(folder, 'out/service.jsonl'));
  let kills = 0;
  for (;;) {
    const isLast = kills >= killsLeft;
    const ended = await oneLife(folder, random, isLast);
    if (ended === 'completed') break;
    if (ended !== 'killed') {
      row.broken = true;
      process.stderr.write(`${row.scenario.name}: ${ended}; see ${folder}\n`);
      return;
    }
    kills++;
  }
  const verdict = verify(truth, await row.scenario.read(folder));
  count(row, verdict, kills);
  if (row.broken)
    process.stderr.write(
      `${row.scenario.name}: ${JSON.stringify(verdict)}; kept ${folder}: ${listFiles(folder).join(' ')}\n`,
    );
  else rmSync(folder, { recursive: true });
}

function count(row: Row, verdict: Verdict, kills: number): void {
  const perCrash = inFlightRecords + 3 * ratePerLane;
  const bound = row.scenario.require === 'atLeastOnce' ? kills * perCrash : 0;
  row.runs++;
  row.kills += kills;
  row.records += verdict.expected;
  row.missing += verdict.missing;
  row.duplicates += verdict.duplicates;
  row.bound += bound;
  // Duplicates come in their old order, so only first occurrences out of order count, which verify sees to.
  row.reordered += verdict.reordered;
  row.wrong += verdict.corrupted + verdict.phantoms;
  row.broken = !keepsPromise(verdict, bound);
}

/** Starts the process and kills it, unless it is its last life. Says how it ended. */
async function oneLife(folder: string, random: Random, isLast: boolean): Promise<string> {
  const atPoint = !isLast && random.next() < 0.5;
  const point = `${failpointNames[random.below(failpointNames.length)]}:${1 + random.below(12)}`;
  const child = spawn(process.execPath, ['--conditions=etl-source', program, ...flagsOf(folder)], {
    cwd: folder,
    env: { ...process.env, ETL_CRASH_AT: atPoint ? point : '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-4000);
  });
  const timer = setTimeout(
    () => child.kill('SIGKILL'),
    isLast || atPoint ? patienceMs : 400 + random.below(5000),
  );
  const startedMs = performance.now();
  const [code, signal] = await exitOf(child);
  clearTimeout(timer);
  if (code === 0) return 'completed';
  if (signal === 'SIGKILL' && performance.now() - startedMs < patienceMs) return 'killed';
  return signal === 'SIGKILL'
    ? `did not end within ${patienceMs / 1000} s: ${words}`
    : `ended with ${code ?? signal}: ${words}`;
}

function flagsOf(folder: string): string[] {
  const addresses = ['--listen-addr', '127.0.0.1:0', '--http-addr', 'off', '--metrics-addr', 'off'];
  return [
    '--once',
    '--apply',
    join(folder, 'pipeline.yaml'),
    '--data-dir',
    join(folder, 'data'),
    ...addresses,
  ];
}

function exitOf(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code, signal) => done([code, signal]));
  });
}

function renderTable(rows: readonly Row[]): string {
  const header = [
    'scenario',
    'kills',
    'runs',
    'records',
    'missing',
    'duplicates',
    'bound',
    'reordered',
    'wrong',
    'promise',
  ];
  const cells = rows.map((row) => [
    row.scenario.name,
    ...[
      row.kills,
      row.runs,
      row.records,
      row.missing,
      row.duplicates,
      row.bound,
      row.reordered,
      row.wrong,
    ].map(String),
    row.broken ? 'BROKEN' : 'kept',
  ]);
  return [header, header.map(() => '---'), ...cells]
    .map((line) => `| ${line.join(' | ')} |\n`)
    .join('');
}
