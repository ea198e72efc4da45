import assert from 'node:assert/strict';
import { test } from 'node:test';
import { positionOfCount } from '@etl-router/core';
import { createWorld, report, type World, withPipeline } from './harness.ts';

function names(count: number) {
  return Array.from({ length: count }, (_, index) => ({ source: 'in', partition: `p${index}` }));
}

function open(world: World, lanes: ReturnType<typeof names>) {
  const { planVersion = 0 } = world.router.sidecars.assignment('shop/orders') ?? {};
  const request = { pipelineId: 'shop/orders', sidecarId: 'shop/pod', planVersion, lanes };
  return world.router.positions.openLanes(request);
}

function item(partition: string, epoch: number, count: number) {
  const lane = { pipeline: 'shop/orders', source: 'in', partition };
  return { lane, epoch, position: positionOfCount(count) };
}

test('any number of lanes is opened and committed, whatever one command can hold', async () => {
  const world = createWorld();
  await withPipeline(world);
  const opened = await open(world, names(2500));
  assert.equal(opened.length, 2500);
  assert.equal(opened[2499]?.partition, 'p2499');
  assert.equal(opened[0]?.position, undefined);
  const items = Array.from({ length: 25_000 }, (_, index) => {
    const { partition, epoch } = opened[index % 2500] as (typeof opened)[number];
    return item(partition, index === 20_001 ? epoch - 1 : epoch, 1 + Math.floor(index / 2500));
  });
  const refused = await world.router.positions.commit(items);
  assert.deepEqual(
    refused.map(({ index, code }) => [index, code]),
    [[20_001, 'ETL_FENCED']],
  );
  const lanes = world.router.positions.list('shop/orders');
  assert.equal(lanes.length, 2500);
  assert(
    lanes.every(
      ({ position }) => Buffer.compare(position ?? Buffer.of(), positionOfCount(10)) === 0,
    ),
  );
  const again = await open(world, names(1));
  assert.deepEqual(again[0]?.position, positionOfCount(10));
  await world.router.close();
});

test('lanes are listed with their lag as last reported', async () => {
  const world = createWorld();
  const registrationId = await withPipeline(world);
  const [lane] = await open(world, names(2));
  await world.router.positions.commit([
    { ...item('p0', lane?.epoch ?? 0, 7), watermark: { seconds: -1, nanos: 1 } },
  ]);
  await world.router.sidecars.heartbeat({
    sidecarId: 'shop/pod',
    registrationId,
    health: 'healthy',
    pipelines: [
      report({
        lanes: [
          {
            source: 'in',
            partition: 'p0',
            epoch: lane?.epoch ?? 0,
            inFlightRecords: 0,
            lagRecords: 12,
            lagBytes: undefined,
            watermarkMs: undefined,
            ended: false,
          },
        ],
      }),
    ],
  });
  const [first, second] = world.router.positions.list('shop/orders', { source: 'in' });
  assert.equal(first?.lagRecords, 12);
  assert.deepEqual(first.watermark, { seconds: -1, nanos: 1 });
  assert.equal(first.committedAtMs, world.clock.wallMs());
  assert.equal(second?.lagRecords, undefined);
  assert.deepEqual(world.router.positions.list('shop/orders', { source: 'other' }), []);
  await world.router.close();
});

test('a position is set only while the pipeline does not run', async () => {
  const world = createWorld();
  await withPipeline(world);
  const [lane] = await open(world, names(1));
  const reset = [{ source: 'in', partition: 'p0', position: undefined }];
  await assert.rejects(world.router.positions.set('shop/orders', reset), { code: 'ETL_CONFLICT' });
  await world.router.objects.setPipelineState({ namespace: 'shop', name: 'orders' }, 'paused');
  const [set] = await world.router.positions.set('shop/orders', reset);
  assert.equal(set?.position, undefined);
  const late = await world.router.positions.commit([item('p0', lane?.epoch ?? 0, 9)]);
  assert.equal(late[0]?.code, 'ETL_FENCED');
  assert.equal(late[0].currentEpoch, set?.epoch);
  await world.router.close();
});

test('an epoch that a double can not hold is refused, not rounded', async () => {
  const world = createWorld();
  await withPipeline(world);
  await open(world, names(1));
  for (const epoch of [2 ** 53, -1, 1.5, Number.NaN]) {
    await assert.rejects(world.router.positions.commit([item('p0', epoch, 1)]), {
      code: 'ETL_INVALID_ARGUMENT',
    });
  }
  await world.router.close();
});
