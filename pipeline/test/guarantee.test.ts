import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SinkCapabilities, SourceCapabilities } from '@etl-router/core';
import {
  type CapabilityLookup,
  checkGuarantee,
  computeGuarantee,
  type Edge,
  type Guarantee,
  guarantees,
  type PipelineGuarantee,
  type Stage,
  type StageCapabilities,
} from '@etl-router/pipeline';
import fc from 'fast-check';
import { edge, pipelineOf, stage, validPipelines } from './graphs.ts';

const goodSource: SourceCapabilities = { replayable: true, ordered: 'partition', bounded: true };
const goodSink: SinkCapabilities = {
  durable: true,
  idempotentByKey: true,
  transactionalPosition: true,
};
const durable = { deadLettersDurable: true, spillDurable: true };

interface Parts {
  readonly source?: Partial<SourceCapabilities>;
  readonly deterministic?: boolean;
  readonly sink?: Partial<SinkCapabilities>;
}

function lookupOf({ source, deterministic = true, sink }: Parts): CapabilityLookup {
  return ({ kind }) => {
    if (kind === 'source') return { kind, source: { ...goodSource, ...source } };
    if (kind === 'transform') return { kind, transform: { deterministic } };
    return { kind, sink: { ...goodSink, ...sink } };
  };
}

const stages = [stage('a', 'source'), stage('b', 'transform'), stage('c', 'sink')];
const line = pipelineOf(stages, [edge('a', 'b'), edge('b', 'c')]);

test('the guarantee of a line follows from its parts, and the weakest is named', () => {
  const cases: readonly (readonly [Parts, Guarantee, string | undefined])[] = [
    [{}, 'exactlyOnce', undefined],
    [{ deterministic: false }, 'exactlyOnce', undefined],
    [{ sink: { idempotentByKey: false } }, 'exactlyOnce', undefined],
    [{ sink: { transactionalPosition: false } }, 'effectivelyOnce', 'c'],
    [{ sink: { transactionalPosition: false }, deterministic: false }, 'atLeastOnce', 'b'],
    [{ sink: { transactionalPosition: false, idempotentByKey: false } }, 'atLeastOnce', 'c'],
    [{ sink: { durable: false } }, 'atMostOnce', 'c'],
    [{ source: { replayable: false } }, 'atMostOnce', 'a'],
    [{ source: { ordered: 'none' } }, 'effectivelyOnce', 'a'],
    [{ source: { ordered: 'none' }, sink: { idempotentByKey: false } }, 'atLeastOnce', 'a'],
    [{ source: { ordered: 'none' }, deterministic: false }, 'atLeastOnce', 'b'],
  ];
  for (const [parts, delivery, weakest] of cases) {
    const computed = computeGuarantee(line, lookupOf(parts), durable);
    assert.equal(computed.delivery, delivery, JSON.stringify(parts));
    assert.equal(computed.weakestLink?.stage, weakest, JSON.stringify(parts));
  }
});

test('what is required but impossible is refused, naming the weakest link and what is possible', () => {
  const pipeline = { ...line, delivery: { ...line.delivery, require: 'exactlyOnce' as const } };
  const computed = computeGuarantee(pipeline, lookupOf({ source: { replayable: false } }), durable);
  const [finding] = checkGuarantee(pipeline, computed);
  assert.equal(finding?.severity, 'error');
  assert.equal(
    finding.message,
    'exactlyOnce is impossible: a can not read again what was lost on the way',
  );
  assert.equal(finding.suggestion, 'change that part, or require atMostOnce');
  const fine = computeGuarantee(pipeline, lookupOf({}), durable);
  assert.deepEqual(checkGuarantee(pipeline, fine), []);
});

test('overflow weakens the guarantee where it can lose records', () => {
  const cases: readonly (readonly [Edge['overflow']['policy'], boolean, Guarantee])[] = [
    ['block', false, 'exactlyOnce'],
    ['drop', true, 'atMostOnce'],
    ['spill', true, 'exactlyOnce'],
    ['spill', false, 'atMostOnce'],
    ['deadLetter', true, 'exactlyOnce'],
    ['deadLetter', false, 'atMostOnce'],
  ];
  for (const [policy, kept, delivery] of cases) {
    const overflow = { policy, afterMs: 0, spillMaxBytes: 1 };
    const pipeline = pipelineOf(stages, [edge('a', 'b'), edge('b', 'c', { overflow })]);
    const surroundings = { deadLettersDurable: kept, spillDurable: kept };
    const computed = computeGuarantee(pipeline, lookupOf({}), surroundings);
    assert.equal(computed.delivery, delivery, `${policy} ${kept}`);
    if (delivery === 'atMostOnce') assert.equal(computed.weakestLink?.stage, 'b → c');
  }
});

test('a dead-letter overflow before a transform is weighed for every sink behind it', () => {
  const cases: readonly (readonly [Parts, Guarantee, string])[] = [
    [{}, 'effectivelyOnce', 'a → b'],
    [{ sink: { idempotentByKey: false } }, 'atLeastOnce', 'a → b'],
    [{ deterministic: false }, 'atLeastOnce', 'b'],
    [{ sink: { transactionalPosition: false } }, 'effectivelyOnce', 'c'],
    [{ sink: { durable: false } }, 'atMostOnce', 'c'],
  ];
  const overflow = { policy: 'deadLetter', afterMs: 0, spillMaxBytes: 1 } as const;
  const pipeline = pipelineOf(stages, [edge('a', 'b', { overflow }), edge('b', 'c')]);
  for (const [parts, delivery, weakest] of cases) {
    const computed = computeGuarantee(pipeline, lookupOf(parts), durable);
    assert.equal(computed.delivery, delivery, JSON.stringify(parts));
    assert.equal(computed.weakestLink?.stage, weakest, JSON.stringify(parts));
  }
  const fork = pipelineOf(
    [...stages, stage('d', 'sink')],
    [edge('a', 'b', { overflow }), edge('b', 'c'), edge('a', 'd', { overflow })],
  );
  const { perSink, weakestLink } = computeGuarantee(fork, lookupOf({}), durable);
  assert.deepEqual(
    perSink.map(({ sink, delivery }) => [sink, delivery]),
    [
      ['c', 'effectivelyOnce'],
      ['d', 'exactlyOnce'],
    ],
  );
  assert.equal(
    weakestLink?.why,
    'dead-letters before a transform, where nobody can tell what the sink has: after a crash a record may be both ' +
      'delivered and dead-lettered, and comes again when it is redriven',
  );
});

test('drop and spill are weighed the same before a transform and before a sink', () => {
  const cases: readonly (readonly [Edge['overflow']['policy'], boolean, Guarantee])[] = [
    ['block', false, 'exactlyOnce'],
    ['drop', true, 'atMostOnce'],
    ['spill', true, 'exactlyOnce'],
    ['spill', false, 'atMostOnce'],
    ['deadLetter', false, 'atMostOnce'],
  ];
  for (const [policy, kept, delivery] of cases) {
    const overflow = { policy, afterMs: 0, spillMaxBytes: 1 };
    const pipeline = pipelineOf(stages, [edge('a', 'b', { overflow }), edge('b', 'c')]);
    const surroundings = { deadLettersDurable: kept, spillDurable: kept };
    const computed = computeGuarantee(pipeline, lookupOf({}), surroundings);
    assert.equal(computed.delivery, delivery, `${policy} ${kept}`);
    if (delivery === 'atMostOnce') assert.equal(computed.weakestLink?.stage, 'a → b');
  }
});

test('edges that are not required do not count, and nothing required is at most once', () => {
  const overflow = { policy: 'drop', afterMs: 0, spillMaxBytes: 1 } as const;
  const more = [...stages, stage('d', 'sink')];
  const aside = edge('b', 'd', { required: false, overflow });
  const pipeline = pipelineOf(more, [...line.edges, aside]);
  const computed = computeGuarantee(pipeline, lookupOf({}), durable);
  assert.equal(computed.delivery, 'exactlyOnce');
  assert.deepEqual(
    computed.perSink.map(({ sink, delivery, required }) => [sink, delivery, required]),
    [
      ['c', 'exactlyOnce', true],
      ['d', 'atMostOnce', false],
    ],
  );
  const none = pipelineOf(more, [edge('a', 'b', { required: false }), edge('b', 'c'), aside]);
  assert.equal(computeGuarantee(none, lookupOf({}), durable).delivery, 'atMostOnce');
});

test('while a part has not answered the guarantee is unknown, unless it is lost already', () => {
  const silent = (name: string, parts: Parts = {}): CapabilityLookup => {
    return (asked) => (asked.name === name ? undefined : lookupOf(parts)(asked));
  };
  const unknown = computeGuarantee(line, silent('c'), durable);
  assert.equal(unknown.delivery, 'unknown');
  assert.deepEqual(unknown.weakestLink, { stage: 'c', why: 'has not said yet what it can do' });
  assert.deepEqual(
    checkGuarantee(line, unknown).map(({ severity, code }) => [severity, code]),
    [['warning', 'GuaranteeUnknown']],
  );
  const lost = computeGuarantee(line, silent('c', { source: { replayable: false } }), durable);
  assert.equal(lost.delivery, 'atMostOnce');
  const strict = { ...line, delivery: { ...line.delivery, require: 'exactlyOnce' as const } };
  const capped = computeGuarantee(
    strict,
    silent('a', { sink: { transactionalPosition: false } }),
    durable,
  );
  assert.equal(checkGuarantee(strict, capped)[0]?.severity, 'error');
});

function strength({ ceiling }: PipelineGuarantee): number {
  return guarantees.indexOf(ceiling);
}

const capabilities = fc.record({
  source: fc.record({
    replayable: fc.boolean(),
    ordered: fc.constantFrom('none' as const, 'partition' as const),
    bounded: fc.boolean(),
  }),
  deterministic: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
  sinks: fc.array(
    fc.record({
      durable: fc.boolean(),
      idempotentByKey: fc.boolean(),
      transactionalPosition: fc.boolean(),
    }),
    { minLength: 8, maxLength: 8 },
  ),
});

function capabilitiesOf(value: {
  readonly source: SourceCapabilities;
  readonly deterministic: readonly boolean[];
  readonly sinks: readonly SinkCapabilities[];
}): (asked: Stage) => StageCapabilities {
  return ({ kind, name }) => {
    const index = Number(name.slice(1)) % 8;
    if (kind === 'source') return { kind, source: value.source };
    if (kind === 'transform') {
      return { kind, transform: { deterministic: value.deterministic[index] as boolean } };
    }
    return { kind, sink: value.sinks[index] as SinkCapabilities };
  };
}

test('taking an ability away never strengthens the guarantee', () => {
  const weaken = (part: StageCapabilities): readonly StageCapabilities[] => {
    if (part.kind === 'source') {
      return [
        { kind: 'source', source: { ...part.source, replayable: false } },
        { kind: 'source', source: { ...part.source, ordered: 'none' } },
      ];
    }
    if (part.kind === 'transform')
      return [{ kind: 'transform', transform: { deterministic: false } }];
    return (['durable', 'idempotentByKey', 'transactionalPosition'] as const).map((ability) => ({
      kind: 'sink',
      sink: { ...part.sink, [ability]: false },
    }));
  };
  fc.assert(
    fc.property(validPipelines(), capabilities, fc.nat(), (pipeline, value, pick) => {
      const able = capabilitiesOf(value);
      const before = computeGuarantee(pipeline, able, durable);
      const victim = pipeline.stages[pick % pipeline.stages.length] as Stage;
      for (const weaker of weaken(able(victim))) {
        const lookup: CapabilityLookup = (asked) =>
          asked.name === victim.name ? weaker : able(asked);
        const after = computeGuarantee(pipeline, lookup, durable);
        assert.ok(strength(after) <= strength(before));
        assert.equal(after.delivery, after.ceiling);
      }
    }),
  );
});

test('one more transform or required sink never strengthens the guarantee', () => {
  fc.assert(
    fc.property(validPipelines(), capabilities, fc.boolean(), (pipeline, value, asSink) => {
      const able = capabilitiesOf(value);
      const before = computeGuarantee(pipeline, able, durable);
      fc.pre(before.perSink.some(({ required }) => required));
      const added = asSink ? stage('k7', 'sink') : stage('t7', 'transform');
      const edges = asSink
        ? [...pipeline.edges, edge('s', 'k7')]
        : pipeline.edges.flatMap((known, index) =>
            index === 0
              ? [{ ...known, to: 't7' }, edge('t7', known.to, { required: known.required })]
              : [known],
          );
      const grown = { ...pipeline, stages: [...pipeline.stages, added], edges };
      assert.ok(strength(computeGuarantee(grown, able, durable)) <= strength(before));
    }),
  );
});
