// The command line of etlctl: reads it, runs one command, tells what came of it. The commands stand in verbs/ and what
// they do in commands/, loaded only when one runs, so that help and completion come at once.

import { EtlError, errorCodes, isEtlError, toEtlError } from '@etl-router/core';
import { Command, CommanderError } from 'commander';
import { type ExitCode, type Explanation, exitCodes, explain, renderExits } from './help.ts';
import { type CommandResult, type GlobalOptions, type Io, printable } from './io.ts';
import { addGlobals, globalsOf } from './options.ts';
import { parseOutput, renderJson } from './output.ts';
import { addBackupVerbs } from './verbs/backup.ts';
import { addClusterVerbs } from './verbs/cluster.ts';
import { addDeadLetterVerbs } from './verbs/dead-letters.ts';
import { addObjectVerbs } from './verbs/objects.ts';
import { addOwnVerbs } from './verbs/own.ts';
import { addPipelineVerbs } from './verbs/pipelines.ts';
import { productCommit, productVersion } from './version.ts';

/** A command's work: options of the command line in, what to tell out. */
export type Work = (globals: GlobalOptions) => Promise<CommandResult>;

/** What the files of verbs/ build commands with. */
export interface Verbs {
  readonly program: Command;
  readonly io: Io;
  /** A command below `parent` with the shared options and its help. */
  readonly add: (parent: Command, name: string, explanation: Explanation) => Command;
  /** Runs `work` for a command and tells its result; a `printed` one has written its own output. */
  readonly act: (
    command: Command,
    explanation: Explanation,
    work: Work,
    printed?: 'printed',
  ) => Promise<void>;
}

const rootHelp = `
Examples:
  etlctl apply -f examples/flights/flights.yaml
  etlctl get pipelines -A
  etlctl describe pipeline delayed-flights -n example
  etlctl dlq ls delayed-flights -n example

${renderExits(Object.keys(exitCodes) as ExitCode[])}

etlctl COMMAND --help tells more of each.`;

/** Runs one command line and returns the exit code. Never throws, never prints a stack. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const state = { exitCode: 0 };
  const json = asksForJson(args);
  const program = createProgram(io, state, json ? () => {} : io.err);
  try {
    await program.parseAsync(args as string[], { from: 'user' });
    return state.exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return report(error, program.name(), io, json);
    if (error.exitCode === 0) return 0;
    if (json) report(usageError(error), program.name(), io, json);
    return 2;
  }
}

/** Whether the command line asks for the envelope, though it may be one that can not be understood. */
function asksForJson(args: readonly string[]): boolean {
  return args.some(
    (arg, index) =>
      arg === '-ojson' ||
      arg === '--output=json' ||
      (arg === 'json' && ['-o', '--output'].includes(args[index - 1] ?? '')),
  );
}

function usageError({ code, message }: CommanderError): EtlError {
  const text =
    code === 'commander.help'
      ? 'no command; etlctl --help lists them'
      : message.replace(/^error: /, '');
  return new EtlError('ETL_INVALID_ARGUMENT', text);
}

function report(error: unknown, command: string, io: Io, json: boolean): number {
  const failure = toEtlError(error);
  if (json) {
    io.out(envelope({ command, summary: failure.message, error: failure }));
  } else {
    io.err(`error: ${printable(failure.message)}\n`);
    if (failure.code === 'ETL_INTERNAL')
      io.err(`  (${failure.code}: ${errorCodes[failure.code].help})\n`);
  }
  return isEtlError(error) ? errorCodes[failure.code].exitCode : 1;
}

interface Told {
  readonly command: string;
  readonly summary: string;
  readonly result?: unknown;
  readonly error?: EtlError | undefined;
}

/** The one object that a script reads from `-o json`. */
function envelope({ command, summary, result, error }: Told): string {
  return renderJson({
    command,
    ok: error === undefined,
    summary,
    result: result ?? null,
    error: error === undefined ? null : { code: error.code, message: error.message },
  });
}

/** The commands with their options; `state` gets the exit code of the one that ran, `complain` the faults of usage. */
export function createProgram(
  io: Io,
  state: { exitCode: number },
  complain: (text: string) => void = io.err,
): Command {
  const program = new Command('etlctl');
  program
    .description(
      'Drives ETL Router: applies pipelines, shows what they do, handles dead letters and members.',
    )
    .version(`etlctl ${productVersion} (${productCommit})`, '-V, --version', 'version of etlctl')
    .helpOption('-h, --help', 'help for a command')
    .helpCommand('help [command]', 'help for a command')
    .exitOverride()
    .configureOutput({
      writeOut: io.out,
      writeErr: complain,
      outputError: (text, write) => write(text),
    })
    .configureHelp({ helpWidth: 100 })
    .showHelpAfterError('(see etlctl --help)')
    .showSuggestionAfterError()
    .addHelpText('after', rootHelp);
  addGlobals(program, io);
  const verbs: Verbs = {
    program,
    io,
    add: (parent, name, explanation) => {
      const command = parent.command(name);
      explain(command, explanation);
      addGlobals(command, io, explanation.outputs);
      return command.showHelpAfterError(`(see etlctl ${commandName(command)} --help)`);
    },
    act: (command, explanation, work, printed) =>
      execute({ command, explanation, work, printed: printed !== undefined, io, state }),
  };
  addObjectVerbs(verbs);
  addPipelineVerbs(verbs);
  addDeadLetterVerbs(verbs);
  addClusterVerbs(verbs);
  addBackupVerbs(verbs);
  addOwnVerbs(verbs);
  return program;
}

interface Execution {
  readonly command: Command;
  readonly explanation: Explanation;
  readonly work: Work;
  readonly printed: boolean;
  readonly io: Io;
  readonly state: { exitCode: number };
}

async function execute({
  command,
  explanation,
  work,
  printed,
  io,
  state,
}: Execution): Promise<void> {
  const name = commandName(command);
  const { output } = command.optsWithGlobals<{ output?: string }>();
  try {
    const globals = await globalsOf(command, io);
    const format = parseOutput(output, explanation.outputs);
    const { summary, result, failures = [] } = await withRoute(globals, io, work);
    const [error] = failures;
    if (error !== undefined) state.exitCode = errorCodes[error.code].exitCode;
    if (format === 'json' && !printed) {
      const told = [summary, ...failures.map(({ message }) => message)].filter(Boolean).join('\n');
      io.out(envelope({ command: name, summary: told, result, error }));
      return;
    }
    if (summary !== '' && !printed) io.out(`${printable(summary)}\n`);
    for (const failure of failures) io.err(`error: ${printable(failure.message)}\n`);
  } catch (error) {
    state.exitCode = report(error, name, io, output === 'json');
  }
}

/** Runs the work with the way into a cluster, where the router is in one, and closes it. */
async function withRoute(globals: GlobalOptions, io: Io, work: Work): Promise<CommandResult> {
  const { place, namespace } = globals;
  if (place.kind === 'url') return work(globals);
  const { KubernetesRoute } = await import('./kubernetes/route.ts');
  const route = new KubernetesRoute(place, globals, io);
  try {
    const defaultNamespace = namespace ?? (await route.namespace()) ?? 'default';
    return await work({ ...globals, route, defaultNamespace });
  } finally {
    route.close();
  }
}

function commandName(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}
