// Looks at the data directory before anything is opened in it, so that a wrong one is refused by the name of its setting
// and a doubtful one is warned about.

import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  type StatsFs,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { EtlError } from '@etl-router/core';

/** What statfs(2) says of file systems that need a word. */
const doubtful: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'is in memory (tmpfs): what was acknowledged is gone when the machine restarts'],
  [0x858458f6, 'is in memory (ramfs): what was acknowledged is gone when the machine restarts'],
  [0x6969, 'is on NFS, whose locks and syncs depend on its server; use a local disk'],
]);
const leastFreeShare = 0.01;

/**
 * Makes the directory if it is not there, and returns what to warn about. Throws ETL_CONFIG_INVALID where it can not be
 * used.
 */
export function prepareDataDirectory(path: string): readonly string[] {
  const absolute = resolve(path);
  try {
    makeDirectory(absolute);
    if (!statSync(absolute).isDirectory()) throw refused(absolute, 'is not a directory');
    accessSync(absolute, constants.R_OK | constants.W_OK | constants.X_OK);
    return volumeWarnings(absolute, statfsSync(absolute));
  } catch (error) {
    if (error instanceof EtlError) throw error;
    throw refused(absolute, `can not be used (${(error as NodeJS.ErrnoException).code})`, error);
  }
}

/** One level at a time: Node's own recursion does not end where a file system takes no directories, such as /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  makeDirectory(parent);
  if (!statSync(parent).isDirectory()) throw refused(parent, 'is not a directory');
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** What to say of the volume of a directory: where it is, and that it is all but full. Counts are of blocks. */
export function volumeWarnings(
  path: string,
  { type, bavail, blocks }: Pick<StatsFs, 'type' | 'bavail' | 'blocks'>,
): readonly string[] {
  const warnings: string[] = [];
  const doubt = doubtful.get(type);
  if (doubt !== undefined) warnings.push(`--data-dir: ${path} ${doubt}`);
  if (bavail < blocks * leastFreeShare)
    warnings.push(`--data-dir: less than 1 % of the volume of ${path} is free`);
  return warnings;
}

function refused(path: string, why: string, cause?: unknown): EtlError {
  return new EtlError('ETL_CONFIG_INVALID', `--data-dir: ${path} ${why}; give another directory`, {
    cause,
  });
}
