// Options that several commands share: where the router is, the namespace, the timeout, the format, and the files of `-f`.

import { EtlError } from '@etl-router/core';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Consistency, type GlobalOptions, type Io, withoutCredentials } from './io.ts';
import { type Output, outputs } from './output.ts';
import { localServer, type PlaceFlags, placeOf } from './place.ts';
import { readSettings } from './settings.ts';

/** The options every command takes, before or after its name; `offered` are the formats it can print. */
export function addGlobals(
  command: Command,
  io: Io,
  offered: readonly Output[] = outputs,
): Command {
  const server = withoutCredentials(io.env['ETLCTL_SERVER'] || localServer);
  return command
    .option('-s, --server <url>', `address of a router (default: ${server}, or ETLCTL_SERVER)`)
    .option(
      '--cluster <name>',
      'a router in Kubernetes: its EtlRouterCluster, NAME or NAMESPACE/NAME (or ETLCTL_CLUSTER)',
    )
    .option(
      '--context <name>',
      'context of the kubeconfig (default: the current one, or ETLCTL_CONTEXT)',
    )
    .option('--kubeconfig <file>', 'the kubeconfig (default: KUBECONFIG, else ~/.kube/config)')
    .option(
      '--service-account <name>',
      'show a router in Kubernetes a token of this one instead of your own (or ETLCTL_SERVICE_ACCOUNT)',
    )
    .option(
      '-n, --namespace <name>',
      'namespace (default: that of the context, else "default"; or ETLCTL_NAMESPACE)',
    )
    .addOption(
      new Option(
        '--timeout <duration>',
        'give up on an answer after this long, 1ms to 24h (default: 30s)',
      ).argParser(parseTimeout),
    )
    .option('-o, --output <format>', `${offered.join(', ')} (default: table)`);
}

/**
 * The shared options of a command line with their defaults. Throws ETL_INVALID_ARGUMENT for a namespace that can be none
 * or for two places at once, and ETL_CONFIG_INVALID for a file of etlctl that is wrong.
 */
export async function globalsOf(command: Command, io: Io): Promise<GlobalOptions> {
  const options = command.optsWithGlobals<
    PlaceFlags & {
      namespace?: string;
      timeout?: number;
      output?: string;
      consistency?: Consistency;
    }
  >();
  const settings = await readSettings(io);
  const namespace = options.namespace ?? (io.env['ETLCTL_NAMESPACE'] || settings.namespace);
  if (namespace !== undefined && !/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) {
    const from =
      options.namespace !== undefined
        ? '--namespace'
        : io.env['ETLCTL_NAMESPACE']
          ? 'ETLCTL_NAMESPACE'
          : 'namespace';
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${from}: ${JSON.stringify(namespace)} is no namespace: at most 63 of a-z, 0-9 and -`,
    );
  }
  const place = placeOf(options, io.env, settings, namespace);
  const timeoutMs = options.timeout ?? 30_000;
  return {
    place,
    route: undefined,
    namespace,
    defaultNamespace: namespace ?? 'default',
    timeoutMs,
    output: options.output,
    consistency: options.consistency,
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

/** Adds `--consistency`, of the commands that only read. */
export function addConsistency(command: Command): Command {
  const levels: readonly Consistency[] = ['linearizable', 'stale'];
  return command.addOption(
    new Option(
      '--consistency <level>',
      'linearizable: as of now; stale: what this router knows, without a leader too (default: linearizable)',
    ).choices(levels),
  );
}

/** `-f` and `-R` as commander gives them. */
export interface FileFlags {
  readonly filename?: readonly string[];
  readonly file?: readonly string[];
  readonly recursive?: boolean;
}

/** Adds `-f`, the `--file` of earlier scripts, and `-R`. */
export function addFileOptions(command: Command): Command {
  const collect = (value: string, before: string[] | undefined): string[] => [
    ...(before ?? []),
    value,
  ];
  return command
    .option(
      '-f, --filename <path>',
      'file, folder, or - for standard input; may be repeated',
      collect,
    )
    .addOption(new Option('--file <path>').argParser(collect).hideHelp())
    .option('-R, --recursive', 'look into the folders of a folder');
}

export function filesOf(flags: FileFlags): {
  readonly paths: readonly string[];
  readonly recursive: boolean;
} {
  return {
    paths: [...(flags.filename ?? []), ...(flags.file ?? [])],
    recursive: flags.recursive === true,
  };
}
