// The scripts are run by a real shell where there is one: bash completes lines as it does at a prompt.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { etlctl } from './harness.ts';

const scriptOf = async (shell: string): Promise<string> => {
  const { code, out } = await etlctl(['completion', shell]);
  assert.equal(code, 0);
  return out;
};

/** What bash offers after these words; the last one is being typed. */
function complete(script: string, words: readonly string[]): string[] {
  const ask = `${script}
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _etlctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync('bash', ['-c', ask, 'bash', 'etlctl', ...words], {
    encoding: 'utf8',
    cwd: import.meta.dirname,
  });
  return out.split('\n').filter((line) => line !== '');
}

test('bash parses its script and completes commands, resources, flags and their values', async () => {
  const script = await scriptOf('bash');
  execFileSync('bash', ['-n'], { input: script });
  const offers: [string[], string[]][] = [
    [['comp'], ['completion']],
    [['dlq', 'r'], ['redrive']],
    [
      ['get', 'pip'],
      ['pipelines', 'pipeline'],
    ],
    [
      ['-n', 'shop', 'get', 'sin'],
      ['sinks', 'sink'],
    ],
    [['dlq', '-n', 'ls', 'sho'], ['show']],
    [['graph', '--format', 'd'], ['dot']],
    [['graph', '--format', '=', 'm'], ['mermaid']],
    [['get', 'sinks', '-o', 'y'], ['yaml']],
    [
      ['apply', '-o', ''],
      ['table', 'json'],
    ],
    [['completion', 'z'], ['zsh']],
    [['apply', '--rec'], ['--recursive']],
    [['apply', '-f', 'compl'], ['completion.test.ts']],
    [['get', 'sinks', '-n', ''], []],
    [['nonsense', ''], []],
  ];
  for (const [words, offered] of offers)
    assert.deepEqual(complete(script, words), offered, words.join(' '));
});

test('the script of zsh takes no variable that zsh gives a meaning, and is bash enough to parse', async () => {
  const script = await scriptOf('zsh');
  assert.match(script, /^#compdef etlctl\n/);
  assert.doesNotMatch(script, /\blocal [^\n]*\b(?:path|words|status|options|commands)\b=/);
  const plain = script.replace('"${(@)words[2,CURRENT-1]}"', '"$@"');
  assert.notEqual(plain, script);
  execFileSync('bash', ['-n'], { input: plain });
});

test('every line of the script of fish is one call of complete with its quotes closed', async () => {
  const lines = (await scriptOf('fish')).trimEnd().split('\n').slice(1);
  for (const line of lines) {
    assert.match(line, /^complete -c etlctl /);
    assert.equal(line.replaceAll("\\'", '').split("'").length % 2, 1, line);
  }
  assert.ok(
    lines.some((line) => line.includes("from dlq; and __fish_seen_subcommand_from ls' -l stage")),
  );
});

test('every command and flag is in every script', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await scriptOf(shell);
    for (const word of [
      'apply',
      'redrive',
      'pipelines',
      'completion',
      'ignore-not-found',
      'mermaid',
    ])
      assert.ok(script.includes(word), `${shell}: ${word}`);
  }
  assert.equal((await etlctl(['completion', 'tcsh'])).code, 2);
});
