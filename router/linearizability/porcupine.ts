// The other checker: builds the Go program beside this file and asks it about histories. Go must be there; without it
// nothing is cross-checked, and that is an error, never a pass.

import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EtlError } from '@etl-router/core';
import type { Verdict } from './check-history.ts';

const run = promisify(execFile);

const source = fileURLToPath(new URL('porcupine/', import.meta.url));
const cache = fileURLToPath(new URL('../../.cache/linearizability/', import.meta.url));
const program = `${cache}porcupine`;

/** Files in one call: a command line has an end. */
const filesPerCall = 500;

/** Builds the program; Go's own cache makes it fast from the second time on. */
export async function buildPorcupine(): Promise<void> {
  await mkdir(cache, { recursive: true });
  // What is there by then is used: versions are those of go.sum, and no other toolchain is fetched.
  const env = { ...process.env, GOTOOLCHAIN: 'local', GOWORK: 'off' };
  const args = ['build', '-trimpath', '-buildvcs=false', '-mod=readonly', '-o', program, '.'];
  try {
    await run('go', args, { cwd: source, env });
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: string };
    const why =
      code === 'ENOENT'
        ? 'go is not on the PATH; install Go 1.24 or later'
        : `go build failed: ${stderr}`;
    throw new EtlError('ETL_UNSUPPORTED', `porcupine can not be built: ${why}`, { cause });
  }
}

/** What porcupine says of each file, in their order. {@link buildPorcupine} comes first. */
export async function askPorcupine(
  files: readonly string[],
  timeoutS: number,
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (let at = 0; at < files.length; at += filesPerCall) {
    const some = files.slice(at, at + filesPerCall);
    const { stdout } = await run(program, ['-timeout', `${timeoutS}s`, '--', ...some], {
      maxBuffer: 64 * 1024 * 1024,
    });
    const told = new Map(
      stdout.split('\n').map((line) => {
        const tab = line.lastIndexOf('\t');
        return [line.slice(0, tab), line.slice(tab + 1)] as const;
      }),
    );
    verdicts.push(...some.map((file) => toVerdict(file, told.get(file))));
  }
  return verdicts;
}

function toVerdict(file: string, word: string | undefined): Verdict {
  if (word === 'ok' || word === 'illegal') return word;
  if (word === 'unknown') return 'undecided';
  throw new EtlError('ETL_INTERNAL', `porcupine said nothing of ${file}`);
}
