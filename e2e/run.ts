// Runs scenarios one after the other on a cluster that it brings up, and takes down again unless it was there before:
// `run.ts` all that this cluster can show, `run.ts core` those that every change has to pass, or files by name.

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { environment, isLocal, kubectl, root } from './harness/kubectl.ts';
import { machine, obstacleOf } from './harness/machine.ts';
import { prepare } from './up.ts';

/** What every change has to pass, in this order. */
const core = [
  'schemas',
  'chart-rendered',
  'install',
  'chart-rights',
  'bootstrap',
  'leader-deleted',
  'scale',
  'upgrade',
];

const all = globSync('e2e/*.test.ts', { cwd: root })
  .map((file) => basename(file, '.test.ts'))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

function rank(name: string): number {
  const at = core.indexOf(name);
  return at === -1 ? core.length : at;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** All that this cluster can show; what it can not is said. */
async function possible(): Promise<readonly string[]> {
  const obstacles = await Promise.all(all.map(obstacleOf));
  for (const obstacle of obstacles) if (obstacle !== undefined) say(`left out: ${obstacle}`);
  return all.filter((_, at) => obstacles[at] === undefined);
}

/** What was asked for by name; ends the process where one of them is not there or can not be shown. */
async function chosen(names: readonly string[]): Promise<readonly string[]> {
  const wanted = names.flatMap((name) => (name === 'core' ? core : [basename(name, '.test.ts')]));
  const faultOf = async (name: string): Promise<string | undefined> =>
    all.includes(name)
      ? await obstacleOf(name)
      : `there is no scenario ${name}; there are core, ${all.join(', ')}`;
  const faults = await Promise.all(wanted.map(faultOf));
  if (faults.every((fault) => fault === undefined)) return wanted;
  for (const fault of faults) if (fault !== undefined) say(fault);
  return process.exit(2);
}

/** Names of those that failed. */
function runAll(names: readonly string[]): readonly string[] {
  const flags = ['--conditions=etl-source', '--test', '--test-reporter=spec'];
  return names.filter((name) => {
    const file = join('e2e', `${name}.test.ts`);
    const options = { cwd: root, env: environment(), stdio: 'inherit' } as const;
    return spawnSync(process.execPath, [...flags, file], options).status !== 0;
  });
}

const given = process.argv.slice(2);
const names = await (given.length === 0 ? possible() : chosen(given));
const wasUp = await kubectl(['get', '--raw', '/readyz']).then(
  () => true,
  () => false,
);
try {
  await prepare();
  const failed = runAll(names);
  if (failed.length > 0) {
    say(`failed: ${failed.join(', ')}`);
    process.exitCode = 1;
  }
} finally {
  const isKept = wasUp || process.env['E2E_KEEP'] !== undefined;
  if (isLocal && !isKept) await machine('down');
}
