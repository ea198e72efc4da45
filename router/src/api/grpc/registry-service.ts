// ServiceRegistry over the router's registry and groups. It translates and checks; it decides nothing.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { toCount } from '@etl-router/proto';
import type { CallContext, Implementation } from '@etl-router/proto/grpc';
import {
  type ServiceFilter as FilterMessage,
  type HeartbeatRequest,
  type HeartbeatResponseSchema,
  type RegisterRequest,
  type ServiceCommandSchema,
  ServiceEventType,
  type ServiceRegistry,
  type WatchRequest,
  type WatchResponseSchema,
} from '@etl-router/proto/registry';
import type { ServiceHeartbeat } from '../../server/registry.ts';
import type { ServiceFilter } from '../../server/service-view.ts';
import type { ServiceEvent, ServiceEvents } from '../../server/service-watch.ts';
import type { GrpcContext } from './context.ts';
import { atMost, optional, proposal, required } from './fields.ts';
import { pageOf } from './pages.ts';
import { beforeRead } from './reads.ts';
import {
  checkServiceLoad,
  fromHealth,
  fromRegisteredService,
  toFilterType,
  toServiceHealth,
  toServiceInfo,
} from './service-messages.ts';
import { keepStream, untilStopping } from './streams.ts';

const pageBounds = { defaultSize: 500, maxSize: 1000 };
const filterLabelsMax = 16;
/** Heartbeats within one lease, so that one that is lost does no harm. */
const beatsPerLease = 3;

/** The handlers of etl.registry.v1.ServiceRegistry. */
export function createRegistryService(
  context: GrpcContext,
): Implementation<typeof ServiceRegistry> {
  const { router } = context;
  const { registry } = router;
  const revision = (): bigint => BigInt(registry.revision);
  return {
    register: async (request, { signal }) => register(context, request, signal),
    deregister: async (request, { signal }) => {
      // One that drains is watched until it is removed, by the leader.
      if (request.drainTimeoutMs > 0) router.checkLeads('drain a service');
      await router.barrier(signal);
      await registry.deregister(
        {
          serviceId: required('service_id', request.serviceId),
          registrationId: toCount(request.registrationId, 'registration_id'),
          drainMs: request.drainTimeoutMs,
        },
        proposal(request.requestId, signal),
      );
      return { revision: revision() };
    },
    heartbeat: (requests) => heartbeats(context, requests),
    listServices: async (request, call) => {
      const filter = toFilter(request.filter);
      await beforeRead(context, call);
      const found = registry.list(filter);
      const page = pageOf(found, ({ serviceId }) => [serviceId], request, pageBounds);
      return {
        services: page.items.map(fromRegisteredService),
        nextPageToken: page.nextPageToken,
        revision: revision(),
      };
    },
    watch: (request, call) => watch(context, request, call),
    getServiceEndpoints: async (request, call) => {
      const type = toFilterType('type', request.type);
      const groupId = optional(request.groupId);
      const namespace = required('namespace', request.namespace);
      const name = required('name', request.name);
      await beforeRead(context, call);
      const endpoints = registry.endpoints({
        namespace,
        name,
        ...(type && { type }),
        ...(groupId && { groupId }),
      });
      return {
        endpoints: endpoints.map((service) => ({
          serviceId: service.serviceId,
          endpoint: { ...service.endpoint },
          weight: service.weight,
          health: fromHealth(service.health),
          partitions: [...service.partitions],
          sidecarId: service.sidecarId,
        })),
        revision: revision(),
      };
    },
    ...groupMethods(context),
  };
}

function groupMethods({
  router: { groups },
}: GrpcContext): Pick<Implementation<typeof ServiceRegistry>, 'joinGroup' | 'leaveGroup'> {
  return {
    joinGroup: async ({ groupId, memberId, stage, requestId }, { signal }) => {
      required('group_id', groupId);
      required('member_id', memberId);
      const options = proposal(requestId, signal);
      const { generation, partitions } = await groups.join({ groupId, memberId, stage }, options);
      return { generation: BigInt(generation), partitions: [...partitions] };
    },
    leaveGroup: async ({ groupId, memberId, requestId }, { signal }) => {
      required('group_id', groupId);
      required('member_id', memberId);
      await groups.leave(groupId, memberId, proposal(requestId, signal));
      return {};
    },
  };
}

async function register(
  { router }: GrpcContext,
  request: RegisterRequest,
  signal: AbortSignal,
): Promise<{
  registrationId: bigint;
  leaseTtlMs: number;
  heartbeatIntervalMs: number;
  revision: bigint;
}> {
  const info = toServiceInfo(request.service, 'service');
  const lease = request.leaseTtlMs === 0 ? {} : { leaseTtlMs: request.leaseTtlMs };
  const options = proposal(request.requestId, signal);
  const { registrationId, leaseTtlMs } = await router.registry.register(
    { ...info, ...lease },
    options,
  );
  return {
    registrationId: BigInt(registrationId),
    leaseTtlMs,
    heartbeatIntervalMs: Math.floor(leaseTtlMs / beatsPerLease),
    revision: BigInt(router.registry.revision),
  };
}

async function* heartbeats(
  context: GrpcContext,
  requests: AsyncIterable<HeartbeatRequest>,
): AsyncGenerator<MessageInitShape<typeof HeartbeatResponseSchema>, void, void> {
  for await (const request of untilStopping(requests, context.stopping)) {
    const serviceId = required('service_id', request.serviceId);
    checkServiceLoad(request.load, 'load');
    const said = toServiceHealth(request.health, 'health');
    const registrationId = toCount(request.registrationId, 'registration_id');
    context.router.checkLeads('take the heartbeats');
    const beat = { serviceId, registrationId, ...said };
    const { deadlineMs } = await context.router.registry.heartbeat(beat);
    yield { deadlineMs, commands: commandsFor(context, beat) };
  }
}

/** What the router wants of a service: that it leaves when it was deregistered, and owns what its group gives it. */
function commandsFor(
  { router }: GrpcContext,
  { serviceId, health }: ServiceHeartbeat,
): MessageInitShape<typeof ServiceCommandSchema>[] {
  const commands: MessageInitShape<typeof ServiceCommandSchema>[] = [];
  const service = router.registry.get(serviceId);
  if (service?.health === 'draining' && health !== 'draining') {
    commands.push({ command: { case: 'drain', value: { reason: service.healthMessage } } });
  }
  const group = router.groups.get(service?.groupId ?? '');
  const member = group?.members.find(({ memberId }) => memberId === serviceId);
  if (group !== undefined && member !== undefined) {
    const { groupId } = group;
    const value = {
      groupId,
      generation: BigInt(group.generation),
      partitions: [...member.partitions],
    };
    commands.push({ command: { case: 'own', value } });
  }
  return commands;
}

async function* watch(
  context: GrpcContext,
  request: WatchRequest,
  call: CallContext,
): AsyncGenerator<MessageInitShape<typeof WatchResponseSchema>, void, void> {
  const { router, clock, stopping } = context;
  const filter = toFilter(request.filter);
  const after = toCount(request.afterRevision, 'after_revision');
  await beforeRead(context, call);
  let shown = after;
  yield* keepStream<MessageInitShape<typeof WatchResponseSchema>>(
    async function* (signal) {
      const from = after === 0 ? {} : { afterRevision: after };
      for await (const events of router.registry.watch(filter, { ...from, signal })) {
        shown = events.revision;
        yield fromEvents(events);
      }
    },
    {
      clock,
      caller: call.signal,
      stopping,
      signOfLife: () => ({ revision: BigInt(shown), events: [] }),
    },
  );
}

function toFilter(message: FilterMessage | undefined): ServiceFilter {
  if (message === undefined) return { includeUnhealthy: false };
  atMost('filter.labels', Object.keys(message.labels).length, filterLabelsMax);
  const namespace = optional(message.namespace);
  const name = optional(message.name);
  const type = toFilterType('filter.type', message.type);
  return {
    ...(namespace && { namespace }),
    ...(name && { name }),
    ...(type && { type }),
    labels: message.labels,
    includeUnhealthy: message.includeUnhealthy,
  };
}

const eventTypes: { readonly [kind in ServiceEvent['kind']]: ServiceEventType } = {
  reset: ServiceEventType.RESET,
  synced: ServiceEventType.SYNCED,
  added: ServiceEventType.ADDED,
  modified: ServiceEventType.MODIFIED,
  healthChanged: ServiceEventType.HEALTH_CHANGED,
  partitionsChanged: ServiceEventType.PARTITIONS_CHANGED,
  removed: ServiceEventType.REMOVED,
};

function fromEvents({
  revision,
  events,
}: ServiceEvents): MessageInitShape<typeof WatchResponseSchema> {
  return {
    revision: BigInt(revision),
    events: events.map((event) => ({
      type: eventTypes[event.kind],
      ...('service' in event && { service: fromRegisteredService(event.service) }),
    })),
  };
}
