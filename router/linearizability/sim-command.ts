// `npm run linear -- sim`: histories of simulated clusters as files, so that any checker can be asked about them.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runSeed } from '../sim/run.ts';
import { writeHistory } from './history-file.ts';

/** Runs the seeds and names the files that were written. */
export async function writeSimulated(options: {
  readonly seeds: number;
  readonly from: number;
  readonly folder: string;
}): Promise<readonly string[]> {
  const { seeds, from, folder } = options;
  mkdirSync(folder, { recursive: true });
  const files: string[] = [];
  for (let seed = from; seed < from + seeds; seed++) {
    const file = join(folder, `${seed}.jsonl`);
    await runSeed(seed, { onHistory: (history) => writeHistory(file, history) });
    files.push(file);
  }
  return files;
}
