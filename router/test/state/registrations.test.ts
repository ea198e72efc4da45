import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoredHealth, StoredPipelineState } from '@etl-router/proto';
import type { CommandBody } from '../../src/state/proposal.ts';
import { Bench, putPipeline, registerService, registerSidecar } from './harness.ts';

test('a late farewell of an earlier registration removes nothing', () => {
  const bench = new Bench();
  const { outcome } = bench.accept(registerService('shop/pod/x'));
  assert(outcome.case === 'registration');
  const { registrationId } = outcome.value;
  bench.accept(registerService('shop/pod/x'));
  const farewell = { serviceId: 'shop/pod/x', registrationId };
  assert.equal(bench.refuse({ case: 'deregisterService', value: farewell }), 'ETL_CONFLICT');
  const sick = { ...farewell, health: StoredHealth.UNHEALTHY };
  assert.equal(bench.refuse({ case: 'updateServiceHealth', value: sick }), 'ETL_CONFLICT');
  bench.accept({ case: 'deregisterService', value: { ...farewell, registrationId: 0n } });
});

test('a sidecar that goes takes the services beside it along and leaves the others', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  bench.accept(registerService('shop/pod/x', 'shop/pod'));
  bench.accept(registerService('shop/other'));
  bench.accept({ case: 'deregisterSidecar', value: { sidecarId: 'shop/pod' } });
  assert.deepEqual(bench.machine.tables.services.keys(), ['shop/other']);
  const held = bench.machine.tables.assignments.get('shop/orders');
  assert.equal(held?.planVersion, planVersion, 'its assignment waits for the planner');
});

test('a sidecar that comes back keeps its assignments', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  bench.accept(registerSidecar('shop/pod'));
  bench.open(planVersion, ['0']);
});

test('a service beside an unknown sidecar, without an endpoint or with an odd one is refused', () => {
  const bench = new Bench();
  assert.equal(bench.refuse(registerService('x', 'shop/nobody')), 'ETL_NOT_FOUND');
  const good = registerService('x');
  assert(good.case === 'registerService');
  const { description } = good.value;
  const odd: readonly object[] = [
    { endpoint: undefined },
    { endpoint: { host: '127.0.0.1', port: 0 } },
    { endpoint: { host: '127.0.0.1', port: 65_536 } },
    { endpoint: { host: 'a b', port: 1 } },
    { endpoint: { host: '[::1]', port: 1 } },
    { type: 0 },
    { type: 99 },
    { serviceId: '../x' },
    { serviceId: 'a//b' },
    { name: '' },
    { namespace: 'Shop' },
    { leaseTtlMs: 0 },
    { weight: 10_001 },
    {
      labels: [
        { name: 'b', value: '' },
        { name: 'a', value: '' },
      ],
    },
    { labels: [{ name: 'a', value: 'x\u0000y' }] },
    { capabilities: ['a', 'a'] },
  ];
  for (const change of odd) {
    const body = {
      case: 'registerService',
      value: { description: { ...description, ...change } },
    } as CommandBody;
    assert.equal(bench.refuse(body), 'ETL_INVALID_ARGUMENT', JSON.stringify(change));
  }
  for (const host of ['::1', 'fd00::1', 'svc.shop.svc.cluster.local', '10.0.0.1']) {
    const endpoint = { host, port: 443, tls: true };
    bench.accept({
      case: 'registerService',
      value: { description: { ...description, endpoint } },
    } as CommandBody);
    assert.equal(bench.machine.tables.services.get('x')?.description?.endpoint?.host, host);
  }
});

test('an unchanged health writes nothing, and a changed one is stamped', () => {
  const bench = new Bench();
  bench.accept(registerService('x'));
  const update = (health: StoredHealth) =>
    ({ case: 'updateServiceHealth', value: { serviceId: 'x', health } }) as const;
  assert.equal(bench.apply(update(StoredHealth.HEALTHY)).changes.length, 0);
  bench.accept(update(StoredHealth.UNHEALTHY));
  const row = bench.machine.tables.services.get('x');
  assert.equal(row?.healthChangedAtNs, bench.machine.tables.clock().timeNs);
  assert.equal(bench.refuse(update(99 as StoredHealth)), 'ETL_INVALID_ARGUMENT');
});

test('an assignment that was made from an older state is refused', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  const assign = (change: object): CommandBody =>
    ({
      case: 'assignPipeline',
      value: {
        pipeline: 'shop/orders',
        sidecarId: 'shop/pod',
        generation: 1n,
        observedGeneration: 1n,
        previousVersion: planVersion,
        pipelineJson: Buffer.from('{}'),
        ...change,
      },
    }) as CommandBody;
  assert.equal(bench.refuse(assign({ previousVersion: 0n })), 'ETL_CONFLICT');
  assert.equal(bench.refuse(assign({ sidecarId: 'shop/nobody' })), 'ETL_NOT_FOUND');
  assert.equal(bench.refuse(assign({ pipeline: 'shop/none' })), 'ETL_NOT_FOUND');
  assert.equal(bench.refuse(assign({ generation: 2n })), 'ETL_INVALID_ARGUMENT');
  bench.accept(putPipeline('orders', '{"a":1}'));
  assert.equal(bench.refuse(assign({})), 'ETL_CONFLICT');
  const revoke = { pipeline: 'shop/orders', planVersion: planVersion - 1n };
  assert.equal(bench.refuse({ case: 'revokePipeline', value: revoke }), 'ETL_CONFLICT');
  const stop = { namespace: 'shop', name: 'orders', state: StoredPipelineState.STOPPED };
  bench.accept({ case: 'setPipelineState', value: stop });
  assert.equal(bench.refuse(assign({ observedGeneration: 3n })), 'ETL_CONFLICT');
  bench.accept({ case: 'revokePipeline', value: { pipeline: 'shop/orders', planVersion } });
});

test('a checkpoint is kept in place of the one before, its positions sorted', () => {
  const bench = new Bench();
  const save = (change: object): CommandBody =>
    ({
      case: 'saveServiceCheckpoint',
      value: {
        serviceId: 'x',
        checkpointId: 'c1',
        data: Uint8Array.of(1, 2),
        positions: [
          { source: 'in', partition: '1', position: Uint8Array.of(1) },
          { source: 'in', partition: '0', position: Uint8Array.of(2) },
        ],
        ...change,
      },
    }) as CommandBody;
  bench.accept(save({}));
  bench.accept(save({ checkpointId: 'c2' }));
  const kept = bench.machine.tables.checkpoints.get('x');
  assert.equal(kept?.checkpointId, 'c2');
  assert.deepEqual(
    kept.positions.map(({ partition }) => partition),
    ['0', '1'],
  );
  assert.equal(bench.refuse(save({ data: new Uint8Array(256 * 1024 + 1) })), 'ETL_LIMIT_EXCEEDED');
  const twice = { source: 'in', partition: '1', position: Uint8Array.of(1) };
  assert.equal(bench.refuse(save({ positions: [twice, twice] })), 'ETL_INVALID_ARGUMENT');
});

test('a service that goes leaves its consumer groups in the same command', () => {
  const bench = new Bench();
  bench.accept(registerSidecar('shop/pod'));
  bench.accept(registerService('shop/pod/x', 'shop/pod'));
  bench.accept(registerService('shop/y'));
  const partitions = ['0', '1'];
  bench.accept({ case: 'assignPartitions', value: { groupId: 'g', partitions } });
  for (const memberId of ['shop/pod/x', 'shop/y', 'someone']) {
    bench.accept({ case: 'joinGroup', value: { groupId: 'g', memberId } });
  }
  const members = () =>
    bench.machine.tables.groups.get('g')?.members.map((member) => member.memberId);
  bench.accept({ case: 'deregisterSidecar', value: { sidecarId: 'shop/pod' } });
  assert.deepEqual(members(), ['shop/y', 'someone']);
  bench.accept({ case: 'deregisterService', value: { serviceId: 'shop/y' } });
  assert.deepEqual(members(), ['someone']);
  assert.deepEqual(bench.machine.tables.groups.get('g')?.members[0]?.partitions, partitions);
});
