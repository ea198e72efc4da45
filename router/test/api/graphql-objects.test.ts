// What a list of objects costs: one walk over them, and one over the pipelines where it is asked who uses them.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { start } from './fixture.ts';

const manifests = [
  ...['a', 'b', 'c'].map((name) => ({
    kind: 'EtlSource',
    metadata: { name, namespace: 'shop' },
    spec: { file: { path: '/in.csv', format: 'csv' } },
  })),
  {
    kind: 'EtlSink',
    metadata: { name: 'out', namespace: 'shop' },
    spec: { file: { path: '/out.csv', format: 'csv' } },
  },
  ...['one', 'two'].map((name) => ({
    kind: 'EtlPipeline',
    metadata: { name, namespace: 'shop' },
    spec: {
      clusterRef: { name: 'main' },
      source: { sourceRef: { name: 'a' } },
      sink: { sinkRef: { name: 'out' } },
    },
  })),
];

async function listed(t: TestContext, fields: string): Promise<{ found: unknown; walks: number }> {
  const fixture = await start(t);
  for (const manifest of manifests) {
    const text = JSON.stringify({ apiVersion: 'etl.router/v1', ...manifest });
    const { data } = await fixture.graphql(
      'mutation ($text: String!) { applyObject(input: { manifest: $text }) { success message } }',
      { text },
    );
    assert.deepEqual(data?.['applyObject'], { success: true, message: null });
  }
  const { objects } = fixture.running.router;
  const list = t.mock.method(objects, 'list');
  const { data } = await fixture.graphql(
    `{ objects(kind: EtlSource, namespace: "shop") { ${fields} } }`,
  );
  return { found: data?.['objects'], walks: list.mock.callCount() };
}

test('names of objects are one walk over them', async (t) => {
  const { found, walks } = await listed(t, 'name');
  assert.deepEqual(found, [{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
  assert.equal(walks, 1);
});

test('who uses them is one walk over the pipelines, however many they are', async (t) => {
  const { found, walks } = await listed(t, 'name status');
  assert.deepEqual(found, [
    { name: 'a', status: { pipelines: 2 } },
    { name: 'b', status: { pipelines: 0 } },
    { name: 'c', status: { pipelines: 0 } },
  ]);
  assert.equal(walks, 2);
});
