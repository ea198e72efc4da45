// Harm to the files of a member that does not run, as bad disks and hasty hands do it.

import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '@etl-router/core';
import { oneOf } from './scenario.ts';

export type Harm = 'flip' | 'cut' | 'removal';
export const harms: readonly Harm[] = ['flip', 'cut', 'removal'];

/** The files that a member needs: every segment of its log, or the last of its snapshots. */
async function filesOf(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).toSorted();
  const snapshot = names.findLast((name) => name.endsWith('.snap'));
  return snapshot === undefined ? names.filter((name) => name.endsWith('.log')) : [snapshot];
}

/** Damages one file of a folder, drawn at random, where it holds something. Resolves with what was done. */
export async function damage(folder: string, harm: Harm, random: Random): Promise<string> {
  const names = await filesOf(folder);
  if (names.length === 0) throw new Error(`there is nothing in ${folder} to be damaged`);
  const name = oneOf(random, names);
  const file = join(folder, name);
  if (harm === 'removal') {
    await rm(file);
    return `${name} was removed`;
  }
  const bytes = await readFile(file);
  const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const at = random.below(used);
  if (harm === 'cut') {
    await truncate(file, at);
    return `${name} was cut from ${bytes.length} bytes, ${used} of them used, to ${at}`;
  }
  const bit = random.below(8);
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
  await writeFile(file, bytes);
  return `bit ${bit} of byte ${at} of ${name}, of which ${used} are used, was flipped`;
}
