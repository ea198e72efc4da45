// The schemas and the code that reads the objects say the same: what an API server takes, pipeline/ and the connectors
// take, and the other way round. What only one of them can know is named here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConnector } from '@etl-router/connectors';
import {
  connectorOf,
  isErrorFinding,
  type Json,
  type JsonObject,
  normalizePipeline,
  readManifest,
  type StageKind,
  validatePipeline,
} from '@etl-router/pipeline';
import fc from 'fast-check';
import { admit } from './support/admission.ts';
import { valuesOf } from './support/arbitrary.ts';
import { type Known, kindOf } from './support/open-api.ts';
import { overridesOf } from './support/overrides.ts';

type Spec = { readonly [name: string]: unknown };

const names = ['EtlSource', 'EtlTransform', 'EtlSink', 'EtlPipeline'];

function objectOf(kind: string, spec: unknown): Spec {
  const metadata = { name: 'orders', namespace: 'shop' };
  return { apiVersion: 'etl.router/v1', kind, metadata, spec };
}

/** What pipeline/ and the connectors have against an object, warnings left out. */
function faultsOf(object: Spec): string[] {
  const { manifests, findings } = readManifest(object as Json, 'shop');
  const manifest = manifests[0];
  const all = [...findings];
  if (manifest !== undefined && manifest.kind !== 'EtlPipeline') {
    const kind = manifest.kind.slice('Etl'.length).toLowerCase() as StageKind;
    all.push(...checkConnector(kind, connectorOf(manifest) ?? { type: '', config: {} }, 'it'));
  }
  return all.filter(isErrorFinding).map(({ path, message }) => `${path}: ${message}`);
}

/** What the graph says beside; an API server does not follow edges. */
function graphFaultsOf(object: Spec): string[] {
  const manifest = readManifest(object as Json, 'shop').manifests[0];
  const { pipeline } =
    manifest?.kind === 'EtlPipeline'
      ? normalizePipeline(manifest, () => undefined)
      : { pipeline: undefined };
  return pipeline === undefined
    ? []
    : validatePipeline(pipeline)
        .filter(isErrorFinding)
        .map(({ message }) => message);
}

/** Specs of the kind that an API server takes. */
function specsOf(known: Known): fc.Arbitrary<Spec> {
  const { spec, kind } = known.resource;
  const drawn = valuesOf(spec, overridesOf(kind)) as fc.Arbitrary<Spec>;
  const shaped =
    kind === 'EtlPipeline' ? fc.tuple(drawn, fc.nat(2)).map(oneForm) : drawn.map(withoutColumns);
  return shaped.filter((value) => admit(known, objectOf(kind, value)).problems.length === 0);
}

/** A line with one or several sinks, or a graph. */
function oneForm([spec, form]: [Spec, number]): Spec {
  const { source, transforms, sink, sinks, stages, edges, ...rest } = spec;
  if (form === 0) {
    const ends = [
      { name: 'first', sourceRef: { name: 'orders' } },
      { name: 'last', sinkRef: { name: 'wh' } },
    ];
    return { ...rest, stages: [...((stages ?? []) as Spec[]), ...ends], edges: edges ?? [] };
  }
  const line = {
    ...rest,
    source: source ?? { name: 'orders' },
    ...(transforms ? { transforms } : {}),
  };
  return form === 1 ? { ...line, sink: sink ?? { name: 'wh' } } : { ...line, sinks: sinks ?? [] };
}

/** What is said of `columns` is not for a schema to say: rules do not see what has several types. */
function withoutColumns(spec: Spec): Spec {
  const { duckdb, file } = spec as { readonly duckdb?: Spec; readonly file?: Spec };
  if (duckdb?.['columns'] !== undefined) {
    const { key: _, ...rest } = duckdb;
    return { ...spec, duckdb: rest };
  }
  if (file?.['columns'] === undefined || isTable(file)) return spec;
  const { columns: _, ...rest } = file;
  return { ...spec, file: rest };
}

function isTable({ format, path }: Spec): boolean {
  if (format !== undefined) return format !== 'jsonl';
  return /[.](csv|parquet)([.]gz)?$/i.test(String(path));
}

for (const name of names) {
  const runs = name === 'EtlPipeline' ? 50 : 200;
  const known = kindOf(name);

  test(`${name}: what an API server takes, the readers take`, () => {
    fc.assert(
      fc.property(specsOf(known), (spec) => {
        assert.deepEqual(faultsOf(objectOf(name, spec)), []);
      }),
      { numRuns: runs },
    );
  });

  test(`${name}: defaults of the schema are those of the readers`, () => {
    fc.assert(
      fc.property(specsOf(known), (spec) => {
        const { object } = admit(known, objectOf(name, spec));
        assert.deepEqual(faultsOf(object), []);
        if (name !== 'EtlPipeline') return;
        const [bare, filled] = [objectOf(name, spec), object].map((one) => {
          const [manifest] = readManifest(one as Json, 'shop').manifests;
          assert.ok(manifest !== undefined);
          return normalizePipeline(manifest, () => undefined).pipeline;
        });
        assert.deepEqual(filled, bare);
      }),
      { numRuns: runs },
    );
  });

  test(`${name}: neither takes a field that is unknown`, () => {
    fc.assert(
      fc.property(specsOf(known), fc.nat(), (spec, pick) => {
        const places = mapsIn(spec, known).filter(([first]) => first !== 'grpc');
        const place = places[pick % places.length] as string[];
        const changed = setAt(spec, [...place, 'unheardOf'], 1) as JsonObject;
        assert.notDeepEqual(admit(known, objectOf(name, changed)).problems, []);
        assert.notDeepEqual(faultsOf(objectOf(name, changed)), []);
      }),
      { numRuns: runs },
    );
  });

  test(`${name}: a value that is odd is taken by both or by neither`, () => {
    fc.assert(
      fc.property(specsOf(known), fc.nat(), fc.constantFrom(...oddities), (spec, pick, odd) => {
        const places = placesIn(spec);
        if (places.length === 0) return;
        const place = places[pick % places.length] as string[];
        const object = objectOf(name, setAt(spec, place, odd));
        const { problems } = admit(known, object);
        const faults = [...faultsOf(object), ...graphFaultsOf(object)];
        if (problems.length === 0) {
          const unknown = faultsOf(object).filter(
            (fault) => !readersOnly.some((known) => known.test(fault)),
          );
          assert.deepEqual(
            unknown,
            [],
            `only the readers refuse ${JSON.stringify(object['spec'])}`,
          );
        }
        if (faults.length === 0 && !problems.every(isSchemasOnly)) {
          assert.fail(
            `only the schema refuses ${JSON.stringify(object['spec'])}: ${problems.join()}`,
          );
        }
      }),
      { numRuns: 3 * runs },
    );
  });
}

const oddities: readonly Json[] = [
  0,
  -1,
  1.5,
  2 ** 40,
  '',
  'x',
  '1m',
  '0s',
  '99999h',
  '5Gi',
  '1',
  true,
  [],
  {},
  [{}],
  ['a'],
];

/** What only the readers can know: sizes in lists, expressions, the own namespace, and what stands where the schema is open. */
const readersOnly: readonly RegExp[] = [
  /maxBytes/,
  /\.namespace: /,
  /columns/,
  /edges\[\d+\]\.when/,
  /mappings/,
  /condition/,
];

/**
 * What only the schema knows: the settings of a service, which are read when it is dialled; the name of a cluster, which
 * is looked for; that an object stands where etlctl also takes a plain name; and that an empty text names nothing.
 */
function isSchemasOnly(problem: string): boolean {
  const isName = /(source|sink|\w+Ref|(transforms|sinks)\[\d+\]): must be of type object$/.test(
    problem,
  );
  const isEmpty = problem.endsWith('should be at least 1 chars long');
  return isName || isEmpty || /^spec\.(grpc|clusterRef)\b/.test(problem);
}

/** The paths of every value below the spec. */
function placesIn(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const at = [...path, name];
    return [at, ...placesIn(member, at)];
  });
}

/** The paths of the spec and of every object below whose fields are ours. */
function mapsIn(spec: Spec, { resource }: Known): string[][] {
  const found: string[][] = [];
  const visit = (
    schema: Known['resource']['spec'] | undefined,
    value: unknown,
    path: string[],
  ): void => {
    if (schema?.kind !== 'object') return;
    found.push(path);
    for (const [name, member] of Object.entries(value as Spec)) {
      visit(schema.fields[name] as typeof schema, member, [...path, name]);
    }
  };
  visit(resource.spec, spec, []);
  return found;
}

function setAt(value: unknown, [name = '', ...rest]: readonly string[], member: Json): unknown {
  if (Array.isArray(value)) {
    return value.map((item, index) =>
      String(index) !== name ? item : rest.length === 0 ? member : setAt(item, rest, member),
    );
  }
  const map = value as Spec;
  return { ...map, [name]: rest.length === 0 ? member : setAt(map[name], rest, member) };
}
