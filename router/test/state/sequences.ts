// Random command sequences over few names, so that they collide, with versions and epochs that are sometimes right and
// sometimes stale.

import { type StoredHealth, StoredPipelineState } from '@etl-router/proto';
import fc from 'fast-check';
import type { StateMachine } from '../../src/state/machine.ts';
import { operatorEpoch } from '../../src/state/operators.ts';
import type { CommandBody, ProposalStamps } from '../../src/state/proposal.ts';
import { openLanes, putPipeline, registerService, registerSidecar } from './harness.ts';

/** A command that is completed from the state it meets: versions and epochs are right, stale or ahead of it. */
export type Draft = (machine: StateMachine) => {
  readonly body: CommandBody;
  readonly request?: ProposalStamps['request'];
};

const names = fc.constantFrom('orders', 'orders', 'orders', 'a');
const kinds = fc.constantFrom('EtlSource', 'EtlPipeline', 'EtlPipeline', 'Pod');
const sidecars = fc.constantFrom('shop/pod', 'shop/pod-2');
const services = fc.constantFrom('shop/pod/x', 'shop/pod/y', 'z');
const partitions = fc.constantFrom('0', '0', '1', '1', 'Ω', '\u{1f600}', '\uff5e', 'bad\u0000one');
const positions = fc.uint8Array({ minLength: 0, maxLength: 3 });
const specs = fc.constantFrom('{}', '{"file":{}}', '');
const skew = fc.constantFrom(-1n, 0n, 0n, 0n, 0n, 0n, 0n, 1n);
const states = fc.constantFrom(0, 1, 1, 1, 2, 3, 99) as fc.Arbitrary<StoredPipelineState>;
const healths = fc.constantFrom(0, 1, 2, 3, 4, 99) as fc.Arbitrary<StoredHealth>;
const members = fc.constantFrom('m1', 'm2', 'm3');

function at(value: bigint, by: bigint): bigint {
  return value + by < 0n ? 0n : value + by;
}

const objectDrafts: fc.Arbitrary<Draft> = fc.oneof(
  fc
    .record({ kind: kinds, name: names, spec: specs, state: states, by: skew, any: fc.boolean() })
    .map(
      ({ kind, name, spec, state, by, any }): Draft =>
        ({ tables }) => {
          const found = tables.objects.get(`${kind}\u0000shop\u0000${name}`);
          const expectedVersion = at(found?.resourceVersion ?? 0n, by);
          return {
            body: {
              case: 'putObject',
              value: {
                kind,
                namespace: 'shop',
                name,
                spec: Buffer.from(spec),
                pipelineState: kind === 'EtlPipeline' ? state : StoredPipelineState.UNSPECIFIED,
                ...(any ? {} : { expectedVersion }),
              },
            },
          };
        },
    ),
  fc.record({ kind: kinds, name: names }).map(
    ({ kind, name }): Draft =>
      () => ({ body: { case: 'deleteObject', value: { kind, namespace: 'shop', name } } }),
  ),
  fc.record({ name: names, state: states }).map(
    ({ name, state }): Draft =>
      () => ({ body: { case: 'setPipelineState', value: { namespace: 'shop', name, state } } }),
  ),
);

const registryDrafts: fc.Arbitrary<Draft> = fc.oneof(
  sidecars.map(
    (id): Draft =>
      () => ({ body: registerSidecar(id) }),
  ),
  fc.record({ id: sidecars, by: skew }).map(
    ({ id, by }): Draft =>
      ({ tables }) => ({
        body: {
          case: 'deregisterSidecar',
          value: {
            sidecarId: id,
            registrationId: at(tables.sidecars.get(id)?.registrationId ?? 0n, by),
          },
        },
      }),
  ),
  fc.record({ id: sidecars, health: healths }).map(
    ({ id, health }): Draft =>
      () => ({ body: { case: 'updateSidecarHealth', value: { sidecarId: id, health } } }),
  ),
  fc.record({ id: services, beside: fc.oneof(sidecars, fc.constant('')) }).map(
    ({ id, beside }): Draft =>
      () => ({ body: registerService(id, beside) }),
  ),
  fc.record({ id: services, by: skew }).map(
    ({ id, by }): Draft =>
      ({ tables }) => ({
        body: {
          case: 'deregisterService',
          value: {
            serviceId: id,
            registrationId: at(tables.services.get(id)?.registrationId ?? 0n, by),
          },
        },
      }),
  ),
  fc.record({ id: services, health: healths }).map(
    ({ id, health }): Draft =>
      () => ({ body: { case: 'updateServiceHealth', value: { serviceId: id, health } } }),
  ),
);

const planDrafts: fc.Arbitrary<Draft> = fc.oneof(
  fc.record({ name: names, sidecar: sidecars, by: skew, plan: skew }).map(
    ({ name, sidecar, by, plan }): Draft =>
      ({ tables }) => {
        const pipeline = `shop/${name}`;
        const generation =
          tables.objects.get(`EtlPipeline\u0000shop\u0000${name}`)?.generation ?? 1n;
        return {
          body: {
            case: 'assignPipeline',
            value: {
              pipeline,
              sidecarId: sidecar,
              generation,
              observedGeneration: at(generation, by),
              previousVersion: at(tables.assignments.get(pipeline)?.planVersion ?? 0n, plan),
              pipelineJson: Buffer.from('{}'),
            },
          },
        };
      },
  ),
  fc.record({ name: names, by: skew }).map(
    ({ name, by }): Draft =>
      ({ tables }) => {
        const pipeline = `shop/${name}`;
        const planVersion = at(tables.assignments.get(pipeline)?.planVersion ?? 0n, by);
        return { body: { case: 'revokePipeline', value: { pipeline, planVersion } } };
      },
  ),
);

const laneDrafts: fc.Arbitrary<Draft> = fc.oneof(
  fc.record({ name: names, sources: fc.array(partitions, { maxLength: 3 }), by: skew }).map(
    ({ name, sources, by }): Draft =>
      ({ tables }) => {
        const pipeline = `shop/${name}`;
        const held = tables.assignments.get(pipeline);
        return {
          body: {
            case: 'openLanes',
            value: {
              pipeline,
              sidecarId: held?.sidecarId ?? 'shop/pod',
              planVersion: at(held?.planVersion ?? 0n, by),
              lanes: sources.map((partition) => ({ source: 'in', partition })),
            },
          },
        };
      },
  ),
  fc
    .array(fc.record({ name: names, partition: partitions, position: positions, by: skew }), {
      maxLength: 4,
    })
    .map(
      (items): Draft =>
        ({ tables }) => ({
          body: {
            case: 'commitPositions',
            value: {
              items: items.map(({ name, partition, position, by }) => ({
                lane: { pipeline: `shop/${name}`, source: 'in', partition },
                epoch: at(
                  tables.lanes.get(`shop/${name}\u0000in\u0000${partition}`)?.epoch ?? 0n,
                  by,
                ),
                position,
                ...(position.length === 2 && {
                  watermark: { seconds: BigInt(position[0] ?? 0), nanos: 5 },
                }),
              })),
            },
          },
        }),
    ),
  fc.record({ name: names, partition: partitions, position: positions }).map(
    ({ name, partition, position }): Draft =>
      () => ({
        body: {
          case: 'setPositions',
          value: { pipeline: `shop/${name}`, positions: [{ source: 'in', partition, position }] },
        },
      }),
  ),
  fc.record({ name: names, sources: fc.array(partitions, { maxLength: 1 }) }).map(
    ({ name, sources }): Draft =>
      () => ({
        body: {
          case: 'dropLanes',
          value: {
            pipeline: `shop/${name}`,
            lanes: sources.map((partition) => ({ source: 'in', partition })),
          },
        },
      }),
  ),
  fc.record({ name: names, partition: partitions, seconds: fc.bigInt(-5n, 5n), by: skew }).map(
    ({ name, partition, seconds, by }): Draft =>
      ({ tables }) => ({
        body: {
          case: 'advanceWatermarks',
          value: {
            items: [
              {
                lane: { pipeline: `shop/${name}`, source: 'in', partition },
                epoch: at(
                  tables.lanes.get(`shop/${name}\u0000in\u0000${partition}`)?.epoch ?? 0n,
                  by,
                ),
                watermark: { seconds, nanos: 7 },
              },
            ],
          },
        },
      }),
  ),
);

const groupDrafts: fc.Arbitrary<Draft> = fc.oneof(
  members.map(
    (memberId): Draft =>
      () => ({ body: { case: 'joinGroup', value: { groupId: 'g', memberId } } }),
  ),
  members.map(
    (memberId): Draft =>
      () => ({ body: { case: 'leaveGroup', value: { groupId: 'g', memberId } } }),
  ),
  fc.uniqueArray(fc.constantFrom('0', '1', '2', '3', '4', '10'), { maxLength: 6 }).map(
    (all): Draft =>
      () => ({ body: { case: 'assignPartitions', value: { groupId: 'g', partitions: all } } }),
  ),
  fc.record({ memberId: members, partition: partitions, position: positions, by: skew }).map(
    ({ memberId, partition, position, by }): Draft =>
      ({ tables }) => ({
        body: {
          case: 'commitGroupPositions',
          value: {
            groupId: 'g',
            memberId,
            generation: at(tables.groups.get('g')?.generation ?? 0n, by),
            positions: [{ source: 'in', partition, position }],
          },
        },
      }),
  ),
  fc.constant((): ReturnType<Draft> => ({ body: { case: 'dropGroup', value: { groupId: 'g' } } })),
);

const otherDrafts: fc.Arbitrary<Draft> = fc.oneof(
  skew.map(
    (by): Draft =>
      ({ tables }) => {
        const epoch = at(operatorEpoch(tables), by);
        return { body: { case: 'raiseOperatorEpoch', value: { epoch } } };
      },
  ),
  fc.constant((): ReturnType<Draft> => ({ body: { case: 'noop', value: {} } })),
  fc.record({ serviceId: services, position: positions }).map(
    ({ serviceId, position }): Draft =>
      () => ({
        body: {
          case: 'saveServiceCheckpoint',
          value: {
            serviceId,
            checkpointId: 'c',
            data: position,
            positions: [
              { source: 'in', partition: '1', position },
              { source: 'in', partition: '0', position },
            ],
          },
        },
      }),
  ),
  fc.constant(
    (): ReturnType<Draft> => ({
      body: { case: 'openSession', value: { client: 'test', ttlMs: 60_000 } },
    }),
  ),
  fc.record({ which: fc.nat(3), close: fc.boolean() }).map(
    ({ which, close }): Draft =>
      ({ tables }) => {
        const sessionId = tables.sessions.keys()[which] ?? 'none';
        return {
          body: close
            ? { case: 'expireSession', value: { sessionId } }
            : { case: 'keepSession', value: { sessionId } },
        };
      },
  ),
);

const anyDraft = fc.oneof(
  objectDrafts,
  registryDrafts,
  planDrafts,
  { arbitrary: laneDrafts, weight: 2 },
  groupDrafts,
  otherDrafts,
);

/** A command, sometimes as a request of a session and sometimes under an id that was used before. */
export const drafts: fc.Arbitrary<Draft> = fc
  .record({
    draft: anyDraft,
    session: fc.nat(8),
    requestId: fc.constantFrom('r1', 'r2', 'r3', 'r4'),
  })
  .map(
    ({ draft, session, requestId }): Draft =>
      (machine) => {
        const sessionId = machine.tables.sessions.keys()[session];
        return sessionId === undefined
          ? draft(machine)
          : { ...draft(machine), request: { sessionId, requestId } };
      },
  );

/** Sequences of commands that have something to work on from the start. */
export const sequences: fc.Arbitrary<readonly Draft[]> = fc
  .array(drafts, { minLength: 20, maxLength: 60, size: 'max' })
  .map((random) => [...prologue, ...random]);

const prologue: readonly Draft[] = [
  () => ({ body: putPipeline('orders') }),
  () => ({ body: registerSidecar('shop/pod') }),
  () => ({ body: registerService('shop/pod/x', 'shop/pod') }),
  ({ tables }) => ({
    body: {
      case: 'assignPipeline',
      value: {
        pipeline: 'shop/orders',
        sidecarId: 'shop/pod',
        generation: 1n,
        observedGeneration: 1n,
        previousVersion: tables.assignments.get('shop/orders')?.planVersion ?? 0n,
        pipelineJson: Buffer.from('{}'),
      },
    },
  }),
  ({ tables }) => ({
    body: openLanes(tables.assignments.get('shop/orders')?.planVersion ?? 0n, [
      '1',
      '\u{1f600}',
      '\uff5e',
      '0',
    ]),
  }),
  () => ({ body: { case: 'joinGroup', value: { groupId: 'g', memberId: 'm2' } } }),
  () => ({ body: { case: 'assignPartitions', value: { groupId: 'g', partitions: ['1', '0'] } } }),
];
