// Every object that the repository shows: an API server takes it, as it stands or, where it is written in a spelling of
// the earlier system, as what it is turned into.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Json, type JsonObject, readManifest, readYaml } from '@etl-router/pipeline';
import { admit } from './support/admission.ts';
import { kindOf, kinds } from './support/open-api.ts';

const root = new URL('../../', import.meta.url);

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

interface Example {
  readonly file: string;
  readonly object: JsonObject;
}

/** The objects of etl.router and of the earlier system. */
const examples: readonly Example[] = files.flatMap((file) =>
  textsOf(file).flatMap((text) =>
    readYaml(text).documents.flatMap(({ value }) => {
      const object = value as JsonObject | null;
      const version = object?.['apiVersion'];
      const isOurs = typeof version === 'string' && /^etl\.(router|dev)\//.test(version);
      return object !== null && isOurs ? [{ file, object }] : [];
    }),
  ),
);

const isKnown = ({ object }: Example): boolean =>
  kinds.some(({ resource }) => resource.kind === object['kind']);

function named({ file, object }: Example): string {
  const { kind, metadata } = object as {
    readonly kind: string;
    readonly metadata: { readonly name: string };
  };
  return `${file}: ${kind} ${metadata.name}`;
}

test('the examples are found, each kind among them', () => {
  const found = new Set(examples.map(({ object }) => object['kind']));
  for (const kind of ['EtlSource', 'EtlTransform', 'EtlSink', 'EtlPipeline', 'Pipeline'])
    assert.ok(found.has(kind), kind);
});

for (const example of examples.filter(isKnown)) {
  test(`${named(example)} is taken`, () => {
    const { problems } = admit(kindOf(example.object['kind'] as string), example.object);
    assert.deepEqual(problems, []);
  });
}

for (const example of examples.filter((one) => !isKnown(one))) {
  test(`${named(example)} is taken as what it is turned into`, () => {
    const { manifests } = readManifest(example.object as Json, 'default');
    assert.ok(manifests.length > 0);
    for (const { kind, metadata, spec } of manifests) {
      const object = { apiVersion: 'etl.router/v1', kind, metadata, spec };
      assert.deepEqual(admit(kindOf(kind), object).problems, []);
    }
  });
}
