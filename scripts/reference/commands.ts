// docs/reference/etlctl.md, from the commands as commander has them.

import { Readable } from 'node:stream';
import { ManualClock } from '@etl-router/core';
import type { Command, Help } from 'commander';
import { type Explanation, exitCodes, explanationOf } from '../../cli/src/help.ts';
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
  const shared = (rows[0] ?? []).filter(([flags, about]) =>
    rows.every((others) => others.some((other) => other[0] === flags && other[1] === about)),
  );
  const commons = shared.map(([flags]) => flags as string);
  return `# etlctl

${program.description()}

## Options of every command

${table(['option', 'meaning'], shared)}
They stand before or after the command's name. \`-o, --output <format>\` stands with each command, as what it offers
differs.

## Where the router is

Without a word it is the one of this machine, \`http://localhost:8080\`: that there is a kubeconfig sends no command into its
cluster. Elsewhere it is at a URL, or in Kubernetes, and never both. A flag decides before a variable, a variable before
the file:

${table(
  ['flag', 'variable', 'key of the file', 'meaning'],
  [
    ['`--server`', '`ETLCTL_SERVER`', '`server`', 'a URL'],
    [
      '`--cluster`',
      '`ETLCTL_CLUSTER`, `ETL_CLUSTER`',
      '`cluster`',
      'an EtlRouterCluster; without it the only one of the namespace',
    ],
    [
      '`--context`',
      '`ETLCTL_CONTEXT`',
      '`context`',
      'the context of the kubeconfig; alone, it also means a router in Kubernetes',
    ],
    [
      '`--kubeconfig`',
      '`KUBECONFIG`',
      '`kubeconfig`',
      'the kubeconfig; the flag alone also means a router in Kubernetes',
    ],
    [
      '`--service-account`',
      '`ETLCTL_SERVICE_ACCOUNT`',
      '`service_account`',
      'whose token the router is shown',
    ],
    [
      '–',
      '`ETLCTL_TOKEN`',
      '–',
      'the token itself, for a URL too; there is no flag, as others see command lines',
    ],
    [
      '`--namespace`',
      '`ETLCTL_NAMESPACE`',
      '`namespace`',
      'of objects, and of the EtlRouterCluster',
    ],
  ],
)}
The file is \`~/.config/etlctl/config.yaml\` (\`XDG_CONFIG_HOME\` moves it), or the one that \`ETLCTL_CONFIG\` names. In
Kubernetes etlctl reads the EtlRouterCluster and its pods, opens a port to the pod of the leader, or of whoever is ready,
through the API server, and shows the router a bearer token: that of the variable, of the service account, or your own.
Which rights that takes is in [operating a cluster](../guides/operating-a-cluster.md#who-may-do-what).

## Output

Data goes to standard output, words to standard error. \`get\`, \`dlq ls\`, \`dlq show\`, \`cluster status\` and
\`cluster members\` with \`-o json\` print the object, or a List as kubectl does. Every other command with \`-o json\`
prints one object, whether it succeeds or fails; fields are added to it, and none is taken away:

${table(
  ['field', 'meaning'],
  [
    [
      '`command`',
      'the command without its arguments; `etlctl` where the command line was not understood',
    ],
    ['`ok`', 'true when the exit code is 0'],
    ['`summary`', 'what is printed without `-o json`'],
    [
      '`result`',
      'of each command its own, or null; of `apply` a list of `kind`, `namespace`, `name`, `ok`, `outcome`, `error` and `findings`',
    ],
    ['`error`', 'null, or `code` (an [error code](errors.md)) and `message` of the first failure'],
  ],
)}
\`outcome\` of \`apply\` is \`created\`, \`configured\`, \`unchanged\`, \`valid\` (a dry run of the client), \`refused\`,
\`failed\` (the router gave no answer) or \`notSent\` (after one that failed).

No output has colours, on a terminal or elsewhere, so \`NO_COLOR\` changes nothing. Control characters in what a router
sends are printed as escapes such as \`\\x1b\`.

## Exit codes

${table(
  ['code', 'meaning'],
  Object.entries(exitCodes).toSorted(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10)),
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
  const { summary, about, examples, exits } = explanationOf(command) as Explanation;
  const lines = examples.map(({ why, line }) => `# ${why}\n${line}`).join('\n');
  return [
    `## ${name}\n`,
    `\`${`${name} ${usage}`.trim()}\`: ${summary}.\n`,
    ...(about === '' ? [] : [`${about}\n`]),
    table(['argument or option', 'meaning'], rows),
    `Exit codes: ${exits.join(', ')}.\n`,
    `<!-- not run: the names stand for yours -->\n\`\`\`sh\n${lines}\n\`\`\`\n`,
  ].join('\n');
}
