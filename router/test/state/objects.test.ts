import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { StoredPairSchema, StoredPipelineState } from '@etl-router/proto';
import { maxManifestBytes, maxRows } from '../../src/state/limits.ts';
import { Bench, commit, putPipeline } from './harness.ts';

function put(name: string, spec: string, expectedVersion?: bigint) {
  const body = putPipeline(name, spec);
  assert(body.case === 'putObject');
  const value = { ...body.value, ...(expectedVersion !== undefined && { expectedVersion }) };
  return { case: 'putObject', value } as const;
}

function stored(bench: Bench, name = 'orders') {
  return bench.machine.tables.objects.get(`EtlPipeline\u0000shop\u0000${name}`);
}

test('applying an equal object again changes nothing', () => {
  const bench = new Bench();
  bench.accept(putPipeline('orders'));
  const { changes } = bench.apply(putPipeline('orders'));
  assert.equal(changes.length, 0);
});

test('generation moves with the spec and the state, resource version with every change', () => {
  const bench = new Bench();
  bench.accept(put('orders', '{}'));
  const first = stored(bench);
  assert.equal(first?.generation, 1n);
  const relabelled = put('orders', '{}');
  bench.accept({
    ...relabelled,
    value: { ...relabelled.value, labels: [create(StoredPairSchema, { name: 'a', value: 'b' })] },
  });
  const second = stored(bench);
  assert.equal(second?.generation, 1n);
  assert(second.resourceVersion > (first?.resourceVersion ?? 0n));
  bench.accept(put('orders', '{"a":1}'));
  assert.equal(stored(bench)?.generation, 2n);
  const pause = { namespace: 'shop', name: 'orders', state: StoredPipelineState.PAUSED };
  bench.accept({ case: 'setPipelineState', value: pause });
  assert.equal(stored(bench)?.generation, 3n);
  assert.equal(stored(bench)?.createdAtNs, first?.createdAtNs);
  assert.equal(stored(bench)?.uid, first?.uid);
});

test('an expected version that is not the present one is a conflict', () => {
  const bench = new Bench();
  bench.accept(put('orders', '{}', 0n));
  assert.equal(bench.refuse(put('orders', '{"a":1}', 0n)), 'ETL_CONFLICT');
  const version = stored(bench)?.resourceVersion ?? 0n;
  assert.equal(bench.refuse(put('orders', '{"a":1}', version + 1n)), 'ETL_CONFLICT');
  bench.accept(put('orders', '{"a":1}', version));
  assert.equal(bench.refuse(put('new', '{}', 1n)), 'ETL_CONFLICT');
});

test('an object that is made again is another one', () => {
  const bench = new Bench();
  bench.accept(putPipeline('orders'));
  const before = stored(bench);
  bench.accept({
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  });
  bench.accept(putPipeline('orders'));
  assert.notEqual(stored(bench)?.uid, before?.uid);
  assert(Number(stored(bench)?.resourceVersion) > Number(before?.resourceVersion));
});

test('with a pipeline go its assignment and its lanes, and a late commit finds nothing', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  const epoch = bench.open(planVersion, ['0', '1']);
  const { outcome } = bench.accept({
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  });
  assert(outcome.case === 'droppedLanes');
  assert.equal(outcome.value.lanes, 2);
  assert.equal(bench.machine.tables.assignments.size, 0);
  assert.equal(bench.machine.tables.lanes.size, 0);
  const late = bench.accept(commit('0', epoch, [9]));
  assert(late.outcome.case === 'commit');
  assert.equal(late.outcome.value.refused[0]?.code, 'ETL_NOT_FOUND');
});

test('names that could forge a path, a key or a log line are refused', () => {
  const bench = new Bench();
  const names = [
    '',
    '../../etc/passwd',
    'a/b',
    'A',
    'a\u0000b',
    'a\nb',
    '-a',
    'a.',
    'é',
    'a'.repeat(254),
    '\u202ea',
  ];
  for (const name of names) {
    assert.equal(bench.refuse(putPipeline(name)), 'ETL_INVALID_ARGUMENT', JSON.stringify(name));
  }
});

test('a manifest over its bound and one object too many are refused', () => {
  const bench = new Bench();
  const tooLarge = putPipeline('orders', 'x'.repeat(maxManifestBytes + 1));
  assert.equal(bench.refuse(tooLarge), 'ETL_LIMIT_EXCEEDED');
  bench.accept(putPipeline('orders', 'x'.repeat(maxManifestBytes)));
  for (let count = 1; count < maxRows.objects; count++) bench.accept(putPipeline(`p${count}`));
  assert.equal(bench.refuse(putPipeline('one-more')), 'ETL_LIMIT_EXCEEDED');
  bench.accept(putPipeline('orders', '{"changed":true}'));
});

test('only pipelines have a state, and only a known one', () => {
  const bench = new Bench();
  const source = { kind: 'EtlSource', namespace: 'shop', name: 'in', spec: Buffer.from('{}') };
  bench.accept({ case: 'putObject', value: source });
  const running = { ...source, pipelineState: StoredPipelineState.RUNNING };
  assert.equal(bench.refuse({ case: 'putObject', value: running }), 'ETL_INVALID_ARGUMENT');
  const unknown = { ...source, kind: 'EtlPipeline', pipelineState: 99 as StoredPipelineState };
  assert.equal(bench.refuse({ case: 'putObject', value: unknown }), 'ETL_INVALID_ARGUMENT');
  assert.equal(
    bench.refuse({ case: 'putObject', value: { ...source, kind: 'Pod' } }),
    'ETL_INVALID_ARGUMENT',
  );
});
