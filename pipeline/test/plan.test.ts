import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Pipeline,
  type PlanInput,
  type PlanService,
  type PlanSidecar,
  plan,
} from '@etl-router/pipeline';
import fc from 'fast-check';
import { edge, pipelineOf, stage } from './graphs.ts';

function sidecar(id: string, change: Partial<PlanSidecar> = {}): PlanSidecar {
  return { id, zone: undefined, offers: ['connectors'], ...change };
}

function service(name: string, change: Partial<PlanService> = {}): PlanService {
  return {
    name,
    kind: 'transform',
    endpoint: `${name}:1`,
    sidecar: undefined,
    zone: undefined,
    ...change,
  };
}

function pipelineNamed(name: string, change: Partial<Pipeline> = {}): Pipeline {
  const stages = [stage('a', 'source'), stage('b', 'transform'), stage('c', 'sink')];
  const edges = [edge('a', 'b'), edge('b', 'c')];
  return pipelineOf(stages, edges, { id: `n/${name}`, name, ...change });
}

function withService(name: string, config: { readonly [field: string]: string }): Pipeline {
  const grpc = stage('b', 'transform', { connector: { type: 'grpc', config } });
  return pipelineNamed(name, { stages: [stage('a', 'source'), grpc, stage('c', 'sink')] });
}

const nothing: PlanInput = { pipelines: [], services: [], sidecars: [], last: undefined };

test('every stage of a pipeline goes to one sidecar that can run all of them', () => {
  const { pipelines } = plan({
    ...nothing,
    pipelines: [pipelineNamed('p')],
    sidecars: [sidecar('x')],
  });
  assert.deepEqual(pipelines[0]?.placements, [
    { stage: 'a', sidecar: 'x', endpoint: undefined },
    { stage: 'b', sidecar: 'x', endpoint: undefined },
    { stage: 'c', sidecar: 'x', endpoint: undefined },
  ]);
  assert.deepEqual(pipelines[0].unplaced, []);
});

test('stages without a place are reported with the reason', () => {
  const unresolved = pipelineNamed('u', {
    stages: [stage('a', 'source', { connector: undefined }), stage('c', 'sink')],
  });
  const apart: PlanInput = {
    ...nothing,
    pipelines: [withService('p', { service: 'mask' })],
    services: [service('mask', { sidecar: 'pod' })],
    sidecars: [sidecar('pod', { offers: [] }), sidecar('x')],
  };
  const cases: readonly (readonly [PlanInput, string, string])[] = [
    [{ ...nothing, pipelines: [unresolved], sidecars: [sidecar('x')] }, 'a', 'Unresolved'],
    [{ ...nothing, pipelines: [pipelineNamed('p')] }, 'a', 'NoSidecar'],
    [
      { ...nothing, pipelines: [pipelineNamed('p')], sidecars: [sidecar('x', { offers: [] })] },
      'a',
      'NoConnectors',
    ],
    [
      { ...nothing, pipelines: [withService('p', { service: 'mask' })], sidecars: [sidecar('x')] },
      'b',
      'ServiceNotRegistered',
    ],
    [apart, 'a', 'NotTogether'],
  ];
  for (const [input, name, reason] of cases) {
    const [entry] = plan(input).pipelines;
    assert.deepEqual(entry?.placements, []);
    assert.deepEqual([entry.unplaced[0]?.stage, entry.unplaced[0]?.reason], [name, reason]);
  }
});

test('a gRPC stage goes by its endpoint, or by the name that its service registered under', () => {
  const byEndpoint = plan({
    ...nothing,
    pipelines: [withService('p', { endpoint: 'h:9' })],
    sidecars: [sidecar('x')],
  });
  assert.equal(byEndpoint.pipelines[0]?.placements[1]?.endpoint, 'h:9');
  const services = [service('mask'), service('mask', { kind: 'sink', endpoint: 'other:1' })];
  const byName = plan({
    ...nothing,
    services,
    pipelines: [withService('p', { service: 'mask' })],
    sidecars: [sidecar('x')],
  });
  assert.equal(byName.pipelines[0]?.placements[1]?.endpoint, 'mask:1');
});

test('a service in a pod is called by the sidecar of that pod, and a near one before a far one', () => {
  const pipelines = [withService('p', { service: 'mask' })];
  const inPod = plan({
    ...nothing,
    pipelines,
    services: [service('mask', { sidecar: 'y' })],
    sidecars: [sidecar('x'), sidecar('y')],
  });
  assert.equal(inPod.pipelines[0]?.placements[0]?.sidecar, 'y');
  const inZone = plan({
    ...nothing,
    pipelines,
    services: [service('mask', { zone: 'z2' })],
    sidecars: [sidecar('x', { zone: 'z1' }), sidecar('y', { zone: 'z2' })],
  });
  assert.equal(inZone.pipelines[0]?.placements[0]?.sidecar, 'y');
});

test('paused pipelines keep their places and stopped ones have none', () => {
  const pipelines = [
    pipelineNamed('p', { state: 'paused' }),
    pipelineNamed('q', { state: 'stopped' }),
  ];
  const planned = plan({ ...nothing, pipelines, sidecars: [sidecar('x')] });
  assert.deepEqual(
    planned.pipelines.map(({ pipeline, state, placements }) => [
      pipeline,
      state,
      placements.length,
    ]),
    [
      ['n/p', 'paused', 3],
      ['n/q', 'stopped', 0],
    ],
  );
});

test('pipelines are spread over equal sidecars', () => {
  const pipelines = ['p', 'q', 'r', 's'].map((name) => pipelineNamed(name));
  const planned = plan({ ...nothing, pipelines, sidecars: [sidecar('x'), sidecar('y')] });
  const used = planned.pipelines.map(({ placements }) => placements[0]?.sidecar);
  assert.deepEqual(used, ['x', 'y', 'x', 'y']);
});

const worlds = fc.record({
  pipelines: fc.uniqueArray(fc.constantFrom('p', 'q', 'r', 's', 't'), { minLength: 1 }),
  sidecars: fc.uniqueArray(fc.constantFrom('w', 'x', 'y', 'z'), { minLength: 1 }),
  grpc: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
  home: fc.constantFrom('w', 'x', 'y', 'z', undefined),
});

function inputOf(world: {
  readonly pipelines: readonly string[];
  readonly sidecars: readonly string[];
  readonly grpc: readonly boolean[];
  readonly home: string | undefined;
}): PlanInput {
  const pipelines = world.pipelines.map((name, index) =>
    world.grpc[index] ? withService(name, { service: 'mask' }) : pipelineNamed(name),
  );
  const services = [service('mask', { sidecar: world.home })];
  return {
    pipelines,
    services,
    sidecars: world.sidecars.map((id) => sidecar(id)),
    last: undefined,
  };
}

test('the plan does not depend on the order in which things are given', () => {
  fc.assert(
    fc.property(worlds, (world) => {
      const input = inputOf(world);
      const turned = {
        ...input,
        pipelines: [...input.pipelines].reverse(),
        sidecars: [...input.sidecars].reverse(),
      };
      assert.deepEqual(plan(turned), plan(input));
    }),
  );
});

test('a plan made again from itself stays, whatever sidecars and pipelines join', () => {
  fc.assert(
    fc.property(worlds, worlds, (world, more) => {
      const input = inputOf(world);
      const last = plan(input);
      assert.deepEqual(plan({ ...input, last }), last);
      const joined = {
        pipelines: [...input.pipelines, pipelineNamed('zz')],
        services: input.services,
        sidecars: [...input.sidecars, ...more.sidecars.map((id) => sidecar(`new-${id}`))],
        last,
      };
      const next = new Map(plan(joined).pipelines.map((entry) => [entry.pipeline, entry]));
      for (const entry of last.pipelines) {
        if (entry.placements.length > 0) assert.deepEqual(next.get(entry.pipeline), entry);
      }
    }),
  );
});
