// What this build is. The bundler replaces the two constants; from source, package.json and git say it, by the rule by
// which the router tells its own.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { EtlError } from '@etl-router/core';

declare const ETL_VERSION: string | undefined;
declare const ETL_COMMIT: string | undefined;

/** Version of the product, semver. */
export const productVersion: string =
  typeof ETL_VERSION === 'string' ? ETL_VERSION : sourceVersion();

/** Commit it was built from, short, or `unknown`. */
export const productCommit: string = typeof ETL_COMMIT === 'string' ? ETL_COMMIT : sourceCommit();

function sourceVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { readonly version?: string };
  if (version !== undefined) return version;
  throw new EtlError('ETL_INTERNAL', 'package.json names no version');
}

/** Asks git only within the project's own clone: another repository around it would name a commit of its own. */
function sourceCommit(): string {
  const root = new URL('../../', import.meta.url);
  if (!existsSync(new URL('.git', root))) return 'unknown';
  try {
    const args = ['rev-parse', '--short', 'HEAD'];
    return execFileSync('git', args, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 2000,
    }).trim();
  } catch {
    return 'unknown';
  }
}
