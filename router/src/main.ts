#!/usr/bin/env node
// The router alone: reads its configuration, starts, and stops when it is told to. Exit codes: 0 after a stop, 78 for a
// configuration it refuses, 65 for storage that is damaged, 1 for everything else that keeps it from running.

import './thread-pool.ts';
import process from 'node:process';
import { createLogger, EtlError, isEtlError, type Logger, systemClock } from '@etl-router/core';
import { readBuildVersion, renderVersion } from './build-version.ts';
import { clockWarnings } from './clock-warnings.ts';
import type { LoadedConfig } from './config/config.ts';
import { type CommandLine, parseCommandLine, renderHelp } from './config/flags.ts';
import { formatAddress } from './config/parse.ts';
import { configExitCode, readConfig, renderConfig } from './config/read-config.ts';
import { exitCodeOf } from './exit-code.ts';
import { type RunningRouter, startRouter } from './process.ts';
import { threadPoolWarnings } from './thread-pool.ts';

const usage = `Usage: etl-router [flags]

Runs a router: the control plane of ETL Router. Settings come from flags, then variables, then the file.`;

await main();

async function main(): Promise<void> {
  const read = readArguments();
  if (read === undefined) return;
  const logger = createLogger({ logger: 'router', level: read.config.logLevel });
  const warnings = [
    ...read.warnings,
    ...threadPoolWarnings(),
    ...clockWarnings(systemClock.wallMs()),
  ];
  for (const warning of warnings) logger.warn(warning);
  // It may wait for its peers as long as they like, and is told to stop then, too: the first process of a container has
  // no default for that.
  const told = listenForSignals();
  let running: RunningRouter;
  try {
    const version = readBuildVersion();
    running = await startRouter({ config: read.config, logger, version, signal: told.aborting });
  } catch (error) {
    if (!told.aborting.aborted || !isEtlError(error) || error.code !== 'ETL_CANCELLED')
      return fail(error);
    logger.info('the router stopped before it was ready');
    process.exit(0);
  }
  const stopped = untilStopped(running, told.signal, logger);
  const { grpc, http, metrics } = running.addresses;
  logger.info(
    {
      grpc: formatAddress(grpc),
      http: http && formatAddress(http),
      metrics: metrics && formatAddress(metrics),
    },
    'the router is ready',
  );
  await stopped;
}

/** The configuration; undefined where there is nothing to start. */
function readArguments(): LoadedConfig | undefined {
  try {
    const commandLine: CommandLine = parseCommandLine(process.argv.slice(2), []);
    if (commandLine.help) {
      process.stdout.write(renderHelp(usage, []));
      return undefined;
    }
    if (commandLine.version) {
      process.stdout.write(renderVersion('etl-router', readBuildVersion()));
      return undefined;
    }
    const loaded = readConfig(commandLine, process.env);
    if (!commandLine.printConfig) return loaded;
    process.stdout.write(renderConfig(loaded));
  } catch (error) {
    if (!isEtlError(error)) throw error;
    process.stderr.write(`etl-router: ${error.message}\n`);
    process.exitCode = configExitCode;
  }
  return undefined;
}

/** What it was told by a signal. A second one ends the process at once. */
interface Told {
  readonly signal: Promise<NodeJS.Signals>;
  /** Aborts with the first signal. */
  readonly aborting: AbortSignal;
}

function listenForSignals(): Told {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  const ending = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    process.once('SIGTERM', () => process.exit(1));
    process.once('SIGINT', () => process.exit(1));
    resolve(signal);
    ending.abort(new EtlError('ETL_CANCELLED', `the router was told to stop by ${signal}`));
  };
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
  return { signal: promise, aborting: ending.signal };
}

/** Waits for a signal or for the end of storage, then closes. */
async function untilStopped(
  running: RunningRouter,
  told: Promise<NodeJS.Signals>,
  logger: Logger,
): Promise<void> {
  const end = await Promise.race([told, running.failed]);
  if (typeof end === 'string') {
    logger.info({ signal: end }, 'the router stops');
    await running.close();
    logger.info('the router stopped');
    process.exit(0);
  }
  fail(end);
  await running.close().catch((error: unknown) => {
    logger.debug({ err: error }, 'storage that failed could not be closed');
  });
  process.exit(exitCodeOf(end));
}

/** One line that says why, with the code that docs/reference/errors.md explains. */
function fail(error: unknown): void {
  if (!isEtlError(error)) throw error;
  process.stderr.write(`etl-router: ${error.code}: ${error.message}\n`);
  process.exitCode = exitCodeOf(error);
}
