// `npm run linear`: checks histories of clients, and holds our checker against another.

import { parseArgs } from 'node:util';
import { isEtlError } from '@etl-router/core';
import { agree } from './agree-command.ts';
import { check } from './check-command.ts';
import { defaultBudget } from './check-history.ts';

const usage = `usage: npm run linear -- check [--porcupine] [--timeout S] [--max-steps N] FILE...
       npm run linear -- sim [--seeds N] [--from SEED] [--timeout S] --to FOLDER
       npm run linear -- agree [--histories N] [--from SEED] [--timeout S] [--save]

  check   says of each history (docs/specs/0008-linearizability.md) whether it is linearizable, and why it is not
  sim     runs seeds of the simulator, writes the history of each to a file, and has them checked by both
  agree   makes N right histories and N spoilt ones, and asks this checker and porcupine about each

  --to FOLDER    where the files go
  --porcupine    asks porcupine about the same files too; needs Go
  --timeout S    seconds for one file; beyond it the answer is "undecided", which is a failure (300)
  --max-steps N  steps of the model for one key (${defaultBudget.maxSteps})
  --save         keeps the summary in bench/results/linearizability/

Exit codes: 0 all is right, 1 something is not or could not be decided, 2 wrong usage or unreadable files.`;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

class UsageError extends Error {}

async function main(): Promise<number> {
  const { values, positionals } = parse();
  if (values.help) {
    say(usage);
    return 0;
  }
  const [command, ...files] = positionals;
  const timeoutS = countOf('timeout', values.timeout, 86_400);
  if (command === 'check') {
    if (files.length === 0) throw new UsageError('name the files to check');
    const maxSteps = countOf('max-steps', values['max-steps'], 1e12);
    return await check({ files, maxSteps, timeoutS, asksPorcupine: values.porcupine, say });
  }
  if (command === 'sim') {
    if (values.to === undefined) throw new UsageError('--to is missing: a folder for the files');
    const seeds = countOf('seeds', values.seeds, 100_000);
    const from = countOf('from', values.from, 2 ** 31);
    // The simulator comes along only where it is asked for.
    const { writeSimulated } = await import('./sim-command.ts');
    const simulated = await writeSimulated({ seeds, from, folder: values.to });
    const { maxSteps } = defaultBudget;
    return await check({ files: simulated, maxSteps, timeoutS, asksPorcupine: true, say });
  }
  if (command === 'agree') {
    if (files.length > 0) throw new UsageError(`agree takes no files, but was given ${files[0]}`);
    const histories = countOf('histories', values.histories, 20_000);
    const from = countOf('from', values.from, 2 ** 31);
    return await agree({ histories, from, timeoutS, isSaved: values.save, say });
  }
  throw new UsageError(command === undefined ? 'a command is missing' : `there is no "${command}"`);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        porcupine: { type: 'boolean', default: false },
        save: { type: 'boolean', default: false },
        timeout: { type: 'string', default: '300' },
        'max-steps': { type: 'string', default: String(defaultBudget.maxSteps) },
        histories: { type: 'string', default: '200' },
        seeds: { type: 'string', default: '100' },
        to: { type: 'string' },
        from: { type: 'string', default: '1' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function countOf(flag: string, text: string, most: number): number {
  const count = Number(text);
  if (/^[0-9]+$/.test(text) && count >= 1 && count <= most) return count;
  throw new UsageError(`--${flag} is "${text}"; give a whole number from 1 to ${most}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) process.stderr.write(`${error.message}\n\n${usage}\n`);
  else if (isEtlError(error)) process.stderr.write(`${error.message}\n`);
  else throw error;
  process.exitCode = 2;
}
