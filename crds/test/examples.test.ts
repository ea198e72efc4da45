// Every object that the repository shows: an API server takes it, as it stands or, where it is written in a spelling of
// the earlier system, as what it is turned into.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, readManifest } from '@etl-router/pipeline';
import { admit } from './support/admission.ts';
import { type Example, examples } from './support/examples.ts';
import { kindOf, kinds } from './support/open-api.ts';

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
