// Runs that are done, as a file to go on from, and what they add up to.

import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { RunResult } from './run.ts';

/** One line of the state file. */
export interface DoneRun extends RunResult {
  readonly run: number;
  readonly seed: number;
  readonly scenario: string;
  readonly members: number;
}

/** The runs of a state file; empty where there is none. Throws for one that is not as it was written. */
export function readDone(file: string): readonly DoneRun[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line, at) => {
    try {
      return JSON.parse(line) as DoneRun;
    } catch {
      throw new Error(`${file}:${at + 1}: is damaged; remove the file or begin anew with --fresh`);
    }
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
  const head = `${String(run).padStart(4)}  ${scenario.padEnd(18)} ${members}  ${outcome.padEnd(9)}`;
  return `${head} ${figures.join(', ')}`;
}

export interface Percentiles {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export interface Summary {
  /** Runs that came to their end, discarded ones left out. */
  readonly runs: number;
  readonly passed: number;
  readonly failed: number;
  readonly discarded: number;
  readonly lostWrites: number;
  readonly nonLinearizable: number;
  readonly operations: number;
  readonly unanswered: number;
  readonly failoverMs: Percentiles;
  readonly transferMs: Percentiles;
  readonly recoveryMs: Percentiles;
}

export function summarize(all: readonly DoneRun[]): Summary {
  const counted = all.filter(({ outcome }) => outcome !== 'discarded');
  const sum = (valueOf: (done: DoneRun) => number): number =>
    counted.reduce((total, done) => total + valueOf(done), 0);
  return {
    runs: counted.length,
    passed: counted.filter(({ outcome }) => outcome === 'passed').length,
    failed: counted.filter(({ outcome }) => outcome === 'failed').length,
    discarded: all.length - counted.length,
    lostWrites: sum(({ lostWrites }) => lostWrites),
    nonLinearizable: sum(({ linearizable }) => Number(!linearizable)),
    operations: sum(({ operations }) => operations),
    unanswered: sum(({ unanswered }) => unanswered),
    failoverMs: percentilesOf(counted.flatMap(({ failoverMs }) => failoverMs)),
    transferMs: percentilesOf(counted.flatMap(({ transferMs }) => transferMs)),
    recoveryMs: percentilesOf(
      counted.filter(({ outcome }) => outcome === 'passed').map(({ recoveryMs }) => recoveryMs),
    ),
  };
}

/** By nearest rank. */
export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number | null => sorted[Math.ceil(share * sorted.length) - 1] ?? null;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? null };
}

/** A table of the scenarios, in Markdown. */
export function tableOf(all: readonly DoneRun[]): string {
  const header = [
    'scenario',
    'runs',
    'failed',
    'discarded',
    'lost writes',
    'not linearizable',
    'operations',
    'open',
    'well again, ms, at most',
  ];
  const rows = [...new Set(all.map(({ scenario }) => scenario))].map((scenario) => {
    const of = summarize(all.filter((done) => done.scenario === scenario));
    const { runs, failed, discarded, lostWrites, nonLinearizable, operations, unanswered } = of;
    const figures = [runs, failed, discarded, lostWrites, nonLinearizable, operations, unanswered];
    return [scenario, ...figures.map(String), String(of.recoveryMs.max ?? '')];
  });
  return [header, header.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |\n`)
    .join('');
}
