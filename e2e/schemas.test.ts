// The kinds on a real API server: it takes the manifests, every example of this repository, and what it refuses of an
// EtlRouterCluster is what our own admission refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, readManifest } from '@etl-router/pipeline';
import { examples } from '../crds/test/support/examples.ts';
import { refused } from '../crds/test/support/refused-clusters.ts';
import { CommandError, kubectl } from './harness/kubectl.ts';

const namespace = 'default';
const server = ['--server-side', '--force-conflicts', '--field-manager=e2e'];
const kinds = ['etlrouterclusters', 'etlpipelines', 'etlsources', 'etltransforms', 'etlsinks'];

interface Definition {
  readonly status: { readonly conditions: readonly { type: string; status: string }[] };
}

test('the manifests are taken as they stand, and every kind is established', async () => {
  await kubectl(['apply', ...server, '--dry-run=server', '-f', 'crds/manifests']);
  for (const kind of kinds) {
    const text = await kubectl(['get', 'crd', `${kind}.etl.router`, '-o', 'json']);
    const { status } = JSON.parse(text) as Definition;
    const is = (type: string): string | undefined =>
      status.conditions.find((each) => each.type === type)?.status;
    assert.equal(is('Established'), 'True', kind);
    assert.equal(is('NamesAccepted'), 'True', kind);
    assert.notEqual(is('NonStructuralSchema'), 'True', kind);
  }
});

/** The schema of a part as the API server publishes it, which is what kubectl explains. */
interface Schema {
  readonly description?: string;
  readonly properties?: { readonly [field: string]: Schema };
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

/** Paths of all parts below, each with what is said of it. */
function partsOf(schema: Schema, path: string): readonly (readonly [string, string])[] {
  const { description = '', properties = {}, items, additionalProperties } = schema;
  const below = [
    ...Object.entries(properties).map(([name, part]) => partsOf(part, `${path}.${name}`)),
    ...(items === undefined ? [] : [partsOf(items, `${path}[]`)]),
    ...(typeof additionalProperties === 'object'
      ? [partsOf(additionalProperties, `${path}.*`)]
      : []),
  ];
  return [[path, description], ...below.flat()];
}

test('kubectl explains every field of every kind, at any depth', async () => {
  const published = JSON.parse(
    await kubectl(['get', '--raw', '/openapi/v3/apis/etl.router/v1']),
  ) as { readonly components: { readonly schemas: { readonly [name: string]: Schema } } };
  for (const kind of kinds) {
    const text = await kubectl(['get', 'crd', `${kind}.etl.router`, '-o', 'json']);
    const { spec } = JSON.parse(text) as { readonly spec: { readonly names: { kind: string } } };
    const schema = published.components.schemas[`router.etl.v1.${spec.names.kind}`];
    const { spec: wanted = {}, status = {} } = schema?.properties ?? {};
    const parts = [...partsOf(wanted, 'spec'), ...partsOf(status, 'status')];
    assert.ok(parts.length > 10, `${kind} has fields`);
    const silent = parts.filter(([, said]) => said.trim() === '').map(([path]) => path);
    assert.deepEqual(silent, [], kind);
    assert.match(await kubectl(['explain', kind]), /DESCRIPTION:\n {4}\S/, kind);
  }
});

/** The objects as they are sent: in the spelling of today. */
function sent(): readonly object[] {
  return examples.flatMap(({ object }) => {
    if ((object['kind'] as string).startsWith('Etl')) return [object];
    return readManifest(object as Json, namespace).manifests.map(({ kind, metadata, spec }) => ({
      apiVersion: 'etl.router/v1',
      kind,
      metadata: { name: metadata.name, namespace: metadata.namespace },
      spec,
    }));
  });
}

test('every example of the repository is taken', async () => {
  const objects = sent().map((object) => {
    const { metadata } = object as { readonly metadata: { readonly name: string } };
    return { ...object, metadata: { ...metadata, namespace } };
  });
  assert.ok(objects.length > 10);
  const args = ['apply', ...server, '--dry-run=server', '--validate=strict', '-f', '-'];
  await kubectl(args, {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  });
});

/** Creates the object without keeping it; what the API server has against it. */
async function complaintOf(spec: object): Promise<string | undefined> {
  const path = `/apis/etl.router/v1/namespaces/${namespace}/etlrouterclusters`;
  const metadata = { name: 'main', namespace };
  const object = { apiVersion: 'etl.router/v1', kind: 'EtlRouterCluster', metadata, spec };
  try {
    const args = ['create', '--raw', `${path}?dryRun=All&fieldValidation=Strict`, '-f', '-'];
    await kubectl(args, { input: JSON.stringify(object) });
    return undefined;
  } catch (error) {
    if (error instanceof CommandError) return error.output;
    throw error;
  }
}

test('an EtlRouterCluster that our admission refuses is refused', async () => {
  assert.equal(await complaintOf({ replicas: 3 }), undefined);
  const taken: string[] = [];
  const unclear: string[] = [];
  for (const [what, spec] of refused) {
    const complaint = await complaintOf(spec);
    if (complaint === undefined) taken.push(what);
    else if (!/invalid|unknown field|Too many|must be|strict decoding/i.test(complaint))
      unclear.push(`${what}: ${complaint}`);
  }
  assert.deepEqual({ taken, unclear }, { taken: [], unclear: [] });
});
