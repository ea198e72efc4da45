// Plants each known bug in a copy of the sources, and has the simulator look for it there.

import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PlantedBug, plantedBugs } from './planted.ts';
import { Pool } from './pool.ts';
import { say, sayJson, ToldError } from './say.ts';

export interface PlantedOptions {
  /** Names, separated by commas; empty: all. */
  readonly only: string;
  /** To look through for each. */
  readonly seeds: number;
  /** Bugs that are looked for at a time. */
  readonly jobs: number;
}

/** What became of one. */
interface Found {
  readonly bug: string;
  /** How many seeds it took; undefined: it was not found. */
  readonly seeds: number | undefined;
  readonly oracle: string;
  readonly message: string;
}

/** The folder of the package. */
const packageDirectory = fileURLToPath(new URL('..', import.meta.url));
/** A seed that takes longer, and does not without the bug, never ends. */
const seedMaxS = 60;

/** Returns the exit code: 0 when all were found. Throws where one can not be planted. */
export async function checkPlanted({ only, seeds, jobs }: PlantedOptions): Promise<number> {
  const names = only === '' ? plantedBugs.map(({ name }) => name) : only.split(',');
  const bugs = names.map((name) => {
    const bug = plantedBugs.find((each) => each.name === name);
    if (bug === undefined) throw new ToldError(`--only: ${name} is no planted bug`);
    return bug;
  });
  await Promise.all(bugs.map((bug) => patched(bug)));
  say(`${'bug'.padEnd(4)} ${'seeds'.padStart(5)}  ${'oracle'.padEnd(18)} what`);
  const waiting = [...bugs];
  const all: Found[] = [];
  const work = async (): Promise<void> => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const found = await find(bug, seeds);
      all.push(found);
      const count = found.seeds === undefined ? '-' : `${found.seeds}`;
      say(`${bug.name.padEnd(4)} ${count.padStart(5)}  ${found.oracle.padEnd(18)} ${bug.what}`);
      if (found.seeds !== undefined) say(`${' '.repeat(31)}${found.message}`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  const missed = all.filter((found) => found.seeds === undefined).map(({ bug }) => bug);
  say(`${all.length - missed.length} of ${all.length} found`);
  const order = (bug: string): number => names.indexOf(bug);
  all.sort((a, b) => order(a.bug) - order(b.bug));
  sayJson({ planted: all.length, found: all.length - missed.length, missed, bugs: all });
  return missed.length > 0 ? 1 : 0;
}

async function find(bug: PlantedBug, seeds: number): Promise<Found> {
  const root = await mkdtemp(join(tmpdir(), 'planted-'));
  try {
    await plant(bug, root);
    const output = await runIn(root, seeds);
    const [, seed, oracle, message] = /^seed (\d+): (\w+): (.*)$/m.exec(output) ?? [];
    if (seed === undefined || oracle === undefined || message === undefined) {
      if (output.trim() !== '') throw new Error(`${bug.name}: the copy does not run: ${output}`);
      return { bug: bug.name, seeds: undefined, oracle: 'none', message: '' };
    }
    if (oracle === 'Runaway' && !(await endsWithoutBug(Number(seed))))
      throw new Error(`${bug.name}: seed ${seed} does not end without the bug either`);
    return { bug: bug.name, seeds: Number(seed), oracle, message };
  } finally {
    await rm(root, { recursive: true });
  }
}

async function endsWithoutBug(seed: number): Promise<boolean> {
  const pool = new Pool({ jobs: 1, seedMaxMs: seedMaxS * 1000, heapMaxMib: 1024 });
  try {
    return (await pool.run({ seed, plan: {}, keepsTrace: false })).violation === undefined;
  } finally {
    await pool.close();
  }
}

async function plant(bug: PlantedBug, root: string): Promise<void> {
  const copy = join(root, 'router');
  for (const part of ['src', 'sim', 'linearizability', 'package.json']) {
    await cp(join(packageDirectory, part), join(copy, part), { recursive: true });
  }
  await symlink(join(packageDirectory, '../node_modules'), join(root, 'node_modules'));
  await writeFile(join(copy, bug.file), await patched(bug));
}

/** The file with the bug in it. Throws unless there is exactly one place for it. */
async function patched({ name, file, search, replacement }: PlantedBug): Promise<string> {
  const parts = (await readFile(join(packageDirectory, file), 'utf8')).split(search);
  if (parts.length === 2) return parts.join(replacement);
  throw new ToldError(
    `${name} does not apply any more: ${file} has ${parts.length - 1} places for it, not one; follow the rule to where it is now`,
  );
}

function runIn(root: string, seeds: number): Promise<string> {
  const args = ['--conditions=etl-source', 'router/sim/main.ts', '--quiet', '--jobs', '1'];
  const bounds = ['--count', `${seeds}`, '--seed-max', `${seedMaxS}`];
  const child = spawn(process.execPath, [...args, ...bounds], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  return new Promise((resolve) => {
    child.on('close', () => resolve(output));
  });
}
