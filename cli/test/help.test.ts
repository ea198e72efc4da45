import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import type { Command } from 'commander';
import { explanationOf } from '../src/help.ts';
import { createProgram } from '../src/program.ts';
import { etlctl } from './harness.ts';

const program = createProgram(
  {
    out: () => {},
    err: () => {},
    stdin: Readable.from([]),
    env: {},
    clock: new ManualClock(0),
    isTty: false,
    signal: new AbortController().signal,
  },
  { exitCode: 0 },
);

function leavesOf(command: Command, name: readonly string[] = []): [string[], Command][] {
  if (command.commands.length === 0) return [[[...name], command]];
  return command.commands.flatMap((child) => leavesOf(child, [...name, child.name()]));
}

for (const [name, command] of leavesOf(program)) {
  test(`the help of ${name.join(' ')} tells usage, every argument and flag, examples and exit codes`, async () => {
    const { code, out, err } = await etlctl([...name, '--help']);
    assert.deepEqual([code, err], [0, '']);
    assert.ok(out.startsWith(`Usage: etlctl ${name.join(' ')} `), out);
    for (const argument of command.registeredArguments)
      assert.notEqual(argument.description, '', argument.name());
    for (const option of command.options.filter(({ hidden }) => !hidden))
      assert.notEqual(option.description, '', option.flags);
    assert.match(out, /\nExamples:\n {2}# .+\n {2}.*etlctl /);
    assert.match(out, /\nExit codes:\n {2}0 {6}ok\n/);
    for (const line of out.split('\n')) assert.ok(line.length <= 110, line);
    const help = await etlctl(['help', ...name.slice(0, 1)]);
    assert.equal(help.code, 0);
  });

  test(`the examples of ${name.join(' ')} are of the command and name flags that exist`, () => {
    const flags = command.options.flatMap(({ short, long }) => [short, long]);
    for (const { line } of explanationOf(command)?.examples ?? []) {
      const own =
        /etlctl [^|&]*/.exec(line.slice(line.lastIndexOf(`etlctl ${name.join(' ')}`)))?.[0] ?? '';
      assert.ok(own.startsWith(`etlctl ${name.join(' ')}`), line);
      for (const [flag] of own.matchAll(/(?<= )--?[a-zA-Z][\w-]*/g))
        assert.ok(flags.includes(flag), `${line}: ${flag}`);
    }
  });
}
