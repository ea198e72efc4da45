// `etlctl completion`: a script for the shell, made from the commands themselves so that it can not miss one. No script
// may use a variable that means something to its shell: `path` and `words` do to zsh.

import type { Command, Option } from 'commander';
import { explanationOf } from '../help.ts';
import type { CommandResult, Io } from '../io.ts';
import { resources, singular } from '../resources.ts';

export interface CompletionRequest {
  readonly shell: string;
  readonly program: Command;
  readonly io: Io;
}

interface Entry {
  /** The command's whole name without `etlctl`, such as `dlq ls`. */
  readonly name: string;
  readonly children: readonly Choice[];
  /** What its first argument may be, as far as it is known. */
  readonly values: readonly string[];
  readonly options: readonly Flag[];
}

interface Choice {
  readonly word: string;
  readonly about: string;
}

interface Flag {
  readonly long: string;
  readonly short: string | undefined;
  readonly about: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[] | 'files';
}

export async function completion(request: CompletionRequest): Promise<CommandResult> {
  const entries = entriesOf(request.program, '');
  const render = { bash: renderBash, zsh: renderZsh, fish: renderFish }[request.shell];
  request.io.out((render as (entries: readonly Entry[]) => string)(entries));
  return { summary: '' };
}

function entriesOf(command: Command, name: string): Entry[] {
  const children = command.commands;
  const [argument] = command.registeredArguments;
  const offered = explanationOf(command)?.outputs ?? [];
  const entry: Entry = {
    name,
    children: children.map((child) => ({ word: child.name(), about: child.summary() })),
    values:
      argument?.name() === 'resource'
        ? resources.flatMap((resource) => [resource, singular(resource)])
        : (argument?.argChoices ?? []),
    options: command.options
      .filter(({ hidden, long }) => !hidden && long !== undefined)
      .map((option) => toFlag(option, offered)),
  };
  const nested = children.flatMap((child) =>
    entriesOf(child, name === '' ? child.name() : `${name} ${child.name()}`),
  );
  return [entry, ...nested];
}

function toFlag(option: Option, outputs: readonly string[]): Flag {
  const choices = option.attributeName() === 'output' ? outputs : (option.argChoices ?? []);
  return {
    long: option.long as string,
    short: option.short,
    about: option.description,
    takesValue: option.required,
    choices: option.attributeName() === 'filename' ? 'files' : choices,
  };
}

function wordsOf({ children, values, options }: Entry): string {
  const flags = options.map(({ long }) => long);
  return [...children.map(({ word }) => word), ...values, ...flags, '--help'].join(' ');
}

/** Alternatives of a `case`: every spelling of the flags that `matches` picks. */
function patternOf(entries: readonly Entry[], matches: (flag: Flag) => boolean): string {
  const flags = entries.flatMap(({ options }) => options).filter(matches);
  return [...new Set(flags.flatMap(({ long, short }) => [long, short ?? long]))].join('|');
}

/** The lines that bash and zsh share: which command it is, and what its flag before the cursor takes. */
function renderCases(entries: readonly Entry[], offer: (words: string) => string): string[] {
  const withChoices = entries.flatMap(({ name, options }) =>
    options.flatMap(({ long, short, choices }) =>
      choices === 'files' || choices.length === 0
        ? []
        : [{ patterns: [long, short ?? long].map((flag) => `'${name} ${flag}'`), choices }],
    ),
  );
  return [
    '  case "$at $before" in',
    ...withChoices.map(
      ({ patterns, choices }) =>
        `    ${[...new Set(patterns)].join('|')}) ${offer(choices.join(' '))}; return ;;`,
    ),
    '  esac',
    '  case "$before" in',
    `    ${patternOf(entries, ({ takesValue }) => takesValue)}) return ;;`,
    '  esac',
    '  case "$at" in',
    ...entries.map((entry) => `    '${entry.name}') ${offer(wordsOf(entry))} ;;`),
    '  esac',
  ];
}

/** The body of the loop over the words before the cursor. Values of flags are no commands. */
function renderLoop(entries: readonly Entry[]): string[] {
  const groups = entries.filter(({ name, children }) => name !== '' && children.length > 0);
  const nested = groups.map(({ name }) => ` || [ "$at" = '${name}' ]`).join('');
  return [
    '    if [ -n "$skip" ]; then [ "$word" = \'=\' ] || skip=\'\'; continue; fi',
    '    case "$word" in',
    `      ${patternOf(entries, ({ takesValue }) => takesValue)}) skip=1 ;;`,
    '      -*) ;;',
    `      *) if [ -z "$at" ]${nested}; then at="\${at:+$at }$word"; fi ;;`,
    '    esac',
  ];
}

function renderBash(entries: readonly Entry[]): string {
  const offer = (words: string): string => `COMPREPLY=($(compgen -W '${words}' -- "$current"))`;
  const files = patternOf(entries, ({ choices }) => choices === 'files');
  return `# bash completion of etlctl
_etlctl() {
  local at='' word='' skip=''
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
${renderLoop(entries).join('\n')}
  done
  if [ "$current" = '=' ]; then current=''
  elif [ "$before" = '=' ]; then before="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  case "$before" in
    ${files})
      compopt -o filenames 2>/dev/null
      local IFS=$'\\n'
      COMPREPLY=($(compgen -f -- "$current"))
      return ;;
  esac
${renderCases(entries, offer).join('\n')}
}
complete -F _etlctl etlctl
`;
}

function renderZsh(entries: readonly Entry[]): string {
  const offer = (words: string): string => `compadd -- ${words}`;
  const files = patternOf(entries, ({ choices }) => choices === 'files');
  return `#compdef etlctl
# zsh completion of etlctl
_etlctl() {
  local at='' word='' skip='' before="\${words[CURRENT-1]}"
  for word in "\${(@)words[2,CURRENT-1]}"; do
${renderLoop(entries).join('\n')}
  done
  case "$before" in
    ${files}) _files; return ;;
  esac
${renderCases(entries, offer).join('\n')}
}
if [ "$funcstack[1]" = _etlctl ]; then _etlctl "$@"; else compdef _etlctl etlctl; fi
`;
}

function renderFish(entries: readonly Entry[]): string {
  const lines = entries.flatMap((entry) => {
    const start = `complete -c etlctl -n '${fishCondition(entry)}'`;
    return [
      ...entry.children.map(({ word, about }) => `${start} -a ${word} -d ${fishText(about)}`),
      ...(entry.values.length > 0 ? [`${start} -a ${fishText(entry.values.join(' '))}`] : []),
      ...entry.options.map((flag) => `${start} ${fishFlag(flag)} -d ${fishText(flag.about)}`),
    ];
  });
  return `# fish completion of etlctl\ncomplete -c etlctl -f\n${lines.join('\n')}\n`;
}

/** True where the command line names this command and, while it has children, none of them yet. */
function fishCondition({ name, children }: Entry): string {
  if (name === '') return '__fish_use_subcommand';
  const seen = name.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
  const none = `not __fish_seen_subcommand_from ${children.map(({ word }) => word).join(' ')}`;
  return [...seen, ...(children.length > 0 ? [none] : [])].join('; and ');
}

function fishFlag({ long, short, takesValue, choices }: Flag): string {
  const names = `-l ${long.slice(2)}${short === undefined ? '' : ` -s ${short.slice(1)}`}`;
  if (choices === 'files') return `${names} -r -F`;
  if (choices.length > 0)
    return `${names} ${takesValue ? '-x ' : ''}-a ${fishText(choices.join(' '))}`;
  return takesValue ? `${names} -x` : names;
}

function fishText(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
