import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparePositions } from '@etl-router/core';
import { StoredPipelineState } from '@etl-router/proto';
import fc from 'fast-check';
import { StateMachine } from '../../src/state/machine.ts';
import { Bench, commit, openLanes, refusedCodes, registerSidecar } from './harness.ts';

function lane(bench: Bench, partition = '0') {
  return bench.machine.tables.lanes.get(`shop/orders\u0000in\u0000${partition}`);
}

function setState(bench: Bench, state: StoredPipelineState): void {
  bench.accept({ case: 'setPipelineState', value: { namespace: 'shop', name: 'orders', state } });
}

function set(position: readonly number[]) {
  const positions = [{ source: 'in', partition: '0', position: Uint8Array.from(position) }];
  return { case: 'setPositions', value: { pipeline: 'shop/orders', positions } } as const;
}

test('opening a lane again raises its epoch, and the earlier holder is fenced', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  const first = bench.open(planVersion, ['0']);
  bench.accept(commit('0', first, [1]));
  const second = bench.open(planVersion, ['0']);
  assert(second > first);
  const result = bench.accept(commit('0', first, [2]));
  assert(result.outcome.case === 'commit');
  const [refused] = result.outcome.value.refused;
  assert.equal(refused?.code, 'ETL_FENCED');
  assert.equal(refused.epoch, second);
  assert.deepEqual(refused.position, Uint8Array.of(1));
  assert.deepEqual(refusedCodes(bench.accept(commit('0', second, [2]))), []);
});

test('only the holder of the present assignment opens lanes', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  assert.equal(bench.refuse(openLanes(planVersion - 1n, ['0'])), 'ETL_FENCED');
  assert.equal(bench.refuse(openLanes(planVersion, ['0'], 'shop/pod-2')), 'ETL_FENCED');
  bench.accept(registerSidecar('shop/pod-2'));
  const next = bench.assign('shop/pod-2', planVersion);
  assert.equal(bench.refuse(openLanes(planVersion, ['0'])), 'ETL_FENCED');
  bench.accept(openLanes(next, ['0'], 'shop/pod-2'));
});

test('a lane of a pipeline that is made again never gets an epoch it had', () => {
  const bench = new Bench();
  const first = bench.open(bench.withAssignment(), ['0']);
  bench.accept({
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  });
  const second = bench.open(bench.withAssignment(), ['0']);
  assert(second > first);
  assert.deepEqual(refusedCodes(bench.accept(commit('0', first, [1]))), ['ETL_FENCED']);
});

test('a position never goes back, an equal one is no change, and one refused item holds back no other', () => {
  const bench = new Bench();
  const epoch = bench.open(bench.withAssignment(), ['0', '1']);
  bench.accept(commit('0', epoch, [5]));
  assert.equal(bench.apply(commit('0', epoch, [5])).changes.length, 0);
  const item = (partition: string, position: readonly number[], by = 0n) => ({
    lane: { pipeline: 'shop/orders', source: 'in', partition },
    epoch: epoch + by,
    position: Uint8Array.from(position),
  });
  const result = bench.accept({
    case: 'commitPositions',
    value: {
      items: [
        item('0', [4, 255]),
        item('gone', [1]),
        item('1', []),
        item('1', [7], 1n),
        item('1', [7]),
        item('1', [6]),
        item(
          '1',
          Array.from({ length: 257 }, () => 9),
        ),
        item('0', [5, 0]),
        { epoch, position: Uint8Array.of(1) },
      ],
    },
  });
  assert(result.outcome.case === 'commit');
  assert.deepEqual(
    result.outcome.value.refused.map(({ index, code }) => [index, code]),
    [
      [0, 'ETL_CONFLICT'],
      [1, 'ETL_NOT_FOUND'],
      [2, 'ETL_INVALID_ARGUMENT'],
      [3, 'ETL_INVALID_ARGUMENT'],
      [5, 'ETL_CONFLICT'],
      [6, 'ETL_INVALID_ARGUMENT'],
      [8, 'ETL_INVALID_ARGUMENT'],
    ],
  );
  assert.deepEqual(lane(bench)?.position, Uint8Array.of(5, 0));
  assert.deepEqual(lane(bench, '1')?.position, Uint8Array.of(7));
});

test('commits do to a lane what they do to a naive one', () => {
  const commits = fc.array(fc.tuple(fc.nat(2), fc.nat(2), fc.uint8Array({ maxLength: 2 })), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(commits, (sequence) => {
      const bench = new Bench();
      const planVersion = bench.withAssignment();
      const epochs = [0, 1, 2].map(() => bench.open(planVersion, ['0', '1']));
      const naive = new Map<string, Uint8Array>();
      for (const [partition, holder, position] of sequence) {
        const epoch = epochs[holder] as bigint;
        const refused = refusedCodes(bench.accept(commit(String(partition), epoch, position)));
        const before = naive.get(String(partition)) ?? new Uint8Array();
        const taken =
          partition < 2 &&
          holder === 2 &&
          position.length > 0 &&
          comparePositions(position, before) >= 0;
        assert.equal(refused.length === 0, taken);
        if (taken) naive.set(String(partition), position);
      }
      for (const [partition, position] of naive)
        assert.deepEqual(lane(bench, partition)?.position, position);
    }),
  );
});

test('positions are set only while the pipeline does not run, and fence who held the lane', () => {
  const bench = new Bench();
  const epoch = bench.open(bench.withAssignment(), ['0']);
  bench.accept(commit('0', epoch, [5]));
  assert.equal(bench.refuse(set([1])), 'ETL_CONFLICT');
  setState(bench, StoredPipelineState.PAUSED);
  bench.accept(set([1]));
  assert.deepEqual(lane(bench)?.position, Uint8Array.of(1));
  assert.deepEqual(refusedCodes(bench.accept(commit('0', epoch, [6]))), ['ETL_FENCED']);
  bench.accept(set([]));
  assert.deepEqual(lane(bench)?.position, new Uint8Array());
});

test('lanes that a refused command began to open are gone without a trace', () => {
  const bench = new Bench();
  bench.withAssignment();
  setState(bench, StoredPipelineState.PAUSED);
  const before = Array.from(bench.machine.rows());
  const positions = [
    { source: 'in', partition: 'new', position: Uint8Array.of(1) },
    { source: 'in', partition: 'too-long', position: new Uint8Array(257) },
  ];
  const body = { case: 'setPositions' as const, value: { pipeline: 'shop/orders', positions } };
  assert.equal(bench.refuse(body), 'ETL_INVALID_ARGUMENT');
  assert.deepEqual(Array.from(bench.machine.rows()), before);
  assert.deepEqual(bench.machine.tables.lanes.group('shop/orders'), []);
});

test('lanes are dropped only from a stopped pipeline', () => {
  const bench = new Bench();
  bench.open(bench.withAssignment(), ['0', '1', '2']);
  const drop = (...partitions: readonly string[]) => {
    const lanes = partitions.map((partition) => ({ source: 'in', partition }));
    return { case: 'dropLanes', value: { pipeline: 'shop/orders', lanes } } as const;
  };
  setState(bench, StoredPipelineState.PAUSED);
  assert.equal(bench.refuse(drop()), 'ETL_CONFLICT');
  setState(bench, StoredPipelineState.STOPPED);
  assert.equal(bench.refuse(drop('0', 'gone')), 'ETL_NOT_FOUND');
  assert.notEqual(lane(bench), undefined, 'a refused command has no partial effect');
  bench.accept(drop('0'));
  assert.equal(lane(bench), undefined);
  bench.accept(drop());
  assert.equal(bench.machine.tables.lanes.size, 0);
});

test('a watermark only goes forward and keeps its nanoseconds', () => {
  const bench = new Bench();
  const epoch = bench.open(bench.withAssignment(), ['0']);
  const advance = (seconds: bigint, nanos: number, by = 0n) => ({
    case: 'advanceWatermarks' as const,
    value: {
      items: [
        {
          lane: { pipeline: 'shop/orders', source: 'in', partition: '0' },
          epoch: epoch + by,
          watermark: { seconds, nanos },
        },
      ],
    },
  });
  bench.accept(advance(-5n, 3));
  bench.accept(advance(-5n, 999_999_999));
  assert.equal(bench.apply(advance(-5n, 4)).changes.length, 0);
  assert.equal(lane(bench)?.watermark?.nanos, 999_999_999);
  const restored = StateMachine.load(bench.machine.rows());
  const { watermark } = restored.tables.lanes.get('shop/orders\u0000in\u00000') ?? {};
  assert.deepEqual([watermark?.seconds, watermark?.nanos], [-5n, 999_999_999]);
  assert.deepEqual(refusedCodes(bench.accept(advance(1n, 2_000_000_000))), [
    'ETL_INVALID_ARGUMENT',
  ]);
  assert.deepEqual(refusedCodes(bench.accept(advance(253_402_300_800n, 0))), [
    'ETL_INVALID_ARGUMENT',
  ]);
  assert.deepEqual(refusedCodes(bench.accept(advance(9n, 0, -1n))), ['ETL_FENCED']);
});

test('a lane twice, a partition without a name and too many lanes are refused', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  assert.equal(bench.refuse(openLanes(planVersion, ['0', '0'])), 'ETL_INVALID_ARGUMENT');
  for (const partition of [
    '',
    'a\u0000b',
    'a\nb',
    '\u200b',
    '\u202e',
    'x'.repeat(1025),
    'Ω'.repeat(513),
  ]) {
    assert.equal(bench.refuse(openLanes(planVersion, [partition])), 'ETL_INVALID_ARGUMENT');
  }
  bench.accept(openLanes(planVersion, ['~redrive/wh', 'data/a b.csv', 'Ω'.repeat(512)]));
  const many = Array.from({ length: 1001 }, (_, index) => String(index));
  assert.equal(bench.refuse(openLanes(planVersion, many)), 'ETL_LIMIT_EXCEEDED');
});
