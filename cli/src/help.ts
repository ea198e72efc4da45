// What the help of a command says besides its options: what it does at length, examples, exit codes. The pages of
// docs/reference/etlctl.md are made of the same values.

import type { Command } from 'commander';
import type { Output } from './output.ts';

/** Every exit code of etlctl. */
export const exitCodes = {
  '0': 'ok',
  '1': 'failure, such as a router that can not be reached',
  '2': 'usage or invalid input',
  '3': 'refused: the change is not safe, or its plan is stale',
  '4': 'not found',
  '5': 'conflict: it changed since it was read, or exists already',
  '124': 'timeout: no answer in time, what was asked may have happened',
  '128+n': 'ended by signal n, so 130 after Ctrl-C',
} as const;
export type ExitCode = keyof typeof exitCodes;

export interface Example {
  /** What it does, in a few words. */
  readonly why: string;
  readonly line: string;
}

export interface Explanation {
  /** One line, as lists of commands show it. */
  readonly summary: string;
  /** What one has to know to use it well; lines of at most 100 columns. */
  readonly about: string;
  readonly examples: readonly Example[];
  readonly exits: readonly ExitCode[];
  /** Formats of `-o`. */
  readonly outputs: readonly Output[];
}

const explanations = new WeakMap<Command, Explanation>();

/** Gives the command its description and the sections of its help. */
export function explain(command: Command, explanation: Explanation): void {
  const { summary, about, examples, exits } = explanation;
  explanations.set(command, explanation);
  command
    .summary(summary)
    .description(about === '' ? `${capital(summary)}.` : `${capital(summary)}.\n\n${about}`);
  command.addHelpText('after', () => `\n${renderExamples(examples)}\n\n${renderExits(exits)}`);
}

/** What {@link explain} was given; undefined for a command that only holds others. */
export function explanationOf(command: Command): Explanation | undefined {
  return explanations.get(command);
}

export function renderExamples(examples: readonly Example[]): string {
  const blocks = examples.map(({ why, line }) => `  # ${why}\n  ${line}`);
  return `Examples:\n${blocks.join('\n\n')}`;
}

export function renderExits(exits: readonly ExitCode[]): string {
  const lines = exits.map((code) => `  ${code.padEnd(6)} ${exitCodes[code]}`);
  return `Exit codes:\n${lines.join('\n')}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
