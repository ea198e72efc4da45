// Fenced blocks of a page, for those who run or check what the docs say.

import assert from 'node:assert/strict';

/** One fenced block. */
export interface Block {
  readonly language: string;
  readonly text: string;
  /** Of its fence, counted from 1. */
  readonly line: number;
  /** The heading that it stands below, without its marks. */
  readonly section: string;
  /** The two lines right above it, where a comment says whether it is run. */
  readonly above: string;
}

/** The blocks of a page, in order. */
export function blocksOf(markdown: string): Block[] {
  const lines = markdown.split('\n');
  const blocks: Block[] = [];
  let section = '';
  for (let index = 0; index < lines.length; index++) {
    section = /^#+ (.*)$/.exec(lines[index] as string)?.[1] ?? section;
    const fence = /^\s*```(\w+)?/.exec(lines[index] as string);
    if (fence === null) continue;
    const end = lines.findIndex((line, at) => at > index && /^\s*```\s*$/.test(line));
    assert.ok(end > 0, `line ${index + 1}: a fence is never closed`);
    blocks.push({
      language: fence[1] ?? '',
      text: lines.slice(index + 1, end).join('\n'),
      line: index + 1,
      section,
      above: lines.slice(Math.max(0, index - 2), index).join('\n'),
    });
    index = end;
  }
  return blocks;
}

/** The test that runs a block somewhere else than here: `<!-- run by: e2e/guides.test.ts -->` above it. */
export function runnerOf({ above }: Block): string | undefined {
  return /<!-- run by: (\S+) -->\s*$/.exec(above)?.[1];
}
