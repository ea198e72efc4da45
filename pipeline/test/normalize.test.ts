import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Finding,
  type JsonObject,
  lookupIn,
  type Manifest,
  type Normalized,
  normalizePipeline,
  type ObjectKind,
} from '@etl-router/pipeline';

function manifest(kind: ObjectKind, name: string, spec: JsonObject): Manifest {
  const metadata = { name, namespace: 'n', labels: {}, annotations: {} };
  return { apiVersion: 'etl.router/v1', kind, metadata, spec };
}

const world = lookupIn([
  manifest('EtlSource', 'a', { file: { path: 'x' } }),
  manifest('EtlTransform', 'b', { filter: { condition: 'true' } }),
  manifest('EtlSink', 'c', { stdout: {} }),
  manifest('EtlSink', 'dead', { stdout: {} }),
]);

const graph: JsonObject = {
  stages: [
    { name: 'a', sourceRef: { name: 'a' } },
    { name: 'b', transformRef: { name: 'b' } },
    { name: 'c', sinkRef: { name: 'c' } },
  ],
  edges: [
    { from: 'a', to: 'b' },
    { from: 'b', to: 'c' },
  ],
};

function normalize(spec: JsonObject): Normalized {
  return normalizePipeline(manifest('EtlPipeline', 'p', spec), world);
}

function first({ findings }: Normalized): string {
  const [finding] = findings as readonly [Finding];
  return finding === undefined ? 'none' : `${finding.code} ${finding.path}`;
}

test('defaults are filled in', () => {
  const { pipeline, findings } = normalize(graph);
  assert.deepEqual(findings, []);
  assert.ok(pipeline !== undefined);
  assert.equal(pipeline.id, 'n/p');
  assert.equal(pipeline.state, 'running');
  assert.deepEqual(pipeline.delivery, {
    require: 'atLeastOnce',
    retry: { maxAttempts: 8, backoff: { initialMs: 200, factor: 2, capMs: 60_000, jitter: 0.2 } },
  });
  assert.deepEqual(pipeline.limits, { inFlightRecords: 10_000, inFlightBytes: 64 * 1024 * 1024 });
  assert.deepEqual(pipeline.watermark, {
    field: undefined,
    allowedLatenessMs: 0,
    idleThresholdMs: 60_000,
    late: 'keep',
  });
  assert.deepEqual(pipeline.edges[0], {
    from: 'a',
    to: 'b',
    when: undefined,
    required: true,
    overflow: { policy: 'block', afterMs: 0, spillMaxBytes: 1024 ** 3 },
  });
  assert.deepEqual(pipeline.stages[1]?.connector, {
    type: 'filter',
    config: { condition: 'true' },
  });
});

test('a line in any spelling is the same graph as its stages and edges', () => {
  const expected = normalize(graph).pipeline;
  const lines: readonly JsonObject[] = [
    { source: 'a', transforms: ['b'], sink: 'c' },
    { source: { ref: 'a' }, transforms: [{ ref: 'b' }], sink: { ref: 'c' } },
    { source: { name: 'a' }, transforms: [{ name: 'b' }], sinks: [{ name: 'c' }] },
    {
      source: { sourceRef: { name: 'a' } },
      transforms: [{ transformRef: 'b', name: 'b' }],
      sinks: ['c'],
    },
  ];
  for (const line of lines)
    assert.deepEqual(normalize(line).pipeline, expected, JSON.stringify(line));
});

test('a line fans out to several sinks and repeated references get names of their own', () => {
  const { pipeline } = normalize({
    source: 'a',
    transforms: ['b', 'b'],
    sinks: ['c', 'dead', 'c'],
  });
  assert.deepEqual(
    pipeline?.edges.map(({ from, to }) => `${from} ${to}`),
    ['a b', 'b b-2', 'b-2 c', 'b-2 dead', 'b-2 c-2'],
  );
});

test('the dead-letter sink becomes a stage with a name that is free', () => {
  const { pipeline } = normalize({ ...graph, deadLetter: { sinkRef: { name: 'dead' } } });
  assert.equal(pipeline?.deadLetterSink, 'dead-letters');
  assert.equal(pipeline.stages.at(-1)?.ref, 'dead');
  const stages = [...(graph['stages'] as JsonObject[]), { name: 'dead-letters', sinkRef: 'c' }];
  const taken = normalize({ ...graph, stages, deadLetter: { sinkRef: 'dead' } });
  assert.equal(taken.pipeline?.deadLetterSink, 'dead-letters-2');
});

test('every value out of its bounds is named', () => {
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{ state: 'on' }, 'BadValue spec.state'],
    [{ state: 3 }, 'WrongType spec.state'],
    [{ delivery: { require: 'twice' } }, 'BadValue spec.delivery.require'],
    [{ delivery: { retry: { maxAttempts: 0 } } }, 'BadValue spec.delivery.retry.maxAttempts'],
    [{ delivery: { retry: { maxAttempts: 101 } } }, 'BadValue spec.delivery.retry.maxAttempts'],
    [{ delivery: { retry: { maxAttempts: 1.5 } } }, 'BadValue spec.delivery.retry.maxAttempts'],
    [{ delivery: { retry: 8 } }, 'WrongType spec.delivery.retry'],
    [
      { delivery: { retry: { backoff: { initial: '0s' } } } },
      'BadValue spec.delivery.retry.backoff.initial',
    ],
    [
      { delivery: { retry: { backoff: { initial: '10s', cap: '1s' } } } },
      'BadValue spec.delivery.retry.backoff.cap',
    ],
    [
      { delivery: { retry: { backoff: { factor: 11 } } } },
      'BadValue spec.delivery.retry.backoff.factor',
    ],
    [
      { delivery: { retry: { backoff: { jitter: 1.1 } } } },
      'BadValue spec.delivery.retry.backoff.jitter',
    ],
    [{ delivery: { retries: 8 } }, 'UnknownField spec.delivery.retries'],
    [{ limits: { inFlightRecords: 0 } }, 'BadValue spec.limits.inFlightRecords'],
    [{ limits: { inFlightBytes: '1Ki' } }, 'BadValue spec.limits.inFlightBytes'],
    [{ watermark: { field: 'updated_at' } }, 'BadValue spec.watermark.field'],
    [{ watermark: { allowedLateness: '999h' } }, 'BadValue spec.watermark.allowedLateness'],
    [{ watermark: { late: 'lose' } }, 'BadValue spec.watermark.late'],
    [{ watermark: { idle: { step: '1s' } } }, 'UnknownField spec.watermark.idle.step'],
    [{ deadLetter: {} }, 'MissingField spec.deadLetter.sinkRef'],
    [{ clusterRef: {} }, 'MissingField spec.clusterRef.name'],
    [{ stages: {} }, 'WrongType spec.stages'],
    [{ stages: [{ name: 'x' }] }, 'MissingField spec.stages[0]'],
    [{ stages: [{ name: 'x', sourceRef: 'a', sinkRef: 'c' }] }, 'BadValue spec.stages[0]'],
    [{ stages: [{ name: 'x', sourceRef: 'A b' }] }, 'BadName spec.stages[0].sourceRef'],
    [
      { stages: [{ name: 'x', sourceRef: { name: 'a', kind: 'EtlSink' } }] },
      'KindMismatch spec.stages[0].sourceRef.kind',
    ],
    [
      { stages: [{ name: 'x', sourceRef: { name: 'a', namespace: 'm' } }] },
      'CrossNamespaceRef spec.stages[0].sourceRef.namespace',
    ],
    [
      { stages: [{ name: 'x', sourceRef: 'a', batch: { maxRecords: 0 } }] },
      'BadValue spec.stages[0].batch.maxRecords',
    ],
    [
      { stages: [{ name: 'x', sourceRef: 'a', scale: { min: 1 } }] },
      'Unsupported spec.stages[0].scale',
    ],
    [{ stages: Array.from({ length: 201 }, () => ({})) }, 'TooLarge spec.stages'],
    [{ edges: [{ from: 'a', to: 'b', required: 'no' }] }, 'WrongType spec.edges[0].required'],
    [{ edges: [{ from: 'a', to: 'b', when: 5 }] }, 'WrongType spec.edges[0].when'],
    [
      { edges: [{ from: 'a', to: 'b', overflow: { policy: 'drop', spill: {} } }] },
      'BadValue spec.edges[0].overflow.spill',
    ],
    [
      {
        edges: [{ from: 'a', to: 'b', overflow: { policy: 'spill', spill: { maxBytes: '1Ki' } } }],
      },
      'BadValue spec.edges[0].overflow.spill.maxBytes',
    ],
    [
      {
        edges: [{ from: 'a', to: 'b', overflow: { policy: 'spill', spill: { medium: 'memory' } } }],
      },
      'BadValue spec.edges[0].overflow.spill.medium',
    ],
    [{ source: 'a', sink: 'c' }, 'BadValue spec.source'],
    [{ unknown: 1 }, 'UnknownField spec.unknown'],
  ];
  for (const [change, expected] of cases) {
    assert.equal(
      first(normalize({ ...graph, ...change })),
      expected,
      JSON.stringify(change).slice(0, 100),
    );
  }
  assert.equal(first(normalize({ source: 'a' })), 'MissingField spec.sink');
  assert.equal(first(normalize({ sink: 'c' })), 'MissingField spec.source');
  assert.equal(first(normalize({ source: 'a', sink: 'c', sinks: ['c'] })), 'BadValue spec.sinks');
});

test('a reference to an object of another kind says so', () => {
  const result = normalize({ source: 'c', sink: 'c' });
  assert.equal(result.findings[0]?.message, '"c" is an EtlSink, not an EtlSource');
  assert.equal(result.pipeline?.stages[0]?.connector, undefined);
});

test('a field with a wrong name is one error, which says what was meant', () => {
  const typos: readonly (readonly [JsonObject, string])[] = [
    [
      {
        stages: [
          { name: 'a', sorceRef: 'a' },
          { name: 'c', sinkRef: 'c' },
        ],
        edges: [{ from: 'a', to: 'c' }],
      },
      'UnknownField spec.stages[0].sorceRef did you mean "sourceRef"?',
    ],
    [{ sorce: 'a', sink: 'c' }, 'UnknownField spec.sorce did you mean "source"?'],
    [{ source: 'a', sink: { nme: 'c' } }, 'UnknownField spec.sink.nme did you mean "name"?'],
    [
      { ...graph, edges: [{ form: 'a', to: 'b' }] },
      'UnknownField spec.edges[0].form did you mean "from"?',
    ],
  ];
  for (const [spec, expected] of typos) {
    const told = normalize(spec).findings.map(
      ({ code, path, suggestion }) => `${code} ${path} ${suggestion}`,
    );
    assert.deepEqual(told, [expected]);
  }
});

test('a field that is missing stays an error beside a wrong name that means another one', () => {
  const { findings } = normalize({
    stages: [{ name: 'a', bach: {} }, ...(graph['stages'] as JsonObject[]).slice(1)],
  });
  const told = findings.map(({ code, path }) => `${code} ${path}`);
  assert.ok(told.includes('MissingField spec.stages[0]'));
  assert.ok(told.includes('UnknownField spec.stages[0].bach'));
});

test('a condition that is neither text nor a map is told what it may be', () => {
  const edges = [
    { from: 'a', to: 'b', when: 5 },
    { from: 'b', to: 'c' },
  ];
  const [finding] = normalize({ ...graph, edges }).findings;
  assert.equal(finding?.path, 'spec.edges[0].when');
  assert.equal(finding?.message, 'needs CEL as a string, or a condition as a map, not a number');
});
