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

test('kubectl explains every field of every kind', async () => {
  for (const kind of kinds) {
    const text = await kubectl(['explain', kind, '--recursive']);
    assert.match(text, /DESCRIPTION:\n {4}\S/, kind);
    const spec = await kubectl(['explain', `${kind}.spec`]);
    assert.doesNotMatch(spec, /<no description>|<empty>/, kind);
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
