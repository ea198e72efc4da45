// Runs buf on the project's .proto files or on a copy of them that a test changed.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';

export const protoRoot: string = resolve(import.meta.dirname, '../..');
const launcher = resolve(protoRoot, '../node_modules/@bufbuild/buf/bin/buf');

export interface BufResult {
  readonly status: number | null;
  readonly output: string;
}

/** Runs buf in `directory` and returns its exit status and all it printed. */
export function buf(args: readonly string[], directory: string = protoRoot): BufResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], {
    cwd: directory,
    encoding: 'utf8',
  });
  return { status, output: `${stdout}${stderr}` };
}

/** Calls `use` with a copy of the .proto files in which `file` was changed by `change`. */
export function withChanged(
  file: string,
  change: (text: string) => string,
  use: (directory: string) => void,
): void {
  const directory = mkdtempSync(join(tmpdir(), 'etl-proto-'));
  try {
    cpSync(join(protoRoot, 'etl'), join(directory, 'etl'), { recursive: true });
    cpSync(join(protoRoot, 'buf.yaml'), join(directory, 'buf.yaml'));
    const path = join(directory, file);
    const before = readFileSync(path, 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`${file} holds nothing of what was to be changed`);
    writeFileSync(path, after);
    use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
