import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type Finding,
  formatFinding,
  lookupIn,
  normalizePipeline,
  parseManifests,
  parseManifestsStrictly,
  parsePipelineConfig,
  toManifestJson,
  toManifestYaml,
  validatePipeline,
} from '@etl-router/pipeline';

function codes(findings: readonly Finding[]): string[] {
  return findings.map(
    ({ code, path, line }) => `${code} ${path}${line === undefined ? '' : `:${line}`}`,
  );
}

const exampleFile = new URL(
  '../../examples/manifests/pipelines/user-analytics.yaml',
  import.meta.url,
);

test('the pipeline of the earlier system is accepted with its four references unresolved', () => {
  const { manifests, findings } = parseManifests(readFileSync(exampleFile));
  assert.deepEqual(findings, []);
  const [manifest] = manifests;
  assert.ok(manifest?.kind === 'EtlPipeline');
  const { pipeline, findings: warnings } = normalizePipeline(manifest, lookupIn(manifests));
  assert.deepEqual(codes(warnings), [
    'UnresolvedRef spec.source',
    'UnresolvedRef spec.transforms[0]',
    'UnresolvedRef spec.transforms[1]',
    'UnresolvedRef spec.sink',
  ]);
  assert.ok(pipeline !== undefined);
  assert.deepEqual(validatePipeline(pipeline), []);
  assert.equal(pipeline.id, 'default/user-analytics');
  assert.equal(pipeline.state, 'running');
  assert.deepEqual(
    pipeline.stages.map(({ name, kind, connector }) => [name, kind, connector]),
    [
      ['kafka-user-events', 'source', undefined],
      ['filter-active-users', 'transform', undefined],
      ['mask-pii', 'transform', undefined],
      ['grpc-analytics', 'sink', undefined],
    ],
  );
});

test('plain-string references, steps and a dead-letter queue mean the same as the words of today', () => {
  const text = `
apiVersion: etl.router/v1
kind: Pipeline
metadata: {name: flat, namespace: shop}
spec:
  source: orders
  steps: [clean, clean]
  sink: warehouse
  enabled: false
  dlq: {sink: dead, maxRetries: 2, retryBackoffMs: 1500, maxRetryBackoffMs: 60000}
`;
  const [manifest] = parseManifestsStrictly(text);
  assert.ok(manifest !== undefined);
  const { pipeline } = normalizePipeline(manifest, () => undefined);
  assert.ok(pipeline !== undefined);
  assert.equal(pipeline.state, 'stopped');
  assert.equal(pipeline.delivery.retry.maxAttempts, 3);
  assert.equal(pipeline.delivery.retry.backoff.initialMs, 1500);
  assert.equal(pipeline.delivery.retry.backoff.capMs, 60_000);
  assert.equal(pipeline.deadLetterSink, 'dead-letters');
  assert.deepEqual(
    pipeline.edges.map(({ from, to }) => [from, to]),
    [
      ['orders', 'clean'],
      ['clean', 'clean-2'],
      ['clean-2', 'warehouse'],
    ],
  );
  assert.deepEqual(validatePipeline(pipeline), []);
});

test('a service of the earlier system becomes a gRPC connector with its settings', () => {
  const text = `
apiVersion: etl.router/v1
kind: Transform
metadata: {name: mask}
spec:
  grpc: {endpoint: "mask:50051", proto: mask.proto, tls: {caCert: /ca.pem, insecureSkipVerify: false}}
  config: {fields: [email]}
`;
  const [manifest] = parseManifestsStrictly(text);
  assert.equal(manifest?.kind, 'EtlTransform');
  assert.deepEqual(manifest.spec, {
    grpc: {
      endpoint: 'mask:50051',
      proto: 'mask.proto',
      tls: { caCert: '/ca.pem', insecureSkipVerify: false },
      config: { fields: ['email'] },
    },
  });
});

test('one bad document does not hide the others, and every error names object, field and line', () => {
  const text = `apiVersion: etl.router/v1
kind: EtlPipline
metadata: {name: x}
---
apiVersion: etl.router/v1
kind: EtlSource
metadata: {name: good}
spec: {generator: {}}
---
apiVersion: etl.router/v1
kind: EtlPipeline
metadata: {name: bad}
spec:
  state: runing
  stages:
    - {name: a, sourceRef: {name: a}}
    - {name: B, sinkRef: {name: b, namespace: other}}
  edges:
    - {from: a, to: B, overflow: {policy: spil, after: 5}}
    - {from: a, too: B}
  limits: {inFlightBytes: 10MB}
`;
  const { manifests, findings } = parseManifests(text);
  assert.deepEqual(
    manifests.map(({ metadata }) => metadata.name),
    ['good'],
  );
  assert.deepEqual(codes(findings), [
    'UnknownKind kind:2',
    'BadValue spec.state:14',
    'BadName spec.stages[1].name:17',
    'CrossNamespaceRef spec.stages[1].sinkRef.namespace:17',
    'BadValue spec.edges[0].overflow.policy:19',
    'WrongType spec.edges[0].overflow.after:19',
    'UnknownField spec.edges[1].too:20',
    'BadValue spec.limits.inFlightBytes:21',
  ]);
});

test('suggestions name the nearest word', () => {
  const { findings } = parseManifests(
    'apiVersion: etl.router/v1\nkind: EtlPipline\nmetadata: {name: x}\nspec: {}',
  );
  assert.equal(
    formatFinding(findings[0] as Finding),
    'EtlPipline default/x, kind, line 2: "EtlPipline" is none of EtlSource, EtlTransform, EtlSink, EtlPipeline; did you mean "EtlPipeline"?',
  );
});

test('a wrong name in the envelope is told, and what it means is not called missing', () => {
  const cases = [
    ['apiVerson: etl.router/v1\nkind: EtlSource\nmetadata: {name: a}\nspec: {}', 'apiVerson'],
    ['apiVersion: etl.router/v1\nkind: EtlSource\nmetdata: {name: a}\nspec: {}', 'metdata'],
    ['apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {nme: a}\nspec: {}', 'metadata.nme'],
  ] as const;
  for (const [text, path] of cases) {
    const told = parseManifests(text).findings.map((finding) => `${finding.code} ${finding.path}`);
    assert.deepEqual(told, [`UnknownField ${path}`]);
  }
});

test('envelopes that are no objects are refused', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['just text', 'WrongType'],
    ['[1, 2]', 'WrongType'],
    ['kind: EtlSource\nmetadata: {name: a}', 'MissingField'],
    ['apiVersion: etl.router/v2\nkind: EtlSource\nmetadata: {name: a}\nspec: {}', 'UnknownKind'],
    ['apiVersion: etl.router/v1\nkind: EtlSource\nspec: {a: {}}', 'MissingField'],
    [
      'apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: ../etc}\nspec: {a: {}}',
      'BadName',
    ],
    [
      'apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a, namespace: A}\nspec: {a: {}}',
      'BadName',
    ],
    ['apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a}', 'MissingField'],
    ['apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a}\nspec: {}', 'MissingField'],
    [
      'apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a}\nspec: {a: {}, b: {}}',
      'BadValue',
    ],
    ['apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a}\nspec: {a: 1}', 'WrongType'],
    [
      'apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a}\nspek: {}\nspec: {a: {}}',
      'UnknownField',
    ],
    [
      'apiVersion: etl.router/v1\nkind: EtlSource\nmetadata: {name: a, labels: {a: 1}}\nspec: {a: {}}',
      'WrongType',
    ],
  ];
  for (const [text, code] of cases) {
    const { manifests, findings } = parseManifests(text);
    assert.deepEqual(manifests, [], text);
    assert.equal(findings[0]?.code, code, text);
  }
});

test('an object twice in one text is an error', () => {
  const one = 'apiVersion: etl.router/v1\nkind: EtlSink\nmetadata: {name: a}\nspec: {stdout: {}}\n';
  const { findings } = parseManifests(`${one}---\n${one}`);
  assert.deepEqual(codes(findings), ['DuplicateObject metadata.name']);
});

test('what kubectl prints is accepted: a List, server fields and status', () => {
  const text = JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      {
        apiVersion: 'etl.router/v1',
        kind: 'EtlSink',
        metadata: {
          name: 'a',
          namespace: 'n',
          uid: 'u',
          resourceVersion: '1',
          generation: 2,
          managedFields: [],
        },
        spec: { stdout: {} },
        status: { ready: true },
      },
      { apiVersion: 'etl.router/v1', kind: 'EtlSink', metadata: { name: 'b' }, spec: {} },
    ],
  });
  const { manifests, findings } = parseManifests(text, { namespace: 'mine' });
  assert.deepEqual(
    manifests.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
    ['n/a'],
  );
  assert.equal(findings[0]?.object, 'EtlSink mine/b');
});

test('an object printed as YAML or JSON reads back as itself', () => {
  const text = `
apiVersion: etl.router/v1
kind: EtlSource
metadata: {name: a, namespace: n, labels: {app: x}, annotations: {note: "yes"}}
spec:
  generator: {big: 9007199254740993, text: "0x1f", date: "2001-01-01", lines: "a\\nb\\n", none: null, list: []}
`;
  const manifests = parseManifestsStrictly(text);
  const [manifest] = manifests;
  assert.ok(manifest !== undefined);
  assert.deepEqual(parseManifestsStrictly(toManifestYaml(manifest)), manifests);
  assert.deepEqual(parseManifestsStrictly(toManifestJson(manifest)), manifests);
  assert.match(toManifestYaml(manifest), /date: '2001-01-01'/);
});

test('a pipeline config is a manifest or only its spec', () => {
  const target = { name: 'p', namespace: 'n' };
  const [fromSpec] = parsePipelineConfig('{"source": "a", "sink": "b"}', target);
  assert.equal(fromSpec?.metadata.name, 'p');
  const [fromManifest] = parsePipelineConfig(readFileSync(exampleFile, 'utf8'), target);
  assert.equal(fromManifest?.metadata.namespace, 'n');
  for (const bad of ['...', '', 'x', '{"sourc": 1}', '[']) {
    assert.throws(() => parsePipelineConfig(bad, target), /^Error.*config|config/);
  }
});

test('a secret in the manifest is a warning that does not quote it', () => {
  const text = `apiVersion: etl.router/v1
kind: EtlSink
metadata: {name: a}
spec:
  postgres:
    api_key: hunter2
    servers: [{url: "postgres://joe:hunter2@db/x"}]
    password: {secretKeyRef: {name: pg, key: password}}
    passwordFile: /run/pg
`;
  const { manifests, findings } = parseManifests(text);
  assert.equal(manifests.length, 1);
  assert.deepEqual(codes(findings), [
    'InlineSecret spec.postgres.api_key:6',
    'InlineSecret spec.postgres.servers[0].url:7',
  ]);
  assert.doesNotMatch(JSON.stringify(findings), /hunter2/);
});
