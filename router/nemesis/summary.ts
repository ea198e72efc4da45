// Runs that are done, as a file to go on from, and what they add up to.

import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import type { RunResult } from './run.ts';

/** One line of the state file. */
export interface DoneRun extends RunResult {
  readonly run: number;
  readonly seed: number;
  readonly scenario: string;
  readonly members: number;
  /** Of the sources that were played. */
  readonly commit: string;
}

/** The runs of a state file; empty where there is none. Throws for one that is not as it was written. */
export function readDone(file: string): readonly DoneRun[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line, at) => {
    try {
      const done = JSON.parse(line) as Partial<DoneRun>;
      if (done.commit !== undefined && done.runMs !== undefined) return done as DoneRun;
    } catch {}
    throw new Error(
      `${file}:${at + 1}: is damaged or of another version; remove the file or begin anew with --fresh`,
    );
  });
}

export function appendDone(file: string, done: DoneRun): void {
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${JSON.stringify(done)}\n`);
}

/** What is told of a run in one line. */
export function lineOf(done: DoneRun): string {
  const { run, scenario, members, outcome, operations, unanswered, operationsPerSecond } = done;
  const figures = [
    `${operations} operations`,
    `${unanswered} open`,
    `${operationsPerSecond}/s before`,
    ...(outcome === 'passed'
      ? [`well after ${done.recoveryMs} ms (${done.loadingMs} of them loading)`]
      : []),
    ...(done.failoverMs.length > 0 ? [`failover ${done.failoverMs.join(' ')} ms`] : []),
    ...(done.transferMs.length > 0 ? [`transfer ${done.transferMs.join(' ')} ms`] : []),
  ];
  const seconds = `${(done.runMs / 1000).toFixed(1)} s`.padStart(6);
  const head = `${String(run).padStart(4)}  ${scenario.padEnd(18)} ${members}  ${outcome.padEnd(9)} ${seconds} `;
  return `${head} ${figures.join(', ')}`;
}

export interface Percentiles {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export interface Summary extends Sums {
  /** Of the sources that were played. */
  readonly commits: readonly string[];
  /** Each scenario for itself, in the order in which they were first played. */
  readonly scenarios: { readonly [scenario: string]: Sums };
}

/** What runs add up to. */
export interface Sums {
  /** Runs that came to their end, discarded ones left out. */
  readonly runs: number;
  readonly passed: number;
  readonly failed: number;
  readonly discarded: number;
  readonly lostWrites: number;
  readonly nonLinearizable: number;
  readonly operations: number;
  readonly unanswered: number;
  /** Requests that were sent to two members at once and answered by both. */
  readonly doubled: number;
  readonly failoverMs: Percentiles;
  readonly transferMs: Percentiles;
  /** From the last command that ended the harm until every member had an answered write pass through it. */
  readonly recoveryMs: Percentiles;
  /** The part of it in which processes loaded their code and their data. */
  readonly loadingMs: Percentiles;
  /** Recovery without that part, which is held against 10 s. */
  readonly recoveryLoadedMs: Percentiles;
  /** How long a run took, discarded ones included. */
  readonly runMs: Percentiles;
}

export function summarize(all: readonly DoneRun[]): Summary {
  const names = new Set(all.map(({ scenario }) => scenario));
  const ofScenario = (name: string): Sums =>
    sumsOf(all.filter(({ scenario }) => scenario === name));
  return {
    ...sumsOf(all),
    commits: [...new Set(all.map(({ commit }) => commit))],
    scenarios: Object.fromEntries([...names].map((name) => [name, ofScenario(name)])),
  };
}

function sumsOf(all: readonly DoneRun[]): Sums {
  const passed = all.filter(({ outcome }) => outcome === 'passed');
  const counted = all.filter(({ outcome }) => outcome !== 'discarded');
  const sum = (valueOf: (done: DoneRun) => number): number =>
    counted.reduce((total, done) => total + valueOf(done), 0);
  return {
    runs: counted.length,
    passed: passed.length,
    failed: counted.filter(({ outcome }) => outcome === 'failed').length,
    discarded: all.length - counted.length,
    lostWrites: sum(({ lostWrites }) => lostWrites),
    nonLinearizable: sum(({ linearizable }) => Number(!linearizable)),
    operations: sum(({ operations }) => operations),
    unanswered: sum(({ unanswered }) => unanswered),
    doubled: sum(({ doubled }) => doubled),
    failoverMs: percentilesOf(counted.flatMap(({ failoverMs }) => failoverMs)),
    transferMs: percentilesOf(counted.flatMap(({ transferMs }) => transferMs)),
    recoveryMs: percentilesOf(passed.map(({ recoveryMs }) => recoveryMs)),
    loadingMs: percentilesOf(passed.map(({ loadingMs }) => loadingMs)),
    recoveryLoadedMs: percentilesOf(
      passed.map(({ recoveryMs, loadingMs }) => recoveryMs - loadingMs),
    ),
    runMs: percentilesOf(all.map(({ runMs }) => runMs)),
  };
}

/** By nearest rank. */
export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number | null => sorted[Math.ceil(share * sorted.length) - 1] ?? null;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? null };
}

/** A table of the scenarios, in Markdown; percentiles are p50, p99 and the longest. */
export function tableOf(summary: Summary): string {
  const header = [
    ...['scenario', 'runs', 'failed', 'discarded', 'lost writes', 'not linearizable'],
    ...['operations', 'open', 'doubled', 'failover ms', 'transfer ms'],
    ...['well again ms, at most', 'of them loading', 'a run s'],
  ];
  const rows = [...Object.entries(summary.scenarios), ['all', summary] as const].map(
    ([name, sums]) => {
      const { runs, failed, discarded, lostWrites, nonLinearizable } = sums;
      const counts = [runs, failed, discarded, lostWrites, nonLinearizable];
      const load = [sums.operations, sums.unanswered, sums.doubled];
      return [
        ...[name, ...[...counts, ...load].map(String)],
        ...[shown(sums.failoverMs), shown(sums.transferMs)],
        ...[`${sums.recoveryMs.max ?? ''}`, `${sums.loadingMs.max ?? ''}`],
        sums.runMs.p50 === null ? '' : (sums.runMs.p50 / 1000).toFixed(1),
      ];
    },
  );
  return [header, header.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |\n`)
    .join('');
}

function shown({ count, p50, p99, max }: Percentiles): string {
  return count === 0 ? '' : `${p50} ${p99} ${max}`;
}

/** The commit that is checked out; `unknown` outside of a repository. */
export function presentCommit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

/** Keeps a summary as `<directory>/<day>-<commit>.json`, or under another name for a part of the scenarios; returns where. */
export function saveSummary(
  directory: string,
  summary: Summary,
  about: { readonly name: string; readonly command: string },
): string {
  const commit = summary.commits.at(-1) ?? 'none';
  const [first] = cpus();
  const machine = {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
  const day = new Date().toISOString().slice(0, 10);
  const part = about.name === 'all' ? '' : `-${about.name}`;
  const file = join(directory, `${day}-${commit}${part}.json`);
  mkdirSync(directory, { recursive: true });
  const kept = { bench: 'nemesis', commit, command: about.command, machine, ...summary };
  writeFileSync(file, `${JSON.stringify(kept, undefined, 2)}\n`);
  return file;
}
