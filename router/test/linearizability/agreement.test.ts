// Our checker beside porcupine, which others wrote, on the same files; and the command that does so for many.

import { deepEqual, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  formatRows,
  isWrong,
  type Judged,
  judge,
  makeCases,
  tabulate,
} from '../../linearizability/agreement.ts';
import { drawOptions, generateHistory } from '../../linearizability/generate.ts';
import { writeHistory } from '../../linearizability/history-file.ts';
import { mutations } from '../../linearizability/mutate.ts';
import { askPorcupine, buildPorcupine } from '../../linearizability/porcupine.ts';

const folder = mkdtempSync(join(tmpdir(), 'agreement-'));
after(() => rmSync(folder, { recursive: true }));

const main = fileURLToPath(new URL('../../linearizability/main.ts', import.meta.url));

function linear(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--conditions=etl-source', main, ...args],
    { encoding: 'utf8' },
  );
  return { code: status, out: stdout, err: stderr };
}

test('porcupine says of right and spoilt histories what we say', async () => {
  await buildPorcupine();
  const cases = makeCases(20, 1);
  const files = cases.map((_, at) => join(folder, `${at}.jsonl`));
  for (const [at, { history }] of cases.entries()) writeHistory(files[at] as string, history);
  const theirs = await askPorcupine(files, 30);
  const ours = cases.map(({ history }) => judge(history));
  deepEqual(ours, theirs);
  const count = (verdict: string): number => ours.filter((one) => one === verdict).length;
  equal(count('ok') >= 20 && count('illegal') >= 10, true, ours.join());
});

test('each way to spoil a history makes wrong ones, but for forgetting an outcome', () => {
  const verdicts = new Map(mutations.map(({ name }) => [name, new Set<string>()]));
  for (const { mutation, history } of makeCases(100, 500)) {
    verdicts.get(mutation)?.add(judge(history));
  }
  const harmless = [...verdicts].filter(([, seen]) => !seen.has('illegal'));
  deepEqual(
    harmless.map(([name]) => name),
    ['outcome forgotten'],
  );
});

test('checkers that disagree, do not decide, or call a right history wrong are at fault', () => {
  const one = { seed: 1, mutation: 'write lost', history: [] };
  const judged = (change: object): Judged => ({ ...one, ours: 'ok', theirs: 'ok', ...change });
  equal(isWrong(judged({})), false);
  equal(isWrong(judged({ ours: 'illegal', theirs: 'illegal' })), false);
  equal(isWrong(judged({ theirs: 'illegal' })), true);
  equal(isWrong(judged({ ours: 'undecided', theirs: 'undecided' })), true);
  equal(isWrong(judged({ mutation: 'none', ours: 'illegal', theirs: 'illegal' })), true);
  const rows = tabulate([judged({}), judged({ theirs: 'illegal' }), judged({ mutation: 'none' })]);
  equal(
    formatRows(rows),
    [
      'mutation      both ok   both not  undecided  disagreed',
      'write lost          1          0          0          1',
      'none                1          0          0          0',
    ].join('\n'),
  );
});

test('the command checks files, and its exit code says what it found', () => {
  const [right, wrong, unreadable] = ['right', 'wrong', 'unreadable'].map((name) =>
    join(folder, `${name}.jsonl`),
  ) as [string, string, string];
  writeHistory(right, generateHistory(drawOptions(1)));
  const read = { client: 1, id: 1, callNs: 1, returnNs: 2, op: 'readRegister' };
  const line = JSON.stringify({ ...read, in: { register: 1 }, out: { value: 1 } });
  writeFileSync(wrong, `${line}\n`);
  writeFileSync(unreadable, line);
  const fine = linear('check', right);
  equal(fine.code, 0, fine.err);
  match(fine.out, /right\.jsonl: ok: \d+ operations on \d+ keys/);
  const both = linear('check', '--porcupine', right, wrong);
  equal(both.code, 1, both.err);
  match(
    both.out,
    /register 1 is not linearizable: no order of its operations explains operation 1/,
  );
  const summary = JSON.parse(both.out.trim().split('\n').at(-1) as string) as object;
  deepEqual(
    { ...summary, operations: 0, unanswered: 0 },
    { histories: 2, operations: 0, unanswered: 0, ok: 1, illegal: 1, undecided: 0, disagreed: 0 },
  );
  const cut = linear('check', unreadable);
  equal(cut.code, 2);
  match(cut.err, /unreadable\.jsonl:1: is cut off\n$/);
});

const misuse: readonly (readonly [args: readonly string[], message: RegExp])[] = [
  [[], /^a command is missing\n\nusage: /],
  [['chek'], /^there is no "chek"\n/],
  [['check'], /^name the files to check\n/],
  [['check', '--max-step', '1', 'x'], /^Unknown option '--max-step'/],
  [['agree', 'x'], /^agree takes no files, but was given x\n/],
  [['agree', '--histories', '0'], /^--histories is "0"; give a whole number from 1 to 20000\n/],
];

for (const [args, message] of misuse) {
  test(`"${['linear', ...args].join(' ')}" is told what is wrong, and how it is used`, () => {
    const { code, out, err } = linear(...args);
    equal(code, 2);
    equal(out, '');
    match(err, message);
    match(err, /usage: npm run linear -- check/);
  });
}
