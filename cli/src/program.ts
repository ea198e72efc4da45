// The command line of etlctl: names, options and help. What a command does is in commands/, loaded only when it runs,
// so that the help and the completion of a shell come at once.

import { EtlError, errorCodes, isEtlError, toEtlError } from '@etl-router/core';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import {
  type CommandResult,
  type GlobalOptions,
  type Io,
  printable,
  withoutCredentials,
} from './io.ts';
import { renderJson } from './output.ts';

/** A command's work: options of the command line in, what to tell out. */
type Work = (globals: GlobalOptions) => Promise<CommandResult>;

const exampleHelp = `
Examples:
  etlctl apply -f examples/flights/flights.yaml
  etlctl get pipelines -A
  etlctl describe pipeline delayed-flights -n example
  etlctl dlq ls delayed-flights -n example

Exit codes: 0 ok, 1 failure, 2 usage or invalid input, 3 refused, 4 not found, 5 conflict, 124 timeout, 128+n signal.`;

/** Runs one command line and returns the exit code. Never throws, never prints a stack. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const state = { exitCode: 0 };
  const program = createProgram(io, state);
  try {
    await program.parseAsync(args as string[], { from: 'user' });
    return state.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return report(error, program.name(), io, program.opts<{ output?: string }>().output);
  }
}

function report(error: unknown, command: string, io: Io, output: string | undefined): number {
  const failure = toEtlError(error);
  if (output === 'json') {
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

/** The commands with their options; `state` gets the exit code of the one that ran. */
export function createProgram(io: Io, state: { exitCode: number }): Command {
  const program = new Command('etlctl');
  program
    .description('Drives ETL Router: applies pipelines, shows what they do, handles dead letters.')
    .enablePositionalOptions(false)
    .exitOverride()
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      outputError: (text, write) => write(text),
    })
    .showHelpAfterError('(see etlctl --help)')
    .showSuggestionAfterError()
    .addHelpText('after', exampleHelp);
  const add = (command: Command): Command => addGlobals(command, io);
  /** Runs `work`; `printed` verbs write their own output in every format. */
  const act = (command: Command, work: Work, printed = false): Promise<void> =>
    execute({ command, work, printed, io, state });
  addObjectCommands(add(program), add, act, io);
  addMoreObjectCommands(program, add, act, io);
  addPipelineCommands(program, add, act, io);
  addDeadLetterCommands(program, add, act, io);
  addOwnCommands(program, add, act, io);
  return program;
}

type Act = (command: Command, work: Work, printed?: boolean) => Promise<void>;
type Add = (command: Command) => Command;

interface Execution {
  readonly command: Command;
  readonly work: Work;
  readonly printed: boolean;
  readonly io: Io;
  readonly state: { exitCode: number };
}

async function execute({ command, work, printed, io, state }: Execution): Promise<void> {
  const globals = globalsOf(command, io);
  const name = commandName(command);
  try {
    const { summary, result, failures = [] } = await work(globals);
    const [error] = failures;
    if (error !== undefined) state.exitCode = errorCodes[error.code].exitCode;
    if (printed) return;
    if (globals.output === 'json') {
      const told = [summary, ...failures.map(({ message }) => message)].filter(Boolean).join('\n');
      io.out(envelope({ command: name, summary: told, result, error }));
      return;
    }
    if (summary !== '') io.out(`${printable(summary)}\n`);
    for (const failure of failures) io.err(`error: ${printable(failure.message)}\n`);
  } catch (error) {
    state.exitCode = report(error, name, io, globals.output);
  }
}

function commandName(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

/** The options every command takes, before or after its name. */
function addGlobals(command: Command, io: Io): Command {
  return command
    .addOption(
      new Option(
        '-s, --server <url>',
        `address of a router (default: ${withoutCredentials(defaultServer(io))}, or ETLCTL_SERVER)`,
      ),
    )
    .addOption(
      new Option('-n, --namespace <name>', 'namespace (default: "default", or ETLCTL_NAMESPACE)'),
    )
    .addOption(
      new Option(
        '--timeout <duration>',
        'give up after this long, such as 30s (default: 30s)',
      ).argParser(parseTimeout),
    )
    .addOption(
      new Option(
        '-o, --output <format>',
        'table, wide, json, yaml or name, where a command offers them',
      ),
    );
}

function defaultServer(io: Io): string {
  return io.env['ETLCTL_SERVER'] ?? 'http://localhost:8080';
}

function globalsOf(command: Command, io: Io): GlobalOptions {
  const options = command.optsWithGlobals<{
    server?: string;
    namespace?: string;
    timeout?: number;
    output?: string;
  }>();
  return {
    server: options.server ?? defaultServer(io),
    namespace: options.namespace ?? io.env['ETLCTL_NAMESPACE'],
    timeoutMs: options.timeout ?? 30_000,
    output: options.output,
  };
}

function parseTimeout(text: string): number {
  const match = /^(\d{1,6})(ms|s|m|h)$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ''] ?? 0;
  const ms = Number(match?.[1] ?? 0) * unit;
  if (ms < 1 || ms > 86_400_000)
    throw new InvalidArgumentError('Give a duration from 1ms to 24h, such as 30s.');
  return ms;
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function fileOption(required: boolean): Option {
  const option = new Option(
    '-f, --filename <path>',
    'file, folder, or - for standard input; may be repeated',
  ).argParser(collect);
  return required ? option.makeOptionMandatory() : option;
}

interface FileFlags {
  readonly filename?: readonly string[];
  readonly file?: readonly string[];
  readonly recursive?: boolean;
}

function filesOf(flags: FileFlags): {
  readonly paths: readonly string[];
  readonly recursive: boolean;
} {
  return {
    paths: [...(flags.filename ?? []), ...(flags.file ?? [])],
    recursive: flags.recursive === true,
  };
}

function addObjectCommands(program: Command, add: Add, act: Act, io: Io): void {
  const hidden = (): Option => new Option('--file <path>').argParser(collect).hideHelp();
  add(program.command('apply'))
    .description('create or update the objects of manifests')
    .addOption(fileOption(false))
    .addOption(hidden())
    .option('-R, --recursive', 'look into the folders of a folder')
    .addOption(
      new Option(
        '--dry-run [where]',
        'change nothing: check here (client) or on the router (server)',
      )
        .choices(['client', 'server'])
        .preset('server'),
    )
    .action(async (flags: FileFlags & { dryRun?: 'client' | 'server' }, command: Command) =>
      act(command, async (globals) =>
        (await import('./commands/apply.ts')).apply({
          ...filesOf(flags),
          dryRun: flags.dryRun,
          globals,
          io,
        }),
      ),
    );
  add(program.command('get'))
    .description('list objects, or show one')
    .argument('<resource>', 'pipelines, sources, transforms, sinks, services; or resource/name')
    .argument('[name]')
    .option('-A, --all-namespaces', 'of every namespace')
    .option('--name <name>', 'the same as the second argument')
    .action(
      async (
        resource: string,
        name: string | undefined,
        flags: { allNamespaces?: boolean; name?: string },
        command: Command,
      ) =>
        act(
          command,
          async (globals) =>
            (await import('./commands/get.ts')).get({
              resource,
              name: name ?? flags.name,
              allNamespaces: flags.allNamespaces === true,
              globals,
              io,
            }),
          true,
        ),
    );
}

function addMoreObjectCommands(program: Command, add: Add, act: Act, io: Io): void {
  const hidden = (): Option => new Option('--file <path>').argParser(collect).hideHelp();
  add(program.command('describe'))
    .description('show one object with its state')
    .argument('<resource>')
    .argument('[name]')
    .action(async (resource: string, name: string | undefined, _flags: object, command: Command) =>
      act(command, async (globals) =>
        (await import('./commands/describe.ts')).describe({ resource, name, globals, io }),
      ),
    );
  add(program.command('delete'))
    .description(
      'delete objects by name or by manifest; a deleted pipeline stops and its positions are forgotten',
    )
    .argument('[resource]')
    .argument('[name]')
    .addOption(fileOption(false))
    .addOption(hidden())
    .option('-R, --recursive', 'look into the folders of a folder')
    .option('--ignore-not-found', 'succeed when there is nothing to delete')
    .addOption(new Option('--force').hideHelp())
    .action(
      async (
        resource: string | undefined,
        name: string | undefined,
        flags: FileFlags & { ignoreNotFound?: boolean },
        command: Command,
      ) =>
        act(command, async (globals) =>
          (await import('./commands/delete.ts')).deleteObjects({
            ...filesOf(flags),
            resource,
            name,
            ignoreNotFound: flags.ignoreNotFound === true,
            globals,
            io,
          }),
        ),
    );
  add(program.command('validate'))
    .description('check manifests without a router')
    .addOption(fileOption(false))
    .addOption(hidden())
    .option('-R, --recursive', 'look into the folders of a folder')
    .action(async (flags: FileFlags, command: Command) =>
      act(command, async (globals) =>
        (await import('./commands/validate.ts')).validate({ ...filesOf(flags), globals, io }),
      ),
    );
}

function addPipelineCommands(program: Command, add: Add, act: Act, io: Io): void {
  add(program.command('graph'))
    .description('draw a pipeline, of a file or of the router')
    .argument('[name]', 'a pipeline of the router')
    .addOption(fileOption(false))
    .addOption(new Option('--file <path>').argParser(collect).hideHelp())
    .option('-R, --recursive', 'look into the folders of a folder')
    .addOption(
      new Option('--format <format>', 'ascii, dot or mermaid')
        .choices(['ascii', 'dot', 'mermaid'])
        .default('ascii'),
    )
    .addOption(new Option('--output-dot').hideHelp())
    .action(
      async (
        name: string | undefined,
        flags: FileFlags & { format: string; outputDot?: boolean },
        command: Command,
      ) =>
        act(command, async (globals) =>
          (await import('./commands/graph.ts')).graph({
            ...filesOf(flags),
            name,
            format: flags.outputDot === true ? 'dot' : flags.format,
            globals,
            io,
          }),
        ),
    );
  for (const verb of ['pause', 'resume'] as const) {
    add(program.command(verb))
      .description(
        verb === 'pause'
          ? 'stop reading; what is in flight is finished and positions are kept'
          : 'go on from the committed positions',
      )
      .argument('<pipeline>', 'name of the pipeline')
      .argument('[name]', 'allows "pause pipeline NAME"')
      .action(async (first: string, second: string | undefined, _flags: object, command: Command) =>
        act(command, async (globals) =>
          (await import('./commands/pause.ts')).setRunning({ verb, first, second, globals, io }),
        ),
      );
  }
}

function addDeadLetterCommands(program: Command, add: Add, act: Act, io: Io): void {
  const dlq = add(program.command('dlq')).description(
    'dead letters: records that could not be processed',
  );
  const filters = (command: Command): Command =>
    command
      .option('--stage <name>', 'only those that failed at this stage')
      .option('--code <code>', 'only those with this error code');
  filters(add(dlq.command('ls')))
    .description('list dead letters, grouped by cause')
    .argument('<pipeline>')
    .option('--all', 'one line for each record instead of each cause')
    .option('--limit <count>', 'at most so many records', '1000')
    .action(
      async (
        pipeline: string,
        flags: { stage?: string; code?: string; all?: boolean; limit: string },
        command: Command,
      ) =>
        act(
          command,
          async (globals) =>
            (await import('./commands/dlq.ts')).listDeadLetters({ pipeline, flags, globals, io }),
          true,
        ),
    );
  add(dlq.command('show'))
    .description('show one dead letter with its payload')
    .argument('<pipeline>')
    .argument('<id>')
    .action(async (pipeline: string, id: string, _flags: object, command: Command) =>
      act(
        command,
        async (globals) =>
          (await import('./commands/dlq.ts')).showDeadLetter({ pipeline, id, globals, io }),
        true,
      ),
    );
  for (const verb of ['redrive', 'discard'] as const) {
    filters(add(dlq.command(verb)))
      .description(
        verb === 'redrive'
          ? 'send dead letters again, from the stage they failed at, with the ids they had'
          : 'give dead letters up for good',
      )
      .argument('<pipeline>')
      .argument('[ids...]', 'ids of dead letters')
      .option('--all', 'every dead letter the filters leave')
      .option('--dry-run', 'only say how many')
      .action(
        async (
          pipeline: string,
          ids: string[],
          flags: { stage?: string; code?: string; all?: boolean; dryRun?: boolean },
          command: Command,
        ) =>
          act(command, async (globals) =>
            (await import('./commands/dlq.ts')).actOnDeadLetters({
              verb,
              pipeline,
              ids,
              flags,
              globals,
              io,
            }),
          ),
      );
  }
}

function addOwnCommands(program: Command, add: Add, act: Act, io: Io): void {
  add(program.command('version'))
    .description('version of etlctl and, where one answers, of the router')
    .option('--client', 'of etlctl alone')
    .action(async (flags: { client?: boolean }, command: Command) =>
      act(command, async (globals) =>
        (await import('./commands/version.ts')).version({
          clientOnly: flags.client === true,
          globals,
          io,
        }),
      ),
    );
  add(program.command('completion'))
    .description('print the completion script of a shell: source <(etlctl completion bash)')
    .addArgument(program.createArgument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(async (shell: string, _flags: object, command: Command) =>
      act(
        command,
        async () => (await import('./commands/completion.ts')).completion({ shell, program, io }),
        true,
      ),
    );
}
