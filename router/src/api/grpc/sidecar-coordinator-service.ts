// SidecarCoordinator over the router's sidecars. Everything a request holds is checked before any of it takes effect.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import { fromTimestamp, toCount } from '@etl-router/proto';
import type { Implementation } from '@etl-router/proto/grpc';
import {
  type HeartbeatRequest,
  type HeartbeatResponseSchema,
  type LocalServiceHealth,
  type OpenLanesRequest,
  type OpenLanesResponseSchema,
  type PipelineAssignmentSchema,
  type RegisterSidecarRequest,
  type RegisterSidecarResponseSchema,
  type SidecarCoordinator,
  type SidecarLoad,
  type WatchPipelineAssignmentsRequest,
  type WatchPipelineAssignmentsResponseSchema,
} from '@etl-router/proto/sidecar';
import type { Assignment } from '../../server/assignment-view.ts';
import type { ServiceHeartbeat } from '../../server/registry.ts';
import { formatEndpoint } from '../../server/service-view.ts';
import { maxLanesPerOpen } from '../../state/limits.ts';
import { invalid } from '../../state/names.ts';
import type { GrpcContext } from './context.ts';
import { atMost, measurement, pipelineId, proposal, required } from './fields.ts';
import { checkServiceLoad, toHealth, toServiceHealth, toServiceInfo } from './service-messages.ts';
import {
  fromAssignment,
  fromRevocation,
  toPipelineReport,
  toSidecarInfo,
} from './sidecar-messages.ts';
import { keepStream } from './streams.ts';

type WatchMessage = MessageInitShape<typeof WatchPipelineAssignmentsResponseSchema>;

const servicesMax = 64;
const pipelinesMax = 10_000;
/** Heartbeats within one lease, so that one that is lost does no harm. */
const beatsPerLease = 3;

/** The handlers of etl.sidecar.v1.SidecarCoordinator. */
export function createSidecarCoordinatorService(
  context: GrpcContext,
): Implementation<typeof SidecarCoordinator> {
  const { router } = context;
  return {
    registerSidecar: (request, { signal }) => register(context, request, signal),
    heartbeat: (request) => heartbeat(context, request),
    watchPipelineAssignments: (request, { signal }) => watch(context, request, signal),
    openLanes: (request, { signal }) => openLanes(context, request, signal),
    deregisterSidecar: async ({ sidecarId, registrationId, requestId }, { signal }) => {
      await router.sidecars.deregister(
        required('sidecar_id', sidecarId),
        toCount(registrationId, 'registration_id'),
        proposal(requestId, signal),
      );
      return {};
    },
  };
}

async function register(
  context: GrpcContext,
  request: RegisterSidecarRequest,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof RegisterSidecarResponseSchema>> {
  const { router } = context;
  const info = toSidecarInfo(request.sidecar, 'sidecar');
  atMost('services', request.services.length, servicesMax);
  const services = request.services.map((service, index) =>
    toServiceInfo(service, `services[${index}]`),
  );
  checkUnique(
    'services',
    services.map(({ serviceId }) => serviceId),
  );
  const lease = request.leaseTtlMs === 0 ? {} : { leaseTtlMs: request.leaseTtlMs };
  const registered = await router.sidecars.register(
    { ...info, ...lease },
    services,
    proposal(request.requestId, signal),
  );
  return {
    registrationId: BigInt(registered.registrationId),
    leaseTtlMs: registered.leaseTtlMs,
    heartbeatIntervalMs: Math.floor(registered.leaseTtlMs / beatsPerLease),
    assignments: registered.assignments.map((at) => toldOf(context, at)),
  };
}

async function heartbeat(
  context: GrpcContext,
  request: HeartbeatRequest,
): Promise<MessageInitShape<typeof HeartbeatResponseSchema>> {
  const { router, clock } = context;
  const sidecarId = required('sidecar_id', request.sidecarId);
  const registrationId = toCount(request.registrationId, 'registration_id');
  const health = toHealth('health', request.health);
  checkLoad(request.load);
  atMost('services', request.services.length, servicesMax);
  atMost('pipelines', request.pipelines.length, pipelinesMax);
  const services = request.services.map((service, index) => toBeat(service, `services[${index}]`));
  router.checkLeads('take the heartbeats');
  const nowMs = clock.wallMs();
  const pipelines = request.pipelines.map((report, index) =>
    toPipelineReport(report, { field: `pipelines[${index}]`, nowMs }, (id) =>
      router.sidecars.assignment(id),
    ),
  );
  const answer = await router.sidecars.heartbeat({
    sidecarId,
    registrationId,
    health,
    pipelines,
    services,
  });
  return {
    deadlineMs: answer.deadlineMs,
    assign: answer.change.assign.map((at) => toldOf(context, at)),
    revoke: answer.change.revoke.map(fromRevocation),
  };
}

/** An assignment as its sidecar is told of it. */
function toldOf(
  { router }: GrpcContext,
  assignment: Assignment,
): MessageInitShape<typeof PipelineAssignmentSchema> {
  return fromAssignment(assignment, (endpoint) => {
    const services = router.registry
      .list()
      .filter((service) => formatEndpoint(service.endpoint) === endpoint);
    const beside = services.find(({ sidecarId }) => sidecarId === assignment.sidecarId);
    return (beside ?? services[0])?.serviceId ?? '';
  });
}

function toBeat(
  message: LocalServiceHealth,
  field: string,
): Omit<ServiceHeartbeat, 'registrationId'> {
  checkServiceLoad(message.load, `${field}.load`);
  return {
    serviceId: required(`${field}.service_id`, message.serviceId),
    ...toServiceHealth(message.health, `${field}.health`),
  };
}

function checkLoad(load: SidecarLoad | undefined): void {
  if (load === undefined) return;
  measurement('load.cpu_cores', load.cpuCores);
  toCount(load.memoryBytes, 'load.memory_bytes');
  toCount(load.bufferLimitBytes, 'load.buffer_limit_bytes');
  toCount(load.bufferedBytes, 'load.buffered_bytes');
  toCount(load.deadLetters, 'load.dead_letters');
}

async function* watch(
  context: GrpcContext,
  request: WatchPipelineAssignmentsRequest,
  caller: AbortSignal,
): AsyncGenerator<WatchMessage, void, void> {
  const { router, clock, stopping } = context;
  const sidecarId = required('sidecar_id', request.sidecarId);
  const registrationId = toCount(request.registrationId, 'registration_id');
  atMost('known', request.known.length, pipelinesMax);
  const known = request.known.map(({ pipeline, planVersion }, index) => ({
    pipelineId: pipelineId(`known[${index}].pipeline`, pipeline),
    planVersion: toCount(planVersion, `known[${index}].plan_version`),
  }));
  const leading = router.checkLeads('watch the assignments');
  await router.barrier(caller);
  yield* keepStream<WatchMessage>(
    async function* (signal) {
      const options = { registrationId, known, signal };
      for await (const { assign, revoke, synced } of router.sidecars.watch(sidecarId, options)) {
        yield {
          assign: assign.map((at) => toldOf(context, at)),
          revoke: revoke.map(fromRevocation),
          synced,
        };
      }
    },
    { clock, caller, stopping, leading, signOfLife: () => ({ synced: true }) },
  );
}

async function openLanes(
  { router }: GrpcContext,
  request: OpenLanesRequest,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof OpenLanesResponseSchema>> {
  const sidecarId = required('sidecar_id', request.sidecarId);
  const registrationId = toCount(request.registrationId, 'registration_id');
  const planVersion = toCount(request.planVersion, 'plan_version');
  const id = pipelineId('pipeline', request.pipeline);
  const { lanes } = request;
  if (lanes.length === 0) throw invalid('lanes', 'is empty; name 1 to 1000 lanes');
  atMost('lanes', lanes.length, maxLanesPerOpen);
  checkUnique(
    'lanes',
    lanes.map(({ source, partition }) => `${source}/${partition}`),
  );
  // A registration may have been made at another member just now.
  await router.barrier(signal);
  if (router.sidecars.get(sidecarId)?.registrationId !== registrationId) {
    throw new EtlError(
      'ETL_NOT_FOUND',
      `sidecar ${sidecarId} has no registration ${registrationId}; register again`,
      { details: { sidecarId } },
    );
  }
  const opened = await router.positions.openLanes(
    { pipelineId: id, sidecarId, planVersion, lanes },
    { signal },
  );
  return {
    lanes: opened.map(({ epoch, position, watermark }) => ({
      epoch: BigInt(epoch),
      ...(position && { position: Uint8Array.from(position) }),
      ...(watermark && { watermark: fromTimestamp(watermark) }),
    })),
  };
}

function checkUnique(field: string, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw invalid(field, `names ${name} twice`);
    seen.add(name);
  }
}
