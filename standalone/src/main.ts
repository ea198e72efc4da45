// `npm start`: standalone with the flights example, or with the manifests that are named. Flags, signals, the progress
// line and the summary are here; everything else is in standalone.ts.

import '@etl-router/router/thread-pool';
import { readFileSync } from 'node:fs';
import { createLogger, EtlError, isEtlError, systemClock, systemRandom } from '@etl-router/core';
import {
  clockWarnings,
  configExitCode,
  damagedExitCode,
  parseCommandLine,
  readBuildVersion,
  readConfig,
  renderConfig,
  renderHelp,
  renderVersion,
} from '@etl-router/router';
import { threadPoolWarnings } from '@etl-router/router/thread-pool';
import { readCrashPoint } from './crash-points.ts';
import { Display } from './display.ts';
import { exampleFile, standaloneFlags as flags } from './flags.ts';
import { Standalone } from './standalone.ts';

/** How long the sinks may finish what they were given when a start or the storage failed. */
const drainAfterFailureMs = 3000;

/** A second signal does not wait. */
const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/** What a process ends with whose reader went away, by convention of shells (128 + SIGPIPE). */
const brokenPipeCode = 141;

// Where words can not be written there is no one to tell; the exit code says the rest.
process.stderr.on('error', () => {});
const outputFailed = watchOutput();
process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const commandLine = parseCommandLine(args, flags);
    if (commandLine.help) {
      process.stdout.write(
        renderHelp(
          'Usage: npm start -- [flags]\n\nRuns ETL Router in one process: router, engine and built-in connectors.',
          flags,
        ),
      );
      return 0;
    }
    const version = readBuildVersion();
    if (commandLine.version) {
      process.stdout.write(renderVersion('etl-router standalone', version));
      return 0;
    }
    const loaded = readConfig(commandLine, { ETL_LOG_LEVEL: 'warn', ...process.env });
    if (commandLine.printConfig) {
      process.stdout.write(renderConfig(loaded));
      return 0;
    }
    const logger = createLogger({ logger: 'standalone', level: loaded.config.logLevel });
    const aboutClock = clockWarnings(systemClock.wallMs());
    const warnings = [...loaded.warnings, ...threadPoolWarnings(), ...aboutClock];
    for (const warning of warnings) logger.warn(warning);
    const { extras } = commandLine;
    const named = (extras['apply'] ?? [exampleFile]) as readonly string[];
    const files = extras['no-apply'] === true ? [] : named;
    const texts = files.map((file) => ({ file, text: readManifest(file) }));
    const standalone = await Standalone.start({
      config: loaded.config,
      clock: systemClock,
      random: systemRandom,
      logger,
      version,
      failpoints: readCrashPoint(process.env['ETL_CRASH_AT']),
      baseDirectory: process.cwd(),
    });
    return await run(standalone, texts, extras['once'] === true);
  } catch (error) {
    return report(error);
  }
}

async function run(
  standalone: Standalone,
  texts: readonly { file: string; text: string }[],
  once: boolean,
): Promise<number> {
  const stop = new AbortController();
  const ends = { code: 0, failure: undefined as EtlError | undefined };
  const endWith = (code: number): void => {
    if (!stop.signal.aborted) ends.code = code;
    stop.abort();
  };
  onSignals((code) => endWith(once ? code : 0));
  void outputFailed.then((error) => endWith(toOutputCode(error, once)));
  void standalone.failed.then((error) => {
    ends.failure = error;
    stop.abort();
  });
  let outcome: Awaited<ReturnType<Display['untilDone']>>;
  try {
    const pipelines = await applyAll(standalone, texts);
    const display = new Display({ standalone, pipelines, clock: systemClock, out: process.stdout });
    display.start();
    outcome = await display.untilDone(stop.signal, once);
    if (stop.signal.aborted) process.stdout.write('draining …\n');
  } catch (error) {
    await standalone.close(drainAfterFailureMs).catch(() => undefined);
    throw error;
  }
  if (ends.failure !== undefined) await endAfter(ends.failure, standalone);
  await standalone.close();
  return outcome === 'failed' ? 1 : ends.code;
}

/** Tells of the first signal; the next one, of whichever kind, ends the process at once. */
function onSignals(onFirst: (code: number) => void): void {
  let isFirst = true;
  for (const [signal, code] of Object.entries(signalCodes)) {
    process.on(signal, () => {
      if (!isFirst) process.exit(code);
      isFirst = false;
      onFirst(code);
    });
  }
}

/** Resolves with why the output can not be written, should it come to that. */
function watchOutput(): Promise<NodeJS.ErrnoException> {
  return new Promise((resolve) => process.stdout.on('error', resolve));
}

/** `npm start | head` takes the output away: that is how its reader says enough. A full disk is a failure, and told. */
function toOutputCode(error: NodeJS.ErrnoException, once: boolean): number {
  if (error.code === 'EPIPE') return once ? brokenPipeCode : 0;
  process.stderr.write(
    `error: can not write to standard output (${error.code ?? error.message})\n`,
  );
  return 1;
}

/** Storage failed: says so first, as what can not be committed may keep the sinks busy until the deadline. */
async function endAfter(failure: EtlError, standalone: Standalone): Promise<never> {
  process.exitCode = report(failure);
  await standalone.close(drainAfterFailureMs).catch(() => undefined);
  process.exit();
}

async function applyAll(
  standalone: Standalone,
  texts: readonly { file: string; text: string }[],
): Promise<readonly string[]> {
  const pipelines: string[] = [];
  for (const { file, text } of texts) {
    try {
      pipelines.push(...(await standalone.apply(text)));
    } catch (error) {
      if (!isEtlError(error)) throw error;
      throw new EtlError(error.code, `${file}:\n${error.message}`, { cause: error });
    }
  }
  return pipelines;
}

function readManifest(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `--apply ${file}: can not be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`,
      { cause },
    );
  }
}

/** One clear line for what was expected to go wrong; a defect shows its stack. */
function report(error: unknown): number {
  if (!isEtlError(error)) throw error;
  process.stderr.write(`error: ${error.message}\n`);
  if (error.code === 'ETL_CONFIG_INVALID') return configExitCode;
  if (error.code === 'ETL_STORAGE_CORRUPT') return damagedExitCode;
  return error.code === 'ETL_INVALID_ARGUMENT' ? 2 : 1;
}
