// Sets of seeds that were run at different times, as files that add up: what they went through, and what failed.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Counts, Coverage } from './coverage.ts';
import { say, sayJson } from './say.ts';

/** Seeds from one to another. */
export interface Slice {
  readonly from: number;
  readonly count: number;
  readonly seconds: number;
  readonly jobs: number;
  readonly failed: readonly number[];
  readonly coverage: {
    readonly seeds: number;
    readonly counts: Partial<Counts>;
    readonly hits: Partial<Counts>;
  };
}

interface SavedSlice extends Slice {
  /** Of the sources that ran. */
  readonly sources: string;
}

/** Writes a slice to `<directory>/<first>-<last>.json`; returns the path. */
export async function saveSlice(directory: string, slice: Slice): Promise<string> {
  const name = [slice.from, slice.from + slice.count - 1].map((seed) => `${seed}`.padStart(6, '0'));
  const path = join(directory, `${name.join('-')}.json`);
  const saved: SavedSlice = { sources: await digestOfSources(), ...slice };
  await mkdir(directory, { recursive: true });
  await writeFile(path, `${JSON.stringify(saved, undefined, 2)}\n`);
  return path;
}

/** Adds up slices and judges them as one set. Returns the exit code. */
export async function mergeSlices(paths: readonly string[]): Promise<number> {
  const slices: SavedSlice[] = [];
  for (const path of paths) slices.push(JSON.parse(await readFile(path, 'utf8')) as SavedSlice);
  slices.sort((a, b) => a.from - b.from);
  const overlap = slices.find(({ from }, at) => {
    const before = slices[at - 1];
    return before !== undefined && from < before.from + before.count;
  });
  if (slices.length === 0 || overlap !== undefined) {
    say(
      overlap === undefined
        ? '--merge: name the files to add up, such as bench/results/sim/*.json'
        : `--merge: seed ${overlap.from} is in two of the files; each seed counts once`,
    );
    return 2;
  }
  const coverage = new Coverage();
  for (const slice of slices) coverage.add(Coverage.from(slice.coverage));
  const failed = slices.flatMap((slice) => slice.failed);
  const sources = [...new Set(slices.map((slice) => slice.sources))];
  const seconds = slices.reduce((sum, slice) => sum + slice.seconds, 0);
  const rate = (coverage.seeds / seconds).toFixed(1);
  say(
    `${coverage.seeds} seeds in ${slices.length} slices, ${seconds.toFixed(0)} s, ${rate} a second`,
  );
  if (sources.length > 1) say(`they ran ${sources.length} versions of the sources`);
  for (const [name, count] of Object.entries(coverage.counts)) {
    const hits = coverage.hits[name as keyof Counts];
    say(`${name.padEnd(20)} ${String(count).padStart(12)} in ${hits} seeds`);
  }
  if (failed.length > 0) say(`failed: ${failed.join(' ')}`);
  const { missing } = coverage;
  for (const line of missing) say(`not enough of ${line}`);
  const { seeds, counts, hits } = coverage;
  sayJson({ sim: { seeds, seconds, failed, counts, hits, sources }, missing });
  return failed.length > 0 || missing.length > 0 ? 1 : 0;
}

/** Of everything that a seed depends on: the router and the simulator. */
async function digestOfSources(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of ['../src', '../sim', '../../core/src', '../../pipeline/src']) {
    const root = fileURLToPath(new URL(folder, import.meta.url));
    const names = await readdir(root, { recursive: true });
    for (const name of names.filter((file) => file.endsWith('.ts')).sort())
      hash.update(name).update(await readFile(join(root, name)));
  }
  return hash.digest('hex').slice(0, 12);
}
