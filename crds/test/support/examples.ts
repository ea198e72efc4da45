// Every object that the repository shows: the files of examples/ and the blocks of its pages.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { type JsonObject, readYaml } from '@etl-router/pipeline';

const root = new URL('../../../', import.meta.url);

const files = execFileSync(
  'git',
  ['ls-files', '-co', '--exclude-standard', '*.md', 'examples/*.yaml', 'bench/*.yaml'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\n')
  .filter((file) => file !== '' && existsSync(new URL(file, root)));

/** The YAML texts of a file: itself, or the blocks of a page. */
function textsOf(file: string): string[] {
  const text = readFileSync(new URL(file, root), 'utf8');
  if (!file.endsWith('.md')) return [text];
  const blocks = text.matchAll(/^\s*```ya?ml\n([\s\S]*?)^\s*```/gm);
  return Array.from(blocks, (match) => match[1] as string);
}

export interface Example {
  readonly file: string;
  readonly object: JsonObject;
}

/** The objects of etl.router and of the earlier system. */
export const examples: readonly Example[] = files.flatMap((file) =>
  textsOf(file).flatMap((text) =>
    readYaml(text).documents.flatMap(({ value }) => {
      const object = value as JsonObject | null;
      const version = object?.['apiVersion'];
      const isOurs = typeof version === 'string' && /^etl\.(router|dev)\//.test(version);
      return object !== null && isOurs ? [{ file, object }] : [];
    }),
  ),
);
