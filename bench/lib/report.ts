// How results look: a table for people, one line of JSON for machines, and a file to keep with the raw rounds.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import type { BenchResult, Ratio } from './bench.ts';
import { rounded } from './statistics.ts';

const root = resolve(import.meta.dirname, '../..');

/** Where it ran. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly os: string;
  readonly node: string;
}

/** The last line of a benchmark. */
export interface Outcome {
  readonly bench: string;
  /** Short hash, with `+changes` where tracked files differ from it. */
  readonly commit: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly ratios: { readonly [name: string]: number };
}

/** Columns as wide as their widest cell; the first one left, the others right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] as number;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}

/** The ratios, their bounds and whether they hold. */
export function formatRatios(ratios: readonly Ratio[]): string {
  return formatTable([
    ['ratio', 'measured', 'required', ''],
    ...ratios.map(({ name, value, required }) => [
      name,
      `${rounded(value)} x`,
      required === undefined ? '-' : `>= ${required} x`,
      required === undefined ? '' : value >= required ? 'holds' : 'MISSED',
    ]),
  ]);
}

/** True when every ratio keeps its bound. */
export function allHold(ratios: readonly Ratio[]): boolean {
  return ratios.every(({ value, required }) => required === undefined || value >= required);
}

export function outcomeOf(bench: string, rounds: number, result: BenchResult): Outcome {
  return {
    bench,
    commit: currentCommit(),
    machine: thisMachine(),
    rounds,
    ratios: Object.fromEntries(result.ratios.map(({ name, value }) => [name, rounded(value)])),
  };
}

/** Writes bench/results/NAME/DATE-COMMIT.json and returns its path from the root. */
export function saveResult(outcome: Outcome, result: BenchResult, nowMs: number): string {
  const date = new Date(nowMs).toISOString().slice(0, 10);
  const path = join('bench/results', outcome.bench, `${date}-${outcome.commit}.json`);
  mkdirSync(join(root, 'bench/results', outcome.bench), { recursive: true });
  const kept = { ...outcome, settings: result.settings, raw: result.raw };
  writeFileSync(join(root, path), `${JSON.stringify(kept, undefined, 2)}\n`);
  return path;
}

function currentCommit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
  return `${git('rev-parse', '--short', 'HEAD')}${changed ? '+changes' : ''}`;
}

function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    os: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}
