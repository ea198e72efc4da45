import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandBody } from '../../src/state/proposal.ts';
import { Bench, refusedCodes } from './harness.ts';

function join(bench: Bench, memberId: string, stage = '') {
  const { outcome } = bench.accept({ case: 'joinGroup', value: { groupId: 'g', memberId, stage } });
  assert(outcome.case === 'group');
  return outcome.value;
}

function commit(
  memberId: string,
  generation: bigint,
  partition: string,
  position: number,
): CommandBody {
  return {
    case: 'commitGroupPositions',
    value: {
      groupId: 'g',
      memberId,
      generation,
      positions: [{ source: 'in', partition, position: Uint8Array.of(position) }],
    },
  };
}

const four: CommandBody = {
  case: 'assignPartitions',
  value: { groupId: 'g', partitions: ['3', '1', '0', '2'] },
};

test('each rebalance raises the generation and fences commits of the one before', () => {
  const bench = new Bench();
  bench.accept(four);
  const first = join(bench, 'a');
  assert.deepEqual(first.partitions, ['0', '1', '2', '3']);
  assert.deepEqual(refusedCodes(bench.accept(commit('a', first.generation, '3', 5))), []);
  const second = join(bench, 'b');
  assert(second.generation > first.generation);
  assert.equal(second.partitions.length, 2);
  assert.equal(bench.refuse(commit('a', first.generation, '3', 6)), 'ETL_FENCED');
  const [owned] = second.partitions;
  assert.deepEqual(refusedCodes(bench.accept(commit('a', second.generation, owned as string, 6))), [
    'ETL_FENCED',
  ]);
  assert.equal(bench.refuse(commit('c', second.generation, '0', 6)), 'ETL_FENCED');
});

test('joining again changes nothing, and leaving gives the partitions to the others', () => {
  const bench = new Bench();
  bench.accept(four);
  join(bench, 'a');
  const before = join(bench, 'b');
  assert.equal(
    bench.apply({ case: 'joinGroup', value: { groupId: 'g', memberId: 'b' } }).changes.length,
    0,
  );
  bench.accept({ case: 'leaveGroup', value: { groupId: 'g', memberId: 'a' } });
  const after = join(bench, 'b');
  assert(after.generation > before.generation);
  assert.deepEqual(after.partitions, ['0', '1', '2', '3']);
  assert.equal(
    bench.refuse({ case: 'leaveGroup', value: { groupId: 'g', memberId: 'a' } }),
    'ETL_NOT_FOUND',
  );
});

test('a position of a group never goes back', () => {
  const bench = new Bench();
  bench.accept(four);
  const { generation } = join(bench, 'a');
  bench.accept(commit('a', generation, '0', 5));
  assert.equal(bench.apply(commit('a', generation, '0', 5)).changes.length, 0);
  assert.deepEqual(refusedCodes(bench.accept(commit('a', generation, '0', 4))), ['ETL_CONFLICT']);
});

test('equal partitions are no rebalance, and an expected generation is checked', () => {
  const bench = new Bench();
  bench.accept(four);
  assert.equal(bench.apply(four).changes.length, 0);
  const { generation } = join(bench, 'a');
  const value = { groupId: 'g', partitions: ['0'], expectedGeneration: generation - 1n };
  assert.equal(bench.refuse({ case: 'assignPartitions', value }), 'ETL_CONFLICT');
  bench.accept({ case: 'assignPartitions', value: { ...value, expectedGeneration: generation } });
  assert.deepEqual(join(bench, 'a').partitions, ['0']);
});

test('a group is of one stage, and is dropped only when nobody is in it', () => {
  const bench = new Bench();
  join(bench, 'a', 'enrich');
  const other = { groupId: 'g', memberId: 'b', stage: 'load' };
  assert.equal(bench.refuse({ case: 'joinGroup', value: other }), 'ETL_CONFLICT');
  assert.equal(bench.refuse({ case: 'dropGroup', value: { groupId: 'g' } }), 'ETL_CONFLICT');
  bench.accept({ case: 'leaveGroup', value: { groupId: 'g', memberId: 'a' } });
  bench.accept({ case: 'dropGroup', value: { groupId: 'g' } });
  assert.equal(bench.machine.tables.groups.size, 0);
});
