// The guide's code, so that it can not rot: every `ts` block is type-checked with the repository's options, then run until
// it listens and stopped by SIGTERM.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/guides/write-a-stage.md'), 'utf8');
const blocks = Array.from(
  page.matchAll(/^```ts\n([\s\S]*?)^```$/gm),
  (match) => match[1] as string,
);

// Inside the repository, so that packages resolve as they do for its own code.
mkdirSync(join(root, '.cache'), { recursive: true });
const scratch = mkdtempSync(join(root, '.cache/guide-'));
const files = blocks.map((block, index) => {
  const file = join(scratch, `block-${index}.ts`);
  writeFileSync(file, block);
  return file;
});
after(() => rmSync(scratch, { recursive: true }));

test('the guide has a block for each kind and for registration', () => {
  for (const word of ['serveTransform(', 'serveSource(', 'serveSink(', 'register:'])
    assert.ok(
      blocks.some((block) => block.includes(word)),
      `a block with ${word}`,
    );
});

test('every block of the guide type-checks', async () => {
  const options = { extends: '../../tsconfig.json', include: ['*.ts'], exclude: [] };
  writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify(options));
  const { stdout } = await promisify(execFile)(
    join(root, 'node_modules/.bin/tsc'),
    ['-p', scratch],
    { cwd: root },
  ).catch((error: unknown) => error as { stdout: string });
  const own = stdout.split('\n').filter((line) => line.startsWith('.cache/'));
  assert.deepEqual(own, []);
});

for (const [index, file] of files.entries()) {
  test(`block ${index + 1} of the guide listens and stops`, async (t) => {
    const child = spawn(process.execPath, ['--conditions=etl-source', file], {
      env: { ...process.env, PORT: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.after(() => child.kill('SIGKILL'));
    const exit = once(child, 'exit');
    let log = '';
    createInterface(child.stderr).on('line', (line) => {
      log += `${line}\n`;
      if (line.includes(' listens')) child.kill('SIGTERM');
    });
    assert.deepEqual(await exit, [0, null], log);
  });
}
