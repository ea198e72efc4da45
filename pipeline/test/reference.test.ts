import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compileExpression, findingCodes, parseManifests } from '@etl-router/pipeline';

function read(name: string): string {
  return readFileSync(new URL(`../../docs/reference/${name}`, import.meta.url), 'utf8');
}

function blocks(text: string, language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm');
  return [...text.matchAll(fence)].map(([, body]) => body as string);
}

test('the reference lists every finding code and no other', () => {
  const section = read('manifests.md').split('## Findings')[1] as string;
  const listed = [...section.matchAll(/^\| `(\w+)`\s*\| (.*?)\s*\|$/gm)].map(
    ([, code, meaning]) => [code, meaning],
  );
  assert.deepEqual(listed, Object.entries(findingCodes));
});

test('the manifests of the reference are accepted as they stand', () => {
  const manifests = blocks(read('manifests.md'), 'yaml');
  assert.ok(manifests.length >= 2);
  for (const text of manifests) assert.deepEqual(parseManifests(text).findings, [], text);
});

test('the expressions of the reference compile as they stand', () => {
  const [examples] = blocks(read('expressions.md'), '');
  const lines = (examples as string).trim().split('\n');
  assert.ok(lines.length >= 8);
  for (const line of lines) compileExpression(line);
});
