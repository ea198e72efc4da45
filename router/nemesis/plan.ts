// Which scenario a run plays, with how many members and which random numbers: a function of the command line alone, so
// that runs can be done in several calls and any of them again.

import type { Need } from './isolation.ts';
import type { Scenario } from './scenario.ts';
import { scenarios } from './scenarios.ts';

export interface PlanOptions {
  readonly seed: number;
  /** Undefined: three, and in every third round of the scenarios five. */
  readonly members: number | undefined;
  /** Name of the one scenario to play. */
  readonly only: string | undefined;
  /** What is not there to be used. */
  readonly without: readonly Need[];
}

export interface PlannedRun {
  readonly run: number;
  readonly seed: number;
  readonly scenario: Scenario;
  readonly members: number;
}

const membersEachRound: readonly number[] = [3, 3, 5];

/** Scenarios that a plan plays. Throws for a name that is none, and for one that needs what is left out. */
export function scenariosOf({ only, without }: PlanOptions): readonly Scenario[] {
  const possible = scenarios.filter(({ needs }) => !needs.some((need) => without.includes(need)));
  if (only === undefined) return possible;
  const chosen = scenarios.find(({ name }) => name === only);
  if (chosen === undefined)
    throw new Error(`--only ${only}: there is no such scenario; --list shows them`);
  if (!possible.includes(chosen))
    throw new Error(
      `--only ${only}: it needs ${chosen.needs.join(', ')}, which --without leaves out`,
    );
  return [chosen];
}

/** The run of that number, from 1. */
export function planRun(options: PlanOptions, run: number): PlannedRun {
  const possible = scenariosOf(options);
  const scenario = possible[(run - 1) % possible.length] as Scenario;
  const round = Math.floor((run - 1) / possible.length);
  const members = options.members ?? membersEachRound[round % membersEachRound.length] ?? 3;
  return { run, seed: options.seed + run - 1, scenario, members };
}

/** The command that plays one run again. */
export function commandOf(
  { scenario, members, seed }: PlannedRun,
  without: readonly Need[],
): string {
  const left = without.length === 0 ? '' : ` --without ${without.join(',')}`;
  return `npm run nemesis -- --only ${scenario.name} --members ${members} --seed ${seed} --runs 1 --fresh${left}`;
}
