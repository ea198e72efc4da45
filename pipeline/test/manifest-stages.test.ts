import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  lookupIn,
  normalizePipeline,
  parseManifests,
  parseManifestsStrictly,
  validatePipeline,
} from '@etl-router/pipeline';

function stages(list: string): string {
  return `apiVersion: etl.dev/v1\nkind: Pipeline\nmetadata: {name: clicks, namespace: web}\nspec:\n  stages:\n${list}`;
}

test('a stage manifest becomes a pipeline and one object for each service', () => {
  const manifests = parseManifestsStrictly(
    stages(`
    - id: in
      name: Both
      type: fan-in
      sources:
        - {id: web, name: Web, service: {name: web-clicks}, watermark: {event_time_field: at, idle_timeout: 5s}}
        - {id: app, name: App, service: {name: app-clicks}}
      watermark: {allowed_lateness: 30s}
    - {id: clean, name: Clean, type: transform, service: {name: cleaner}, config: {transform_type: filter}}
    - id: out
      name: Split
      type: fan-out
      sinks:
        - {id: lake, name: Lake, service: {name: lake}}
        - {id: live, name: Live, config: {sink_type: grpc, endpoint: "live:1"}}
`),
  );
  assert.deepEqual(
    manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
    [
      'EtlSource clicks-in-web',
      'EtlSource clicks-in-app',
      'EtlTransform clicks-clean',
      'EtlSink clicks-out-lake',
      'EtlSink clicks-out-live',
      'EtlPipeline clicks',
    ],
  );
  assert.deepEqual(manifests[4]?.spec, {
    grpc: { endpoint: 'live:1', config: { sink_type: 'grpc', endpoint: 'live:1' } },
  });
  const last = manifests.at(-1);
  assert.ok(last !== undefined);
  const { pipeline, findings } = normalizePipeline(last, lookupIn(manifests));
  assert.deepEqual(findings, []);
  assert.ok(pipeline !== undefined);
  assert.deepEqual(validatePipeline(pipeline), []);
  assert.deepEqual(
    pipeline.edges.map(({ from, to }) => `${from} ${to}`),
    ['in-web clean', 'in-app clean', 'clean out-lake', 'clean out-live'],
  );
  assert.equal(pipeline.watermark.field, 'data.at');
  assert.equal(pipeline.watermark.idleThresholdMs, 5000);
  assert.equal(pipeline.watermark.allowedLatenessMs, 30_000);
});

test('what has no meaning in the graph is an error, never left out', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['{id: a, type: lookup, service: {name: x}}', 'spec.stages[0].type'],
    ['{id: a, type: source, service: {name: x}, parallelism: 4}', 'spec.stages[0].parallelism'],
    [
      '{id: a, type: source, service: {name: x, load_balance: round_robin}}',
      'spec.stages[0].service.load_balance',
    ],
    ['{id: a, type: source, service: {name: x, group: g}}', 'spec.stages[0].service.group'],
    ['{id: a, type: source, service: {name: x}, mapping: []}', 'spec.stages[0].mapping'],
  ];
  for (const [stage, path] of cases) {
    const { manifests, findings } = parseManifests(stages(`    - ${stage}\n`));
    assert.deepEqual(manifests, []);
    assert.ok(
      findings.some((finding) => finding.code === 'Unsupported' && finding.path === path),
      stage,
    );
  }
});

test('stages without what they need are errors', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['{id: a, type: sorce}', 'BadValue spec.stages[0].type'],
    ['{type: source, service: {name: x}}', 'MissingField spec.stages[0].id'],
    ['{id: a, type: source, config: {source_type: kafka}}', 'MissingField spec.stages[0].service'],
    [
      '{id: a, type: fan-in, sources: [{id: b, service: {name: x}}]}',
      'MissingField spec.stages[0].sources',
    ],
    ['{id: "...", type: source, service: {name: x}}', 'BadName spec.stages[0].id'],
    [
      '{id: a, type: source, service: {name: x}, colour: red}',
      'UnknownField spec.stages[0].colour',
    ],
  ];
  for (const [stage, expected] of cases) {
    const { findings } = parseManifests(stages(`    - ${stage}\n`));
    const found = findings.map(({ code, path }) => `${code} ${path}`);
    assert.ok(found.includes(expected), `${stage}: ${found.join(', ')}`);
  }
});
