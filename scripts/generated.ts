// Writes generated files, or with `check` only says which are stale or left over, and fails.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import process from 'node:process';

export interface Generated {
  /** Text by path. */
  readonly wanted: ReadonlyMap<string, string>;
  /** Files that are there now in folders where nothing else belongs. */
  readonly present: readonly string[];
  readonly check: boolean;
}

export function writeGenerated({ wanted, present, check }: Generated): void {
  for (const path of new Set([...present, ...wanted.keys()])) {
    const text = wanted.get(path);
    if (text === readText(path)) continue;
    if (check) process.exitCode = 1;
    else if (text === undefined) rmSync(path);
    else writeFileSync(path, text);
    process.stdout.write(
      check
        ? `${path} is stale: run npm run generate\n`
        : `${path} ${text === undefined ? 'removed' : 'written'}\n`,
    );
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
