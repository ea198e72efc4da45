// Docs that can not rot: every YAML block is a valid manifest or file, every shell block runs, every link and path
// exists. A `sh` block runs in a scratch checkout-like folder with `etlctl` on the PATH, block after block. A block
// that can not run here has a comment above it, `<!-- not run: why -->`; a page whose blocks need a running router says
// `<!-- needs: router -->` once and gets one on free ports, with ETLCTL_SERVER set.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const pages = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((page) => page !== '' && existsSync(page));

/** One fenced block: its language, text, first line in the page, and the comment right above it. */
interface Block {
  readonly language: string;
  readonly text: string;
  readonly line: number;
  readonly above: string;
}

export function blocksOf(markdown: string): Block[] {
  const lines = markdown.split('\n');
  const blocks: Block[] = [];
  for (let index = 0; index < lines.length; index++) {
    const fence = /^\s*```(\w+)?/.exec(lines[index] as string);
    if (fence === null) continue;
    const end = lines.findIndex((line, at) => at > index && /^\s*```\s*$/.test(line));
    assert.ok(end > 0, `line ${index + 1}: a fence is never closed`);
    blocks.push({
      language: fence[1] ?? '',
      text: lines.slice(index + 1, end).join('\n'),
      line: index + 1,
      above: lines.slice(Math.max(0, index - 2), index).join('\n'),
    });
    index = end;
  }
  return blocks;
}

test('every relative link in the docs leads to a file', () => {
  const broken = pages.flatMap((page) => {
    const links = readFileSync(page, 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g);
    return Array.from(links, (match) => match[1] as string)
      .filter((link) => !existsSync(normalize(join(dirname(page), link))))
      .map((link) => `${page}: ${link}`);
  });
  assert.deepEqual(broken, []);
});

test('every file that the docs name in backticks exists', () => {
  const broken = pages.flatMap((page) => {
    const names = readFileSync(page, 'utf8').matchAll(
      /`((?:core|proto|pipeline|connectors|sdk|router|sidecar|cli|standalone|scripts|docs|examples|bench)\/[\w./-]+)`/g,
    );
    return Array.from(names, (match) => match[1] as string)
      .filter((name) => !existsSync(name.replace(/\/$/, '')))
      .map((name) => `${page}: ${name}`);
  });
  assert.deepEqual(broken, []);
});
