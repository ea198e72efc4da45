// The command line of a server process, made from the table of settings and the process's own switches.

import { parseArgs } from 'node:util';
import { EtlError } from '@etl-router/core';
import { settings } from './settings.ts';

/** A switch or option of one process that is no setting of the router. */
export interface ExtraFlag {
  readonly name: string;
  readonly type: 'boolean' | 'string';
  readonly multiple?: boolean;
  /** Shown in place of the value, such as `FILE`. */
  readonly placeholder?: string;
  readonly help: string;
}

export interface CommandLine {
  /** Settings by flag name. */
  readonly flags: { readonly [flag: string]: string | undefined };
  /** Extra flags by name. */
  readonly extras: { readonly [flag: string]: boolean | string | readonly string[] | undefined };
  /** `--config`, as given. */
  readonly configFile: string | undefined;
  readonly help: boolean;
  readonly version: boolean;
  readonly printConfig: boolean;
}

/** What every server process takes beside the settings. */
export const commonFlags: readonly ExtraFlag[] = [
  {
    name: 'config',
    type: 'string',
    placeholder: 'FILE',
    help: 'Configuration file; a missing default (config/router.yaml) is fine.',
  },
  {
    name: 'print-config',
    type: 'boolean',
    help: 'Print every setting with its value and where it comes from, and exit.',
  },
  { name: 'version', type: 'boolean', help: 'Print version and commit and exit.' },
  { name: 'help', type: 'boolean', help: 'Print this and exit.' },
];

const shorts: { readonly [name: string]: string } = { config: 'c', help: 'h' };

/** Throws ETL_INVALID_ARGUMENT for a flag that does not exist, lacks its value or is given twice. */
export function parseCommandLine(
  args: readonly string[],
  extras: readonly ExtraFlag[],
): CommandLine {
  const options: {
    [name: string]: { type: 'boolean' | 'string'; short?: string; multiple: boolean };
  } = {};
  for (const extra of [...commonFlags, ...extras]) {
    const short = shorts[extra.name];
    options[extra.name] = {
      type: extra.type,
      multiple: true,
      ...(short === undefined ? {} : { short }),
    };
  }
  for (const { flag, short, aliases, type } of settings) {
    if (flag === undefined) continue;
    const kind = type.kind === 'boolean' ? 'boolean' : 'string';
    options[flag] = { type: kind, multiple: true, ...(short === undefined ? {} : { short }) };
    for (const alias of aliases ?? []) options[alias] = { type: 'string', multiple: true };
  }
  const values = parse(args, options);
  const flags: { [flag: string]: string | undefined } = {};
  const found: { [flag: string]: boolean | string | readonly string[] | undefined } = {};
  for (const [name, list] of Object.entries(values)) {
    const extra = extras.find((candidate) => candidate.name === name);
    if (extra?.multiple !== true && list.length > 1) {
      throw new EtlError('ETL_INVALID_ARGUMENT', `--${name} is given ${list.length} times`);
    }
    if (extra === undefined) flags[name] = String(list[0]);
    else found[name] = extra.multiple === true ? list.map(String) : list[0];
  }
  const { config, 'print-config': printConfig, version, help, ...rest } = flags;
  return {
    flags: rest,
    extras: found,
    configFile: config,
    help: help === 'true',
    version: version === 'true',
    printConfig: printConfig === 'true',
  };
}

function parse(
  args: readonly string[],
  options: { [name: string]: { type: 'boolean' | 'string'; short?: string; multiple: boolean } },
): { [name: string]: (string | boolean)[] } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options,
      strict: true,
      allowPositionals: false,
    });
    return values as { [name: string]: (string | boolean)[] };
  } catch (cause) {
    const message = (cause as Error).message.replace(/\.? To specify a positional.*$/s, '');
    throw new EtlError('ETL_INVALID_ARGUMENT', `${message}; --help lists the flags`, { cause });
  }
}

/** The text of `--help`. */
export function renderHelp(usage: string, extras: readonly ExtraFlag[]): string {
  const rows: [string, string][] = [...extras, ...commonFlags].map((extra) => {
    const short = shorts[extra.name];
    const value = extra.type === 'string' ? ` ${extra.placeholder ?? 'VALUE'}` : '';
    return [`${short === undefined ? '    ' : `-${short}, `}--${extra.name}${value}`, extra.help];
  });
  for (const setting of settings) {
    if (setting.flag === undefined) continue;
    const short = setting.short === undefined ? '    ' : `-${setting.short}, `;
    const env = setting.env === undefined ? '' : ` [${setting.env.join(', ')}]`;
    const fallback = setting.defaultText === '' ? '' : ` Default ${setting.defaultText}.`;
    rows.push([
      `${short}--${[setting.flag, ...(setting.aliases ?? [])].join(', --')}`,
      `${setting.help}${fallback}${env}`,
    ]);
  }
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return `${usage}\n\n${rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`).join('\n')}\n`;
}
