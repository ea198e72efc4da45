// Checks a history: each key by itself, which is as good as all at once (Herlihy and Wing), then what only shows
// between keys, and the reads that may be old.

import { type Budget, checkKey, type KeyResult } from './check-key.ts';
import { modelOf } from './model.ts';
import { keyOf, type Operation } from './operations.ts';
import { checkRevisions, type Problem } from './revisions.ts';
import { checkStaleReads } from './stale-reads.ts';

/** `undecided`: the budget was used up. Never to be taken for `ok`. */
export type Verdict = 'ok' | 'illegal' | 'undecided';

export interface KeyReport {
  readonly key: string;
  readonly operations: number;
  readonly result: KeyResult;
}

export interface HistoryReport {
  readonly verdict: Verdict;
  /** Of the keys alone: what other checkers say too. */
  readonly linearizable: Verdict;
  readonly operations: number;
  /** Operations whose outcome is not known. */
  readonly unanswered: number;
  /** Operations that were refused, of which nothing is checked. */
  readonly refused: number;
  readonly keys: readonly KeyReport[];
  readonly problems: readonly Problem[];
}

export const defaultBudget: Budget = { maxSteps: 20_000_000 };

/** Whether the history is linearizable, and what its revisions and stale reads say. The budget is that of each key. */
export function checkHistory(
  history: readonly Operation[],
  budget: Budget = defaultBudget,
): HistoryReport {
  const keys = checkKeys(history, budget);
  const problems = [...checkRevisions(history), ...checkStaleReads(history)];
  const linearizable = verdictOf(keys);
  return {
    verdict: problems.length > 0 ? 'illegal' : linearizable,
    linearizable,
    operations: history.length,
    unanswered: history.filter(({ out }) => out === null).length,
    refused: history.filter(({ out }) => out?.error === 'refused').length,
    keys,
    problems,
  };
}

/** The keys of a history, each checked alone. */
export function checkKeys(
  history: readonly Operation[],
  budget: Budget = defaultBudget,
): readonly KeyReport[] {
  return [...byKey(history)].map(([key, operations]) => ({
    key,
    operations: operations.length,
    result: checkKey(operations, modelOf(operations[0] as Operation), budget),
  }));
}

/** One that is illegal is, whatever could not be decided beside it. */
export function verdictOf(keys: readonly KeyReport[]): Verdict {
  const verdicts = new Set(keys.map(({ result }) => result.verdict));
  if (verdicts.has('illegal')) return 'illegal';
  return verdicts.has('undecided') ? 'undecided' : 'ok';
}

function byKey(history: readonly Operation[]): ReadonlyMap<string, readonly Operation[]> {
  const keys = new Map<string, Operation[]>();
  for (const operation of history) {
    if (operation.op === 'getStale') continue;
    const key = keyOf(operation);
    const operations = keys.get(key);
    if (operations === undefined) keys.set(key, [operation]);
    else operations.push(operation);
  }
  return keys;
}
