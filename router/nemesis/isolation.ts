// Runs the runner in namespaces of its own: network, mounts and processes. Nothing it sends can leave the machine, and
// however it ends, kill -9 included, its members, links and mounts end with it.

import { spawn, spawnSync } from 'node:child_process';
import process from 'node:process';

/** What a scenario needs of the machine: separate networks, file systems of their own. */
export type Need = 'netns' | 'disk';
export const needs: readonly Need[] = ['netns', 'disk'];

const tools: { readonly [need in Need]: readonly string[] } = {
  netns: ['unshare', 'nsenter', 'ip', 'mount'],
  disk: ['unshare', 'mount', 'umount', 'mkfs.ext4'],
};

/** Why a need can not be met here; undefined: it can. */
export function whyNot(need: Need): string | undefined {
  if (process.getuid?.() !== 0) return 'it takes root';
  const missing = tools[need].filter(
    (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
  );
  if (missing.length > 0)
    return `${missing.join(', ')}: not found; install iproute2, util-linux, e2fsprogs`;
  const tried = spawnSync('unshare', [...flagsOf([need]), 'true'], { encoding: 'utf8' });
  return tried.status === 0 ? undefined : tried.stderr.trim() || 'unshare is refused';
}

function flagsOf(used: readonly Need[]): readonly string[] {
  return [
    ...(used.includes('netns') ? ['--net'] : []),
    ...['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'],
  ];
}

/** Runs a program of this Node in namespaces and resolves with its exit code. */
export function runIsolated(used: readonly Need[], args: readonly string[]): Promise<number> {
  const child = spawn(
    'unshare',
    [...flagsOf(used), process.execPath, ...process.execArgv, ...args],
    { stdio: 'inherit' },
  );
  // The terminal's Ctrl-C reaches the runner inside too, which then ends its run by itself.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
