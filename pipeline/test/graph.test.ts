import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawPipeline, graphFormats } from '@etl-router/pipeline';
import fc from 'fast-check';
import { edge, pipelineOf, stage } from './graphs.ts';

const overflow = { policy: 'drop', afterMs: 5000, spillMaxBytes: 1 } as const;
const fanOut = pipelineOf(
  [
    stage('db', 'source', { ref: 'orders-pg' }),
    stage('enrich', 'transform', { connector: { type: 'grpc', config: {} } }),
    stage('mask', 'transform', { connector: undefined }),
    stage('wh', 'sink'),
    stage('live', 'sink'),
    stage('lake', 'sink'),
  ],
  [
    edge('db', 'enrich'),
    edge('enrich', 'wh'),
    edge('enrich', 'mask', { when: { cel: "record.headers['op'] != 'snapshot'" } }),
    edge('mask', 'live', { required: false, overflow }),
    edge('mask', 'lake'),
    edge('enrich', 'lake'),
  ],
  { id: 'shop/orders' },
);

test('a fan-out of six stages reads as a tree on a terminal', () => {
  assert.equal(
    drawPipeline(fanOut, 'ascii'),
    `shop/orders (running)
db (source file, orders-pg)
└─▶ enrich (transform grpc)
    ├─▶ wh (sink file)
    ├─[record.headers['op'] != 'snapshot']─▶ mask (transform unresolved)
    │   ├─[optional, drop after 5s]─▶ live (sink file)
    │   └─▶ lake (sink file)
    └─▶ lake ↑
`,
  );
});

test('dot and mermaid hold every stage and edge, unresolved and optional ones marked', () => {
  const dot = drawPipeline(fanOut, 'dot');
  assert.match(dot, /^digraph "shop\/orders" \{\n/);
  assert.match(dot, /"mask" \[shape=box, label="mask\\ntransform, unresolved", style=dashed\];/);
  assert.match(dot, /"mask" -> "live" \[label="optional, drop after 5s", style=dashed\];/);
  const mermaid = drawPipeline(fanOut, 'mermaid');
  assert.match(mermaid, /^flowchart LR\n {2}s0\[\/"db<br>source file"\/\]\n/);
  assert.match(mermaid, /s2 -\.->\|"optional, drop after 5s"\| s4/);
  assert.match(mermaid, /classDef unresolved/);
});

test('a cycle and an edge to nowhere are drawn, not followed for ever', () => {
  const broken = pipelineOf(
    [stage('a', 'source'), stage('b', 'transform')],
    [edge('a', 'b'), edge('b', 'a'), edge('b', 'gone')],
  );
  assert.match(drawPipeline(broken, 'ascii'), /gone \(missing\)/);
});

test('hostile names and conditions can not leave their place in any format', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      '"];evil',
      '\u001b[2J',
      'a\nb',
      '\u202eabc',
      '</script>',
      '"]:::x',
      '|x|',
      '\\',
      '%%{init}%%',
      ';',
    ),
  );
  fc.assert(
    fc.property(hostile, hostile, hostile, (name, ref, cel) => {
      const pipeline = pipelineOf(
        [stage(name, 'source', { ref }), stage('end', 'sink')],
        [edge(name, 'end', { when: { cel } })],
        { id: `n/${name}` },
      );
      for (const format of graphFormats) {
        const text = drawPipeline(pipeline, format);
        assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        assert.equal(drawPipeline(pipeline, format), text);
        const lines = text.split('\n').length;
        assert.equal(lines, name === 'end' ? lines : { ascii: 4, dot: 7, mermaid: 5 }[format]);
      }
      const strings = drawPipeline(pipeline, 'dot').replace(/"(?:[^"\\]|\\.)*"/g, '""');
      assert.doesNotMatch(strings, /[^\w\s"{}[\]=,;>-]/);
      const labels = drawPipeline(pipeline, 'mermaid').replace(/"[^"]*"/g, '');
      assert.doesNotMatch(labels, /[^\w\s[\]/()|>-]/);
    }),
  );
});
