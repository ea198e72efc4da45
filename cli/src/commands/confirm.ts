// Asks a person before something is done that has no way back. Where nobody can be asked nothing is done: a script says
// --yes.

import { createInterface } from 'node:readline';
import { EtlError } from '@etl-router/core';
import { type Io, printable } from '../io.ts';

/** Resolves when the answer is yes. Throws ETL_CANCELLED for any other, ETL_INVALID_ARGUMENT without a terminal. */
export async function confirm(question: string, io: Io): Promise<void> {
  if (io.stdin.isTTY !== true) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${question} Nobody can be asked, as standard input is no terminal; --yes says it beforehand`,
    );
  }
  io.err(`${question} [y/N] `);
  const answer = await readLine(io);
  if (/^y(es)?$/i.test(answer.trim())) return;
  throw new EtlError('ETL_CANCELLED', 'nothing was done');
}

export interface TypedQuestion {
  readonly question: string;
  /** What has to be typed. */
  readonly expected: string;
  /** What that is. */
  readonly what: string;
  /** How a script says it. */
  readonly beforehand: string;
}

/** Resolves when exactly that was typed. Throws as {@link confirm}. */
export async function confirmTyped(
  { question, expected, what, beforehand }: TypedQuestion,
  io: Io,
): Promise<void> {
  if (io.stdin.isTTY !== true) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${question} Nobody can be asked, as standard input is no terminal; ${beforehand} says it beforehand`,
    );
  }
  io.err(`${printable(question)} Type ${what}: `);
  if ((await readLine(io)).trim() === expected) return;
  throw new EtlError('ETL_CANCELLED', `that is not ${what}; nothing was done`);
}

/** The first line; empty where the input ends or Ctrl-C comes. */
async function readLine({ stdin, signal }: Io): Promise<string> {
  const lines = createInterface({ input: stdin, signal });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
  }
}
