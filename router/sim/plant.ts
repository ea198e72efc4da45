// Plants each bug in a copy of the sources and runs the simulator there until it finds it.

import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PlantedBug, plantedBugs } from './planted.ts';
import { say } from './say.ts';

/** The folder of the package. */
const packageDirectory = fileURLToPath(new URL('..', import.meta.url));

/** Looks for those whose name begins with `only`, for `seeds` seeds each. Returns 1 if one was not found. */
export async function findPlanted(only: string, seeds: number): Promise<number> {
  const wanted = plantedBugs.filter(({ name }) => name.startsWith(only));
  let missed = 0;
  const next = async (): Promise<void> => {
    for (let bug = wanted.shift(); bug !== undefined; bug = wanted.shift()) {
      const found = await find(bug, seeds);
      if (found === undefined) missed++;
      const how = found ?? `NOT FOUND in ${seeds} seeds`;
      say(`${bug.name.padEnd(4)} ${bug.what}: ${how}`);
    }
  };
  await Promise.all([next(), next()]);
  return missed > 0 ? 1 : 0;
}

/** The seed that found it and what it saw. */
async function find(bug: PlantedBug, seeds: number): Promise<string | undefined> {
  const root = await mkdtemp(join(tmpdir(), 'planted-'));
  try {
    await plant(bug, root);
    const output = await runIn(root, seeds);
    return /^seed .*$/m.exec(output)?.[0] ?? (/^\d+ seeds/m.test(output) ? undefined : output);
  } finally {
    await rm(root, { recursive: true });
  }
}

async function plant(bug: PlantedBug, root: string): Promise<void> {
  const copy = join(root, 'router');
  for (const part of ['src', 'sim', 'package.json']) {
    await cp(join(packageDirectory, part), join(copy, part), { recursive: true });
  }
  await symlink(join(packageDirectory, '../node_modules'), join(root, 'node_modules'));
  const path = join(copy, bug.file);
  const source = await readFile(path, 'utf8');
  const parts = source.split(bug.search);
  if (parts.length !== 2) {
    throw new Error(`${bug.name}: ${bug.file} has ${parts.length - 1} places to plant it, not one`);
  }
  await writeFile(path, parts.join(bug.replacement));
}

function runIn(root: string, seeds: number): Promise<string> {
  const args = ['--conditions=etl-source', 'router/sim/main.ts', '--quiet', '--seeds', `${seeds}`];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
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
