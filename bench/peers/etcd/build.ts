// etcd's binaries that bench/raft.ts compares against: the one the system has, and a current release built from its
// own Go modules. The build needs Go and, the first time, a module proxy; the result stays in .cache/.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';

const here = import.meta.dirname;
const cache = resolve(here, '../../../.cache/etcd');
const sources = ['go.mod', 'go.sum', 'main.go'];

export interface Etcd {
  readonly binary: string;
  readonly version: string;
  /** What built it. */
  readonly go: string;
}

/** The system's etcd; undefined where none is installed. */
export function systemEtcd(): Etcd | undefined {
  try {
    return describe('etcd');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The release that go.mod names, built now unless it was before; undefined without Go. Takes a minute and says so. */
export function buildEtcd(): Etcd | undefined {
  let go: string;
  try {
    go = execFileSync('go', ['version'], { cwd: here, encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const hash = createHash('sha256').update(go);
  for (const file of sources) hash.update(readFileSync(join(here, file)));
  const directory = join(cache, hash.digest('hex').slice(0, 16));
  const binary = join(directory, 'etcd');
  if (!existsSync(binary)) {
    console.error('building etcd; this takes a minute or two, once');
    mkdirSync(directory, { recursive: true });
    const args = ['build', '-trimpath', '-o', `${binary}.part`, '.'];
    execFileSync('go', args, { cwd: here, stdio: ['ignore', 'ignore', 'inherit'] });
    renameSync(`${binary}.part`, binary);
  }
  return describe(binary);
}

function describe(binary: string): Etcd {
  const env = { PATH: process.env['PATH'] };
  const text = execFileSync(binary, ['--version'], { encoding: 'utf8', env });
  const [, version = 'unknown'] = /^etcd Version: (\S+)/m.exec(text) ?? [];
  const [, go = 'unknown'] = /^Go Version: (\S+)/m.exec(text) ?? [];
  return { binary, version, go };
}
