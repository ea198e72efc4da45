import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { positionOfCount } from '@etl-router/core';
import { Health } from '@etl-router/proto/registry';
import { RunState } from '@etl-router/proto/sidecar';
import { allText } from '../server/harness.ts';
import { type Fixture, saying, start, uint64Max } from './fixture.ts';

const pipeline = 'shop/orders';
const sidecar = { sidecarId: 'shop/pod', namespace: 'shop', connectors: ['file'] };

interface Assigned extends Fixture {
  readonly registrationId: bigint;
  readonly planVersion: bigint;
}

/** The pipeline `shop/orders`, applied and assigned to `shop/pod`. */
async function assigned(t: TestContext): Promise<Assigned> {
  const fixture = await start(t);
  const { registrationId } = await fixture.coordinator.registerSidecar({ sidecar });
  const watch = fixture.coordinator
    .watchPipelineAssignments({ sidecarId: 'shop/pod', registrationId })
    [Symbol.asyncIterator]();
  assert.equal((await watch.next()).value.synced, true);
  await fixture.running.router.objects.applyText(allText);
  const { assign } = (await watch.next()).value;
  assert.equal(assign[0]?.pipeline, pipeline);
  await watch.return?.();
  return { ...fixture, registrationId, planVersion: assign[0]?.planVersion ?? 0n };
}

test('a sidecar is told what to run, again after it registers anew, and what it no longer runs', async (t) => {
  const { coordinator, running, planVersion } = await assigned(t);
  const again = await coordinator.registerSidecar({ sidecar, leaseTtlMs: 60_000, requestId: 'r' });
  assert.equal(again.heartbeatIntervalMs, 20_000);
  const [assignment] = again.assignments;
  assert.equal(assignment?.planVersion, planVersion);
  const spec = JSON.parse(Buffer.from(assignment?.pipelineJson ?? []).toString()) as { id: string };
  assert.equal(spec.id, pipeline);
  const { registrationId } = again;
  const id = { sidecarId: 'shop/pod', registrationId };
  const watch = coordinator
    .watchPipelineAssignments({ ...id, known: [{ pipeline, planVersion }] })
    [Symbol.asyncIterator]();
  assert.deepEqual((await watch.next()).value.assign, []);
  await running.router.objects.delete({ kind: 'EtlPipeline', namespace: 'shop', name: 'orders' });
  const { revoke } = (await watch.next()).value;
  assert.deepEqual(
    revoke.map((at: { pipeline: string; planVersion: bigint }) => [at.pipeline, at.planVersion]),
    [[pipeline, planVersion]],
  );
  await coordinator.deregisterSidecar(id);
  await assert.rejects(watch.next(), saying('ETL_NOT_FOUND', /register again/));
});

test('a heartbeat reports what runs and learns what differs', async (t) => {
  const { coordinator, running, registrationId, planVersion } = await assigned(t);
  const beat = { sidecarId: 'shop/pod', registrationId, health: Health.HEALTHY };
  const missing = await coordinator.heartbeat(beat);
  assert.equal(missing.deadlineMs, 15_000);
  assert.equal(missing.assign[0]?.pipeline, pipeline);
  const lane = { pipeline, source: 'in', partition: '0' };
  const report = {
    pipeline,
    planVersion,
    state: RunState.RUNNING,
    stages: [{ stage: 'in', recordsIn: 7n, recordsOut: 7n }],
    lanes: [{ lane, epoch: 1n, lagRecords: 3n, inFlightRecords: 2n }],
  };
  const settled = await coordinator.heartbeat({ ...beat, pipelines: [report] });
  assert.deepEqual([settled.assign, settled.revoke], [[], []]);
  const live = running.router.live.get(pipeline)?.report;
  assert.deepEqual([live?.phase, live?.lagRecords, live?.inFlightRecords], ['running', 3, 2]);
  assert.equal(running.router.pipelines.get(pipeline)?.phase, 'running');
});

test('heartbeats that can not be true are refused whole, by the name of the field', async (t) => {
  const { coordinator, running, registrationId, planVersion } = await assigned(t);
  const beat = { sidecarId: 'shop/pod', registrationId, health: Health.HEALTHY };
  const report = { pipeline, planVersion, state: RunState.RUNNING };
  const stage = { stage: 'in' };
  const cases: readonly (readonly [object, RegExp])[] = [
    [{}, /sidecar_id/],
    [{ ...beat, health: Health.UNSPECIFIED }, /health: 0/],
    [{ ...beat, registrationId: uint64Max }, /registration_id/],
    [{ ...beat, pipelines: [{ ...report, pipeline: '' }] }, /pipelines\[0\]\.pipeline/],
    [{ ...beat, pipelines: [{ ...report, state: 77 }] }, /pipelines\[0\]\.state: 77/],
    [
      { ...beat, pipelines: [{ ...report, stages: [{ ...stage, recordsIn: uint64Max }] }] },
      /pipelines\[0\]\.stages\[0\]\.records_in/,
    ],
    [
      { ...beat, pipelines: [{ ...report, lanes: [{ epoch: 1n }] }] },
      /pipelines\[0\]\.lanes\[0\]\.lane/,
    ],
    [{ ...beat, load: { cpuCores: -1 } }, /load\.cpu_cores/],
    [{ ...beat, services: [{ serviceId: 'a' }] }, /services\[0\]\.health/],
  ];
  for (const [request, message] of cases) {
    await assert.rejects(
      coordinator.heartbeat(request as never),
      saying('ETL_INVALID_ARGUMENT', message),
    );
  }
  assert.equal(running.router.live.get(pipeline), undefined);
  await assert.rejects(
    coordinator.heartbeat({ ...beat, registrationId: registrationId + 1n }),
    saying('ETL_NOT_FOUND', /register again/),
  );
});

test('lanes are opened under the present assignment alone, and earlier holders are fenced', async (t) => {
  const { coordinator, checkpoints, registrationId, planVersion } = await assigned(t);
  const request = { sidecarId: 'shop/pod', registrationId, pipeline, planVersion };
  const lanes = [
    { source: 'in', partition: '0' },
    { source: 'in', partition: '1' },
  ];
  const first = await coordinator.openLanes({ ...request, lanes });
  const second = await coordinator.openLanes({ ...request, lanes });
  assert.equal(first.lanes.length, 2);
  assert((second.lanes[0]?.epoch ?? 0n) > (first.lanes[0]?.epoch ?? 0n));
  const lane = { pipeline, source: 'in', partition: '0' };
  const item = (epoch: bigint, count: number): object => ({
    lane,
    epoch,
    position: positionOfCount(count),
  });
  const [stale = 0n, present = 0n] = [first.lanes[0]?.epoch, second.lanes[0]?.epoch];
  const committed = await checkpoints.commitPositions({
    items: [
      item(stale, 1),
      item(present, 9),
      item(present, 5),
      {},
      item(uint64Max, 9),
      { lane, epoch: present },
      { lane: { ...lane, partition: 'never' }, epoch: present, position: positionOfCount(1) },
      item(present, 9),
    ],
  });
  assert.deepEqual(
    committed.refused.map(({ index, code }) => [index, code]),
    [
      [0, 'ETL_FENCED'],
      [2, 'ETL_CONFLICT'],
      [3, 'ETL_INVALID_ARGUMENT'],
      [4, 'ETL_INVALID_ARGUMENT'],
      [5, 'ETL_INVALID_ARGUMENT'],
      [6, 'ETL_NOT_FOUND'],
    ],
  );
  assert.deepEqual(committed.refused[0]?.currentEpoch, present);
  assert.deepEqual(
    Buffer.from(committed.refused[1]?.currentPosition ?? []),
    Buffer.from(positionOfCount(9)),
  );
  const found = await checkpoints.getPositions({ pipeline, source: 'in', partitions: ['0'] });
  assert.equal(found.lanes.length, 1);
  assert.equal(found.lanes[0]?.sidecarId, 'shop/pod');
  assert.equal(found.lanes[0]?.position?.epoch, present);

  const bad: readonly (readonly [object, string, RegExp])[] = [
    [{ ...request, lanes: [] }, 'ETL_INVALID_ARGUMENT', /lanes/],
    [{ ...request, lanes: [lanes[0], lanes[0]] }, 'ETL_INVALID_ARGUMENT', /twice/],
    [{ ...request, planVersion: planVersion + 1n, lanes }, 'ETL_FENCED', /./],
    [{ ...request, planVersion: uint64Max, lanes }, 'ETL_INVALID_ARGUMENT', /plan_version/],
    [{ ...request, registrationId: registrationId + 1n, lanes }, 'ETL_NOT_FOUND', /register again/],
    [{ ...request, pipeline: 'orders', lanes }, 'ETL_INVALID_ARGUMENT', /pipeline/],
    [
      {
        ...request,
        lanes: Array.from({ length: 1001 }, (_, n) => ({ source: 'in', partition: `${n}` })),
      },
      'ETL_LIMIT_EXCEEDED',
      /lanes/,
    ],
  ];
  for (const [given, code, message] of bad) {
    await assert.rejects(coordinator.openLanes(given as never), saying(code, message));
  }
});

test('watermarks rise on their own, and a pipeline has the least of its lanes', async (t) => {
  const { coordinator, checkpoints, registrationId, planVersion } = await assigned(t);
  const names = ['0', '1'].map((partition) => ({ source: 'in', partition }));
  const request = { sidecarId: 'shop/pod', registrationId, pipeline, planVersion };
  const { lanes } = await coordinator.openLanes({ ...request, lanes: names });
  const item = (at: number, seconds: bigint): object => ({
    lane: { pipeline, ...names[at] },
    epoch: lanes[at]?.epoch ?? 0n,
    watermark: { seconds, nanos: 0 },
  });
  assert.deepEqual((await checkpoints.reportWatermarks({ items: [item(0, 50n)] })).refused, []);
  assert.equal((await checkpoints.getWatermarks({ pipeline })).watermark, undefined);
  const outside = { ...item(1, 10n ** 15n) };
  const { refused } = await checkpoints.reportWatermarks({ items: [item(1, 40n), outside, {}] });
  assert.deepEqual(
    refused.map(({ index, code }) => [index, code]),
    [
      [1, 'ETL_INVALID_ARGUMENT'],
      [2, 'ETL_INVALID_ARGUMENT'],
    ],
  );
  const known = await checkpoints.getWatermarks({ pipeline });
  assert.equal(known.watermark?.seconds, 40n);
  assert.equal(known.lanes.length, 2);
  const all = await checkpoints.getPipelineCheckpoints({ pipeline });
  assert.equal(all.watermark?.seconds, 40n);
  assert.equal(all.lanes.length, 2);
  await assert.rejects(
    checkpoints.getWatermarks({ pipeline: 'shop/nothing' }),
    saying('ETL_NOT_FOUND', /shop\/nothing/),
  );
});

test('a service keeps its checkpoint, and a group its positions', async (t) => {
  const { checkpoints, registry, running } = await start(t);
  assert.equal((await checkpoints.getCheckpoint({ serviceId: 'a' })).checkpoint, undefined);
  const position = { source: 'in', partition: '0', position: positionOfCount(4) as never };
  const checkpoint = {
    serviceId: 'a',
    checkpointId: 'c-1',
    data: Uint8Array.of(1, 2),
    positions: [position],
  };
  await checkpoints.saveCheckpoint({ checkpoint, requestId: 'r' });
  const kept = (await checkpoints.getCheckpoint({ serviceId: 'a' })).checkpoint;
  assert.deepEqual([kept?.checkpointId, Buffer.from(kept?.data ?? [])], ['c-1', Buffer.of(1, 2)]);
  assert.equal(kept?.positions.length, 1);
  await assert.rejects(
    checkpoints.saveCheckpoint({}),
    saying('ETL_INVALID_ARGUMENT', /^checkpoint: is missing/),
  );
  const data = new Uint8Array(256 * 1024 + 1);
  await assert.rejects(
    checkpoints.saveCheckpoint({ checkpoint: { ...checkpoint, data } }),
    saying('ETL_LIMIT_EXCEEDED', /data/),
  );

  await registry.joinGroup({ groupId: 'g', memberId: 'm' });
  const { generation } = await running.router.groups.assignPartitions({
    groupId: 'g',
    partitions: ['0'],
  });
  const commit = { groupId: 'g', memberId: 'm', generation: BigInt(generation) };
  const good = await checkpoints.commitGroupPosition({ ...commit, positions: [position] });
  assert.deepEqual(good.refused, []);
  const found = await checkpoints.getGroupPositions({ groupId: 'g' });
  assert.equal(found.generation, BigInt(generation));
  assert.deepEqual(
    Buffer.from(found.positions[0]?.position ?? []),
    Buffer.from(positionOfCount(4)),
  );
  const back = { ...position, position: positionOfCount(3) as never };
  const other = { ...position, partition: '9' };
  const { refused } = await checkpoints.commitGroupPosition({
    ...commit,
    positions: [back, other],
  });
  assert.deepEqual(
    refused.map(({ code, currentEpoch }) => [code, currentEpoch]),
    [
      ['ETL_CONFLICT', BigInt(generation)],
      ['ETL_FENCED', BigInt(generation)],
    ],
  );
  await assert.rejects(
    checkpoints.commitGroupPosition({ ...commit, generation: uint64Max }),
    saying('ETL_INVALID_ARGUMENT', /generation/),
  );
  await assert.rejects(
    checkpoints.getGroupPositions({ groupId: 'none' }),
    saying('ETL_NOT_FOUND', /none/),
  );
});
