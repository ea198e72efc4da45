// docs/reference/etlctl.md, from the commands as commander has them.

import { Readable } from 'node:stream';
import { ManualClock } from '@etl-router/core';
import type { Command, Help } from 'commander';
import { createProgram } from '../../cli/src/program.ts';
import { table } from './markdown.ts';

export function renderCommands(): string {
  const program = createProgram(
    {
      out: () => {},
      err: () => {},
      stdin: Readable.from([]),
      env: {},
      clock: new ManualClock(0),
      isTty: false,
      signal: new AbortController().signal,
    },
    { exitCode: 0 },
  );
  const help = program.createHelp();
  const commands = leaves(program, help);
  const rows = commands.map(({ command }) => optionRows(command, help));
  const shared = (rows[0] ?? []).filter(([flags]) =>
    rows.every((others) => others.some(([other]) => other === flags)),
  );
  const commons = shared.map(([flags]) => flags as string);
  return `# etlctl

${program.description()}

## Options of every command

${table(['option', 'meaning'], shared)}
They stand before or after the command's name. \`get\`, \`dlq ls\` and \`dlq show\` with \`-o json\` print the object, or a List
as kubectl does; every other command with \`-o json\` prints one object of \`command\`, \`ok\`, \`summary\`, \`result\` and
\`error\`, whether it succeeds or fails. Data goes to standard output, words to standard error.

## Exit codes

${table(
  ['code', 'meaning'],
  [
    ['0', 'ok'],
    ['1', 'failure'],
    ['2', 'usage or invalid input'],
    ['3', 'refused: the change is not safe, or its plan is stale'],
    ['4', 'not found'],
    ['5', 'conflict'],
    ['124', 'timeout'],
    ['128+n', 'ended by signal n'],
  ],
)}
Which [error](errors.md) ends with which code stands beside it.

${commands.map(({ name, command }) => render(name, command, help, commons)).join('\n')}`;
}

interface Leaf {
  readonly name: string;
  readonly command: Command;
}

/** Every command that does something, with its whole name. */
function leaves(parent: Command, help: Help, before = 'etlctl'): Leaf[] {
  return help
    .visibleCommands(parent)
    .filter((command) => command.name() !== 'help')
    .flatMap((command) => {
      const name = `${before} ${command.name()}`;
      return command.commands.length > 0 ? leaves(command, help, name) : [{ name, command }];
    });
}

function optionRows(command: Command, help: Help): string[][] {
  return help
    .visibleOptions(command)
    .map((option) => [`\`${help.optionTerm(option)}\``, help.optionDescription(option)]);
}

function render(name: string, command: Command, help: Help, commons: readonly string[]): string {
  const args = help
    .visibleArguments(command)
    .map((argument) => [`\`${help.argumentTerm(argument)}\``, help.argumentDescription(argument)]);
  const options = optionRows(command, help).filter(([flags]) => !commons.includes(flags as string));
  const rows = [...args, ...options];
  const usage = command.usage().replace('[options] ', '').replace('[options]', '').trim();
  return `## ${name}

\`${`${name} ${usage}`.trim()}\`: ${command.description()}.
${rows.length === 0 ? '' : `\n${table(['argument or option', 'meaning'], rows)}`}`;
}
