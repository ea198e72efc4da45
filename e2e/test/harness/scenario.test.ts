// What happens to a scenario that hangs, and to names that can not be run: with a kubectl that only notes what it was told.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, test } from 'node:test';
import { root } from '../../harness/kubectl.ts';
import { reports } from '../../harness/scenario.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'etl-e2e-'));
  const script = `#!/bin/sh\necho "$*" >>'${folder}/calls'\n`;
  await writeFile(join(folder, 'kubectl'), script, { mode: 0o755 });
});
after(async () => {
  await rm(folder, { recursive: true });
  await rm(join(reports, 'harness-hangs'), { recursive: true, force: true });
  await rm(join(reports, 'harness-hangs.json'), { force: true });
});

function start(file: string, ...args: readonly string[]): { code: number | null; said: string } {
  const flags = ['--conditions=etl-source', join(root, 'e2e', file), ...args];
  // On a cluster of somebody, where no machine is touched.
  const env = { PATH: `${folder}:${process.env['PATH']}`, KUBECONFIG: '/none' };
  const { status, stdout, stderr } = spawnSync(process.execPath, flags, { env, encoding: 'utf8' });
  return { code: status, said: stdout + stderr };
}

test('a scenario that hangs is looked at, taken away, and ends all that would come after it', async () => {
  const { code, said } = start('test/support/hangs.ts');
  assert.equal(code, 1, said);
  assert.match(said, /harness-hangs: failed: not within 0\.5 s/);
  assert.doesNotMatch(said, /the next one runs/);
  const calls = await readFile(join(folder, 'calls'), 'utf8');
  assert.match(calls, /get events -n e2e-harness-hangs/);
  assert.match(calls, /logs -n e2e-harness-hangs .*--previous/);
  assert.match(calls, /delete namespace e2e-harness-hangs --wait=false\n$/);
  await readFile(join(reports, 'harness-hangs', 'routers-before.log'));
});

test('names that are none, or that need the local cluster, are refused before anything is set up', async () => {
  await rm(join(folder, 'calls'), { force: true });
  const unknown = start('run.ts', 'no-such-scenario');
  assert.equal(unknown.code, 2);
  assert.match(unknown.said, /there is no scenario no-such-scenario; there are core, schemas/);
  const elsewhere = start('run.ts', 'install', 'node-cut');
  assert.equal(elsewhere.code, 2);
  assert.match(elsewhere.said, /node-cut cuts the link of a node, which only the local cluster/);
  assert.match(elsewhere.said, /without KUBECONFIG/);
  await assert.rejects(readFile(join(folder, 'calls')), 'kubectl was called');
});
