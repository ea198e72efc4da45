// `npm run linear -- agree`: makes histories, spoils them, and asks both checkers. What they do not agree on is kept as
// files, so that it can be looked at.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AgreementRow,
  type Case,
  formatRows,
  isWrong,
  type Judged,
  judge,
  makeCases,
  tabulate,
} from './agreement.ts';
import { writeHistory } from './history-file.ts';
import { askPorcupine, buildPorcupine } from './porcupine.ts';

export interface AgreeOptions {
  /** Spoilt ones; there are as many right ones. */
  readonly histories: number;
  readonly from: number;
  readonly timeoutS: number;
  /** Keeps the summary in bench/results/linearizability/. */
  readonly isSaved: boolean;
  readonly say: (line: string) => void;
}

interface Summary {
  readonly command: string;
  readonly histories: number;
  readonly spoilt: number;
  readonly operations: number;
  readonly agreed: number;
  readonly disagreed: number;
  readonly undecided: number;
  readonly oursS: number;
  readonly theirsS: number;
  readonly rows: readonly AgreementRow[];
}

/** The exit code: 0 when both agree on all. */
export async function agree(options: AgreeOptions): Promise<number> {
  const { histories, from, timeoutS, isSaved, say } = options;
  await buildPorcupine();
  const cases = makeCases(histories, from);
  const folder = mkdtempSync(join(tmpdir(), 'linearizability-'));
  const files = cases.map(({ seed, mutation }) => {
    return join(folder, `${seed}-${mutation.replaceAll(' ', '-')}.jsonl`);
  });
  for (const [at, { history }] of cases.entries()) writeHistory(files[at] as string, history);
  const startMs = performance.now();
  const ours = cases.map(({ history }) => judge(history));
  const middleMs = performance.now();
  const theirs = await askPorcupine(files, timeoutS);
  const endMs = performance.now();
  const judged = cases.map((one, at): Judged => {
    return { ...one, ours: ours[at] as Judged['ours'], theirs: theirs[at] as Judged['theirs'] };
  });
  const rows = tabulate(judged);
  say(formatRows(rows));
  const wrong = judged.filter(isWrong);
  for (const one of wrong) {
    const file = files[judged.indexOf(one)] as string;
    say(`${file}: ours says ${one.ours}, porcupine ${one.theirs}`);
  }
  if (wrong.length === 0) rmSync(folder, { recursive: true });
  const summary: Summary = {
    command: `npm run linear -- agree --histories ${histories} --from ${from}`,
    ...{ histories: cases.length, spoilt: histories, operations: countOf(cases) },
    agreed: judged.filter((one) => one.ours === one.theirs).length,
    disagreed: judged.filter((one) => one.ours !== one.theirs).length,
    undecided: judged.filter((one) => one.ours === 'undecided').length,
    ...{ oursS: toS(middleMs - startMs), theirsS: toS(endMs - middleMs), rows },
  };
  if (isSaved) say(`kept in ${save(summary)}`);
  say(JSON.stringify(summary));
  return wrong.length === 0 ? 0 : 1;
}

function countOf(cases: readonly Case[]): number {
  return cases.reduce((sum, { history }) => sum + history.length, 0);
}

function toS(ms: number): number {
  return Math.round(ms / 10) / 100;
}

function save(summary: Summary): string {
  const commit = execFileSync('git', ['rev-parse', '--short=7', 'HEAD'], { encoding: 'utf8' });
  const folder = 'bench/results/linearizability';
  const file = `${folder}/${new Date().toISOString().slice(0, 10)}-${commit.trim()}.json`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...summary, commit: commit.trim() }, undefined, 2)}\n`);
  return file;
}
