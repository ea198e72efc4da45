// Two checkers on the same histories: right ones, and the same spoilt. They must agree on every one, and each must
// decide; that a right one is found right is asked for too.

import { seededRandom } from '@etl-router/core';
import { checkKeys, type Verdict, verdictOf } from './check-history.ts';
import { drawOptions, generateHistory } from './generate.ts';
import { type Mutation, mutations } from './mutate.ts';
import type { Operation } from './operations.ts';

/** A history with what both say of it. */
export interface Case {
  readonly seed: number;
  /** What was done to it; `none` for one that is right. */
  readonly mutation: string;
  readonly history: readonly Operation[];
}

export interface Judged extends Case {
  readonly ours: Verdict;
  readonly theirs: Verdict;
}

/** One line of the table. */
export interface AgreementRow {
  readonly mutation: string;
  ok: number;
  illegal: number;
  undecided: number;
  disagreed: number;
}

/** Right histories from `from` on, each with a spoilt one, until there are `count` spoilt ones. */
export function makeCases(count: number, from: number): readonly Case[] {
  const cases: Case[] = [];
  let made = 0;
  for (let seed = from; made < count; seed++) {
    const { name, apply } = mutations[made % mutations.length] as Mutation;
    const history = generateHistory(drawOptions(seed));
    const spoilt = apply(history, seededRandom(seed));
    if (spoilt === undefined) continue;
    made++;
    cases.push({ seed, mutation: 'none', history }, { seed, mutation: name, history: spoilt });
  }
  return cases;
}

/** What our checker says. */
export function judge(history: readonly Operation[]): Verdict {
  return verdictOf(checkKeys(history));
}

/** Whether something is wrong with a checker, not with the history. */
export function isWrong({ mutation, ours, theirs }: Judged): boolean {
  return ours !== theirs || ours === 'undecided' || (mutation === 'none' && ours !== 'ok');
}

export function tabulate(judged: readonly Judged[]): readonly AgreementRow[] {
  const rows = new Map<string, AgreementRow>();
  for (const { mutation, ours, theirs } of judged) {
    const row = rows.get(mutation) ?? { mutation, ok: 0, illegal: 0, undecided: 0, disagreed: 0 };
    rows.set(mutation, row);
    if (ours === theirs) row[ours]++;
    else row.disagreed++;
  }
  return [...rows.values()];
}

/** The table for people. */
export function formatRows(rows: readonly AgreementRow[]): string {
  const width = Math.max(...rows.map(({ mutation }) => mutation.length), 'mutation'.length);
  const line = (name: string, ...cells: readonly (string | number)[]): string =>
    `${name.padEnd(width)}${cells.map((cell) => String(cell).padStart(11)).join('')}`;
  return [
    line('mutation', 'both ok', 'both not', 'undecided', 'disagreed'),
    ...rows.map((row) => line(row.mutation, row.ok, row.illegal, row.undecided, row.disagreed)),
  ].join('\n');
}
