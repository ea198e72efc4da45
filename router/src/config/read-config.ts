// Reads the configuration file that the command line names, and loads the whole configuration with it.

import { readFileSync, statSync } from 'node:fs';
import { EtlError } from '@etl-router/core';
import { type LoadedConfig, loadConfig } from './config.ts';
import { maxConfigBytes } from './config-file.ts';
import type { CommandLine } from './flags.ts';

/** Read when `--config` is not given; it may be missing. */
export const defaultConfigFile = 'config/router.yaml';

/** Exit code of a process that refuses its configuration (EX_CONFIG of sysexits). */
export const configExitCode = 78;

/** Throws ETL_CONFIG_INVALID for a named file that can not be read, and for every fault of the settings. */
export function readConfig(
  commandLine: CommandLine,
  env: { readonly [name: string]: string | undefined },
): LoadedConfig {
  const name = commandLine.configFile ?? defaultConfigFile;
  const text = readText(name, commandLine.configFile !== undefined);
  return loadConfig({
    flags: commandLine.flags,
    env,
    file: text === undefined ? undefined : { name, text },
  });
}

function readText(name: string, required: boolean): string | undefined {
  try {
    const info = statSync(name);
    if (!info.isFile())
      throw new EtlError('ETL_CONFIG_INVALID', `--config ${name}: is not a regular file`);
    if (info.size > maxConfigBytes)
      throw new EtlError('ETL_CONFIG_INVALID', `--config ${name}: is larger than 1 MiB`);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(name));
    if (text.includes('\0'))
      throw new EtlError('ETL_CONFIG_INVALID', `--config ${name}: holds a NUL character`);
    return text;
  } catch (cause) {
    if (cause instanceof EtlError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT' && !required) return undefined;
    const reason =
      cause instanceof TypeError
        ? 'is not UTF-8 text'
        : `can not be read (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`;
    throw new EtlError('ETL_CONFIG_INVALID', `--config ${name}: ${reason}`, { cause });
  }
}

/** The text of `--print-config`: key, value and source, aligned. */
export function renderConfig(loaded: LoadedConfig): string {
  const width = Math.max(...loaded.origin.map(({ key }) => key.length)) + 2;
  const wide = Math.max(...loaded.origin.map(({ text }) => text.length)) + 2;
  return loaded.origin
    .map(({ key, text, source }) => `${key.padEnd(width)}${text.padEnd(wide)}${source}\n`)
    .join('');
}
