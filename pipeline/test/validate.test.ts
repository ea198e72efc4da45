import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Edge, type Finding, type Pipeline, validatePipeline } from '@etl-router/pipeline';
import fc from 'fast-check';
import { edge, pipelineOf, stage, validPipelines } from './graphs.ts';

const [source, transform, sink] = [
  stage('a', 'source'),
  stage('b', 'transform'),
  stage('c', 'sink'),
];
const line = [edge('a', 'b'), edge('b', 'c')];

function find(pipeline: Pipeline, code: string): Finding {
  const findings = validatePipeline(pipeline);
  const found = findings.find((finding) => finding.code === code);
  assert.ok(found, `${code} among ${findings.map((finding) => finding.code).join(', ')}`);
  return found;
}

test('a well-formed pipeline has no findings that refuse it', () => {
  fc.assert(
    fc.property(validPipelines(), (pipeline) => {
      const errors = validatePipeline(pipeline).filter(({ severity }) => severity === 'error');
      assert.deepEqual(errors, []);
    }),
  );
});

test('edges into one stage that differ in overflow or required are refused, and the way out is named', () => {
  const spill = { policy: 'spill', afterMs: 0, spillMaxBytes: 5 } as const;
  const forked = (change: Partial<Edge>, other: Partial<Edge> = {}): Pipeline =>
    pipelineOf(
      [source, transform, sink, stage('d', 'transform')],
      [edge('a', 'b'), edge('a', 'd'), edge('b', 'c', other), edge('d', 'c', change)],
    );
  for (const [pipeline, difference] of [
    [
      forked({ required: false }),
      /overflow block from "b", overflow block, required: false from "d"/,
    ],
    [forked({ overflow: spill }), /overflow block from "b", overflow spill of 5 bytes from "d"/],
    [
      forked({ overflow: { ...spill, spillMaxBytes: 6 } }, { overflow: spill }),
      /overflow spill of 5 bytes from "b", overflow spill of 6 bytes from "d"/,
    ],
    [
      forked({ overflow: { ...spill, afterMs: 9 } }, { overflow: spill }),
      /of 5 bytes from "b", overflow spill of 5 bytes after 9 ms from "d"/,
    ],
  ] as const) {
    const finding = find(pipeline, 'MixedEdges');
    assert.equal(finding.object, 'EtlPipeline n/p');
    assert.equal(finding.severity, 'error');
    assert.equal(finding.path, 'spec.edges[3]');
    assert.match(finding.message, difference);
    assert.equal(finding.suggestion, 'give all of them the same');
  }
  const unread = { policy: 'block', afterMs: 9, spillMaxBytes: 9 } as const;
  assert.deepEqual(validatePipeline(forked({ overflow: unread })), []);
  assert.deepEqual(validatePipeline(forked({ overflow: spill }, { overflow: spill })), []);
});

test('branches that meet again without waiting for each other are refused once, with the edge that parts them', () => {
  const overflow = { policy: 'spill', afterMs: 0, spillMaxBytes: 5 } as const;
  const edges = [edge('a', 'b', { overflow }), edge('a', 'c'), edge('b', 'c')];
  const pipeline = pipelineOf([source, transform, sink], edges);
  assert.deepEqual(validatePipeline(pipeline), [
    {
      severity: 'error',
      code: 'UnevenMeeting',
      object: 'EtlPipeline n/p',
      path: 'spec.edges[2]',
      message:
        '"c" is fed by "a" and "b", which do not wait for each other because of overflow spill of 5 bytes on the edge a → b',
      suggestion: 'put the overflow policies on the edges into the sinks instead',
      line: undefined,
    },
  ]);
  const second = stage('a2', 'source');
  const more = [...edges, edge('a2', 'b', { overflow })];
  const faults = validatePipeline(pipelineOf([source, second, transform, sink], more));
  assert.deepEqual(
    faults.map(({ code }) => code),
    ['UnevenMeeting'],
  );
  const apart = [edge('a', 'b', { overflow }), edge('b', 'c'), edge('a2', 'c')];
  assert.deepEqual(validatePipeline(pipelineOf([source, second, transform, sink], apart)), []);
});

test('each fault of a graph is named with its place', () => {
  const cases: readonly (readonly [Pipeline, string, string, RegExp])[] = [
    [pipelineOf([transform, sink], [edge('b', 'c')]), 'NoSource', 'spec.stages', /no source/],
    [pipelineOf([source, transform], [edge('a', 'b')]), 'NoSink', 'spec.stages', /no sink/],
    [
      pipelineOf([source, transform, sink], [edge('a', 'c'), edge('a', 'b')]),
      'DeadEnd',
      'spec.stages[1]',
      /"b" to a sink/,
    ],
    [
      pipelineOf([source, transform, sink], [edge('a', 'c'), edge('b', 'c')]),
      'Unreachable',
      'spec.stages[1]',
      /"b" from a source/,
    ],
    [
      pipelineOf([source, transform, sink], [...line, edge('b', 'bb')]),
      'UnknownStage',
      'spec.edges[2].to',
      /"bb"/,
    ],
    [
      pipelineOf([source, transform, sink], [...line, edge('c', 'b')]),
      'EdgeOutOfSink',
      'spec.edges[2].from',
      /"c" is a sink/,
    ],
    [
      pipelineOf([source, transform, sink], [...line, edge('b', 'a')]),
      'EdgeIntoSource',
      'spec.edges[2].to',
      /"a" is a source/,
    ],
    [
      pipelineOf([source, transform, sink], [...line, edge('b', 'b')]),
      'SelfEdge',
      'spec.edges[2]',
      /itself/,
    ],
    [
      pipelineOf([source, transform, sink], [...line, edge('a', 'b')]),
      'DuplicateEdge',
      'spec.edges[2]',
      /second edge/,
    ],
    [
      pipelineOf([source, transform, sink, stage('b', 'transform')], line),
      'DuplicateStage',
      'spec.stages[3].name',
      /second stage/,
    ],
    [
      pipelineOf([source, transform, sink, stage('X_', 'transform')], line),
      'BadName',
      'spec.stages[3].name',
      /X_/,
    ],
    [
      pipelineOf(
        [source, transform, sink],
        [edge('a', 'b', { when: { cel: 'record.' } }), edge('b', 'c')],
      ),
      'BadExpression',
      'spec.edges[0].when',
      /refused/,
    ],
    [
      pipelineOf(
        [source, transform, sink],
        [
          edge('a', 'b', { when: { tree: { metadataMatches: { key: 'k', pattern: '(' } } } }),
          edge('b', 'c'),
        ],
      ),
      'BadExpression',
      'spec.edges[0].when',
      /pattern/,
    ],
    [
      pipelineOf([source, sink], [edge('a', 'c', { required: false })]),
      'NothingRequired',
      'spec.edges',
      /left out/,
    ],
    [
      pipelineOf(
        [source, sink],
        [edge('a', 'c', { overflow: { policy: 'drop', afterMs: 0, spillMaxBytes: 1 } })],
      ),
      'LossyOverflow',
      'spec.edges[0].overflow.policy',
      /loses records/,
    ],
  ];
  for (const [pipeline, code, path, message] of cases) {
    const found = find(pipeline, code);
    assert.equal(found.path, path, code);
    assert.match(found.message, message);
    assert.equal(found.object, 'EtlPipeline n/p');
  }
});

test('a cycle is shown with its way round', () => {
  const more = [stage('d', 'transform'), stage('e', 'transform')];
  const edges = [...line, edge('b', 'd'), edge('d', 'e'), edge('e', 'b')];
  const found = find(pipelineOf([source, transform, sink, ...more], edges), 'Cycle');
  assert.equal(found.message, 'the edges go round: b → d → e → b');
  assert.equal(found.path, 'spec.edges[4]');
});

test('an unknown stage suggests the nearest name', () => {
  const stages = [source, stage('enrich', 'transform'), sink];
  const found = find(
    pipelineOf(stages, [edge('a', 'enirch'), edge('enrich', 'c')]),
    'UnknownStage',
  );
  assert.equal(found.suggestion, 'did you mean "enrich"?');
});

test('a pipeline of 201 stages or 1,001 edges is refused before anything else is looked at', () => {
  const many = Array.from({ length: 201 }, (_, index) => stage(`t${index}`, 'transform'));
  assert.equal(find(pipelineOf(many, []), 'TooLarge').path, 'spec.stages');
  const edges = Array.from({ length: 1001 }, () => edge('a', 'b'));
  assert.equal(find(pipelineOf([source, transform], edges), 'TooLarge').path, 'spec.edges');
});

test('the dead-letter sink needs no edge', () => {
  const stages = [source, transform, sink, stage('dead', 'sink')];
  assert.deepEqual(validatePipeline(pipelineOf(stages, line, { deadLetterSink: 'dead' })), []);
});

test('adding an edge backwards to a well-formed graph makes a cycle that is found', () => {
  fc.assert(
    fc.property(validPipelines(), fc.nat(), (pipeline, pick) => {
      const inner = pipeline.edges.filter(({ to }) => to.startsWith('t'));
      const chosen = inner[pick % Math.max(1, inner.length)];
      fc.pre(chosen !== undefined && chosen.from.startsWith('t'));
      const edges = [...pipeline.edges, edge(chosen.to, chosen.from)];
      const found = find({ ...pipeline, edges }, 'Cycle');
      const way = (found.message.split(': ')[1] as string).split(' → ');
      assert.equal(way[0], way.at(-1));
      for (const [index, from] of way.slice(0, -1).entries()) {
        assert.ok(edges.some((known) => known.from === from && known.to === way[index + 1]));
      }
    }),
  );
});
