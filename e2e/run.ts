// Runs scenarios one after the other on a cluster that it brings up, and takes down again unless it was there before:
// `run.ts` all of them, `run.ts core` those that come before a landing, or files by name.

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { environment, isLocal, kubectl, root } from './harness/kubectl.ts';
import { machine } from './harness/machine.ts';
import { prepare } from './up.ts';

/** What a change of operator, chart or images has to pass, in this order. */
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

function chosen(names: readonly string[]): readonly string[] {
  if (names.length === 0) return all;
  return names.flatMap((name) => (name === 'core' ? core : [basename(name, '.test.ts')]));
}

const wasUp = await kubectl(['get', '--raw', '/readyz']).then(
  () => true,
  () => false,
);
await prepare();
const flags = ['--conditions=etl-source', '--test', '--test-reporter=spec'];
const failed = chosen(process.argv.slice(2)).filter((name) => {
  const file = join('e2e', `${name}.test.ts`);
  const options = { cwd: root, env: environment(), stdio: 'inherit' } as const;
  return spawnSync(process.execPath, [...flags, file], options).status !== 0;
});
const isKept = wasUp || process.env['E2E_KEEP'] !== undefined;
if (isLocal && !isKept) await machine('down');
if (failed.length > 0) {
  process.stderr.write(`failed: ${failed.join(', ')}\n`);
  process.exitCode = 1;
}
