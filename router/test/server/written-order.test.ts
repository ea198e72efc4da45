// The order in which the settings of a connector are written is the order of a table's columns.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type JsonObject,
  parseManifests,
  toManifestJson,
  toManifestYaml,
} from '@etl-router/pipeline';
import { allText, createWorld, settle, sinkText, type World, withSidecar } from './harness.ts';

const written = '{ zip: text, amount: {type: double, from: data.sum}, name: text, Id: integer }';
const names = ['zip', 'amount', 'name', 'Id'];
const out = { kind: 'EtlSink', namespace: 'shop', name: 'out' } as const;

/** The sink of the text with columns in the given order. */
function sinkWith(columns: string): string {
  return `
apiVersion: etl.router/v1
kind: EtlSink
metadata: { name: out, namespace: shop }
spec:
  file:
    path: out.csv
    format: csv
    columns: ${columns}
`;
}

function columnsOf(settings: JsonObject | undefined): string[] {
  return Object.keys(settings?.['columns'] as JsonObject);
}

function assigned(world: World): JsonObject | undefined {
  const { pipeline } = world.router.sidecars.assignment('shop/orders') ?? {};
  return pipeline?.stages.find(({ kind }) => kind === 'sink')?.connector?.config;
}

async function apply(world: World, text: string) {
  const { outcomes, findings } = await world.router.objects.applyText(text);
  assert.deepEqual(findings, []);
  await settle(world);
  return outcomes[0];
}

test('columns reach the store, its text and the plan in the order they were written', async () => {
  const world = createWorld();
  await withSidecar(world);
  await apply(world, allText.replace(sinkText, sinkWith(written)));
  await apply(world, sinkWith(written));
  const stored = world.router.objects.get(out);
  assert.ok(stored);
  assert.deepEqual(columnsOf(stored.manifest.spec['file'] as JsonObject), names);
  assert.deepEqual(Object.keys(stored.manifest.spec['file'] as JsonObject), [
    'path',
    'format',
    'columns',
  ]);
  assert.deepEqual(columnsOf(assigned(world)), names);
  for (const text of [toManifestYaml(stored.manifest), toManifestJson(stored.manifest)]) {
    const [read] = parseManifests(text).manifests;
    assert.deepEqual(columnsOf(read?.spec['file'] as JsonObject), names);
    assert.equal(
      (await apply(world, text))?.outcome,
      'unchanged',
      'what is printed changes nothing',
    );
  }
  await world.router.close();
});

test('another order of columns is a change that reaches the plan', async () => {
  const world = createWorld();
  await withSidecar(world);
  await apply(world, allText);
  await apply(world, sinkWith(written));
  const before = world.router.objects.get(out)?.generation as number;
  const other = '{ Id: integer, name: text, amount: {type: double, from: data.sum}, zip: text }';
  const { outcome, object } = (await apply(world, sinkWith(other))) ?? {};
  assert.equal(outcome, 'configured');
  assert.equal(object?.generation, before + 1);
  assert.deepEqual(columnsOf(assigned(world)), names.toReversed());
  await world.router.close();
});

test('another order of the fields of a pipeline does not start it anew', async () => {
  const world = createWorld();
  await withSidecar(world);
  await apply(world, allText);
  const manifest = world.router.objects.get({
    ...out,
    kind: 'EtlPipeline',
    name: 'orders',
  })?.manifest;
  assert.ok(manifest);
  const plan = world.router.sidecars.assignment('shop/orders')?.planVersion;
  assert.ok(plan !== undefined);
  const spec = Object.fromEntries(Object.entries(manifest.spec).toReversed());
  await world.router.objects.apply({ ...manifest, spec });
  await settle(world);
  assert.equal(world.router.sidecars.assignment('shop/orders')?.planVersion, plan);
  await world.router.close();
});
