// `etlctl completion`: a script for the shell, made from the commands themselves so that it can not miss one.

import type { Command } from 'commander';
import type { CommandResult, Io } from '../io.ts';
import { resources, singular } from '../resources.ts';

export interface CompletionRequest {
  readonly shell: string;
  readonly program: Command;
  readonly io: Io;
}

interface Entry {
  /** Words before it, such as `dlq`. */
  readonly path: string;
  /** What may follow. */
  readonly words: readonly string[];
}

export async function completion(request: CompletionRequest): Promise<CommandResult> {
  const entries = entriesOf(request.program, '');
  const render = { bash: renderBash, zsh: renderZsh, fish: renderFish }[request.shell];
  request.io.out((render as (entries: readonly Entry[]) => string)(entries));
  return { summary: '' };
}

function entriesOf(command: Command, path: string): Entry[] {
  const children = command.commands;
  const options = command.options
    .filter((option) => !option.hidden)
    .map((option) => option.long ?? option.short ?? '');
  const takesResource = command.registeredArguments.some(
    (argument) => argument.name() === 'resource',
  );
  const words = [
    ...children.map((child) => child.name()),
    ...(takesResource ? resources.flatMap((name) => [name, singular(name)]) : []),
    ...(command.registeredArguments[0]?.argChoices ?? []),
    ...options,
    '--help',
  ];
  return [
    { path, words },
    ...children.flatMap((child) =>
      entriesOf(child, path === '' ? child.name() : `${path} ${child.name()}`),
    ),
  ];
}

function renderBash(entries: readonly Entry[]): string {
  const cases = entries
    .map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`)
    .join('\n');
  return `# bash completion of etlctl
_etlctl() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
      -*) ;;
      dlq) path='dlq' ;;
      *) if [ "$path" = '' ] || [ "$path" = 'dlq' ]; then path="\${path:+$path }$word"; fi ;;
    esac
  done
  case "$path" in
${cases}
  esac
  if [[ "\${COMP_WORDS[COMP_CWORD-1]}" == -f || "\${COMP_WORDS[COMP_CWORD-1]}" == --filename ]]; then
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  else
    COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -F _etlctl etlctl
`;
}

function renderZsh(entries: readonly Entry[]): string {
  return `#compdef etlctl
autoload -U +X bashcompinit && bashcompinit
${renderBash(entries)}`;
}

function renderFish(entries: readonly Entry[]): string {
  const lines = entries.flatMap(({ path, words }) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ');
    return words.map((word) =>
      word.startsWith('--')
        ? `complete -c etlctl -n '${condition}' -l ${word.slice(2)}`
        : `complete -c etlctl -f -n '${condition}' -a ${word}`,
    );
  });
  return `# fish completion of etlctl\n${lines.join('\n')}\n`;
}
