// The manifests: structural, bounded, described, and with rules that an API server would take.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { toDefinition } from '@etl-router/crds';
import { judge } from './support/admission.ts';
import { environment } from './support/cel.ts';
import { cardinalities, costOf, kindCostMax, ruleCostMax } from './support/cel-cost.ts';
import { type Definition, kinds, type OpenApi, walk } from './support/open-api.ts';

/** `Kind path` of every schema that a complaint is found about. */
function complaints(find: (schema: OpenApi, path: string) => string | undefined): string[] {
  return kinds.flatMap(({ resource, schema }) =>
    Array.from(walk(schema)).flatMap(([path, inner]) => {
      const found = find(inner, path);
      return found === undefined ? [] : [`${resource.kind} ${path}: ${found}`];
    }),
  );
}

test('there is one manifest a kind and nothing else', () => {
  const files = readdirSync(new URL('../manifests', import.meta.url)).toSorted();
  assert.deepEqual(files, kinds.map(({ resource }) => `${resource.plural}.yaml`).toSorted());
});

test('the manifests are what the kinds say', () => {
  for (const { resource, definition } of kinds)
    assert.deepEqual(definition, toDefinition(resource));
});

test('the kinds go by the names of the design', () => {
  const names = kinds.map(({ definition }) => {
    const { group, scope, names: given, versions } = definition.spec;
    assert.deepEqual(given['categories'], ['etl']);
    assert.deepEqual(definition.metadata.name.split('.').slice(0, 1), [given['plural']]);
    assert.ok(definition.metadata.name.endsWith(`.${group}`));
    return [
      group,
      scope,
      versions.map(({ name }) => name).join(),
      given['kind'],
      given['shortNames'],
    ];
  });
  assert.deepEqual(names, [
    ['etl.router', 'Namespaced', 'v1', 'EtlRouterCluster', ['erc']],
    ['etl.router', 'Namespaced', 'v1', 'EtlSource', ['esrc']],
    ['etl.router', 'Namespaced', 'v1', 'EtlTransform', ['etf']],
    ['etl.router', 'Namespaced', 'v1', 'EtlSink', ['esnk']],
    ['etl.router', 'Namespaced', 'v1', 'EtlPipeline', ['epl']],
  ]);
});

test('every field has a sentence', () => {
  const found = complaints(({ description = '' }, path) => {
    if (path === '' || path === 'metadata') return undefined;
    return /^\S.*[.*]$/.test(description) ? undefined : `says ${JSON.stringify(description)}`;
  });
  assert.deepEqual(found, []);
});

test('every text, list, map and number has a bound', () => {
  const found = complaints((schema, path) => {
    const isText = schema.type === 'string' || schema['x-kubernetes-int-or-string'] === true;
    if (isText && schema.maxLength === undefined && schema.enum === undefined)
      return 'no maxLength';
    if (schema.type === 'array' && schema.maxItems === undefined) return 'no maxItems';
    if (schema.additionalProperties !== undefined && schema.maxProperties === undefined)
      return 'no maxProperties';
    const isNumber = schema.type === 'integer' || schema.type === 'number';
    if (isNumber && (schema.minimum === undefined || schema.maximum === undefined))
      return 'no minimum or maximum';
    const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true;
    if (isOpen && path !== 'metadata' && schema.maxProperties === undefined) return 'no bound';
    return undefined;
  });
  assert.deepEqual(found, []);
});

test('what a schema does not know is named here', () => {
  const open = complaints((schema) =>
    schema['x-kubernetes-preserve-unknown-fields'] === true ? 'open' : undefined,
  );
  assert.deepEqual(
    open.map((line) => line.replace(/: open$/, '')),
    [
      'EtlRouterCluster spec.template.affinity.nodeAffinity',
      'EtlRouterCluster spec.template.affinity.podAffinity',
      'EtlRouterCluster spec.template.affinity.podAntiAffinity',
      'EtlSource spec.grpc.config',
      'EtlTransform spec.lookup.table.file.exclude.*[]',
      'EtlTransform spec.map.mappings[].literal',
      'EtlTransform spec.map.mappings[].default',
      'EtlTransform spec.grpc.config',
      'EtlSink spec.duckdb.columns.*',
      'EtlSink spec.file.columns.*',
      'EtlSink spec.grpc.config',
      'EtlPipeline spec.edges[].when',
    ],
  );
});

test('the schemas are structural', () => {
  const found = complaints((schema, path) => {
    const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true;
    const isMixed = schema['x-kubernetes-int-or-string'] === true;
    if (schema.type === undefined && !isOpen && !isMixed) return 'no type';
    if (schema.anyOf !== undefined && !isMixed) return 'anyOf';
    if (schema.properties !== undefined && schema.additionalProperties !== undefined)
      return 'properties and additionalProperties';
    const unknown = (schema.required ?? []).filter(
      (name) => schema.properties?.[name] === undefined,
    );
    if (unknown.length > 0) return `requires ${unknown.join()}, which it has not`;
    if (schema.pattern !== undefined && /\(\?[=!<]/.test(schema.pattern)) return 'not linear';
    if (path === '' && schema.type !== 'object') return 'no object';
    return listFault(schema);
  });
  assert.deepEqual(found, []);
});

/** A set has values of one word, a map has objects whose keys are always there. */
function listFault({ items, ...schema }: OpenApi): string | undefined {
  const merge = schema['x-kubernetes-list-type'];
  if (schema.type !== 'array') return merge === undefined ? undefined : 'a list type without list';
  if (items === undefined) return 'no items';
  if (merge === 'set') return items.type === 'string' ? undefined : 'a set of no texts';
  if (merge === 'atomic') return undefined;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const missing = keys.filter((key) => items.required?.includes(key) !== true);
  return keys.length === 0 || missing.length > 0 ? `keys ${missing.join()}` : undefined;
}

test('no rule of a list that nobody shares looks at what was there before', () => {
  const found = complaints((schema, path) => {
    const uncorrelated = path.includes('[]') && !/(members|env|stages|conditions)\[\]/.test(path);
    const rules = schema['x-kubernetes-validations'] ?? [];
    return uncorrelated && rules.some(({ rule }) => rule.includes('oldSelf'))
      ? 'oldSelf'
      : undefined;
  });
  assert.deepEqual(found, []);
});

test('every rule parses, and its message says what to do in one line', () => {
  const found = complaints((schema) =>
    (schema['x-kubernetes-validations'] ?? [])
      .map(({ rule, message }) => {
        environment.parse(rule);
        return message.length > 10 && message.length <= 200 && !message.includes('\n')
          ? undefined
          : message;
      })
      .find((fault) => fault !== undefined),
  );
  assert.deepEqual(found, []);
});

test('no rule may cost more than an API server allows', () => {
  for (const { resource, schema } of kinds) {
    const times = cardinalities(schema);
    let sum = 0;
    for (const [path, inner] of walk(schema)) {
      for (const { rule } of inner['x-kubernetes-validations'] ?? []) {
        const cost = costOf(rule, inner) * (times.get(path) as number);
        assert.ok(cost <= ruleCostMax, `${resource.kind} ${path}: ${rule} costs ${cost}`);
        sum += cost;
      }
    }
    assert.ok(sum <= kindCostMax, `${resource.kind}: ${sum}`);
  }
});

test('an unbounded text would be found to cost too much', () => {
  const unbounded: OpenApi = { type: 'object', properties: { name: { type: 'string' } } };
  assert.ok(costOf("self.name.matches('^a')", unbounded) > ruleCostMax);
});

test('columns, selectable fields and scale lead to fields that exist', () => {
  for (const { resource, definition, schema } of kinds) {
    const paths = new Map(walk(schema));
    const version = definition.spec.versions[0] as Definition['spec']['versions'][number];
    const { additionalPrinterColumns, selectableFields, subresources } = version;
    const scale = Object.values(
      (subresources['scale'] ?? {}) as { readonly [name: string]: string },
    );
    const used = [...additionalPrinterColumns, ...selectableFields].map(({ jsonPath }) => jsonPath);
    for (const jsonPath of [...used, ...scale]) {
      const path = jsonPath.replace(/\[\?\(@\.type=="\w+"\)\]/, '[]').slice(1);
      const isThere = paths.has(path) || path.startsWith('metadata.');
      assert.ok(isThere, `${resource.kind}: ${jsonPath}`);
    }
    for (const { jsonPath } of selectableFields)
      assert.ok(
        ['string', 'integer', 'boolean'].includes(paths.get(jsonPath.slice(1))?.type ?? ''),
      );
  }
});

test('every default is itself allowed, before anything is filled in', () => {
  const found = complaints((schema) => {
    const { default: fallback, ...rest } = schema;
    if (fallback === undefined) return undefined;
    const problems: string[] = [];
    judge(rest, fallback, problems);
    return problems.length === 0 ? undefined : problems.join();
  });
  assert.deepEqual(found, []);
});

test('kubectl get erc tells name, state, size, leader, term, version and age', () => {
  const [cluster] = kinds;
  const columns = cluster?.resource.columns ?? [];
  assert.deepEqual(
    columns.map(({ name, isWide }) => (isWide === true ? `${name} (wide)` : name)),
    ['Ready', 'Replicas', 'Leader', 'Term', 'Version', 'Age', 'Reason (wide)', 'Message (wide)'],
  );
});
