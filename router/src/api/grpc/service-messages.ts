// Between the messages of services and the server's plain values; used by the registry and by sidecars.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { toCount } from '@etl-router/proto';
import {
  Health,
  type RegisteredServiceSchema,
  type ServiceHealth,
  type ServiceInfo,
  type ServiceLoad,
  ServiceType,
} from '@etl-router/proto/registry';
import type * as server from '../../server/service-view.ts';
import { maxListItems } from '../../state/limits.ts';
import { atMost, fromMs, measurement, required, text, wordOf } from './fields.ts';

const types: { readonly [number: number]: server.ServiceType } = {
  [ServiceType.SOURCE]: 'source',
  [ServiceType.TRANSFORM]: 'transform',
  [ServiceType.SINK]: 'sink',
  [ServiceType.LOOKUP]: 'lookup',
};
const healths: { readonly [number: number]: server.Health } = {
  [Health.HEALTHY]: 'healthy',
  [Health.DEGRADED]: 'degraded',
  [Health.UNHEALTHY]: 'unhealthy',
  [Health.DRAINING]: 'draining',
};
const typeNumbers: { readonly [type in server.ServiceType]: ServiceType } = {
  source: ServiceType.SOURCE,
  transform: ServiceType.TRANSFORM,
  sink: ServiceType.SINK,
  lookup: ServiceType.LOOKUP,
};
const healthNumbers: { readonly [health in server.Health]: Health } = {
  healthy: Health.HEALTHY,
  degraded: Health.DEGRADED,
  unhealthy: Health.UNHEALTHY,
  draining: Health.DRAINING,
};

const labelsMax = 64;
const componentsMax = 64;
const messageMaxBytes = 1024;

/** What a service says of itself; `field` names the message in errors. */
export function toServiceInfo(message: ServiceInfo | undefined, field: string): server.ServiceInfo {
  const info = required(field, message);
  const endpoint = required(`${field}.endpoint`, info.endpoint);
  atMost(`${field}.labels`, Object.keys(info.labels).length, labelsMax);
  atMost(`${field}.capabilities`, info.capabilities.length, maxListItems);
  atMost(`${field}.record_types`, info.recordTypes.length, maxListItems);
  return {
    serviceId: required(`${field}.service_id`, info.serviceId),
    name: required(`${field}.name`, info.name),
    namespace: required(`${field}.namespace`, info.namespace),
    type: wordOf(`${field}.type`, types, info.type),
    endpoint: {
      host: required(`${field}.endpoint.host`, endpoint.host),
      port: endpoint.port,
      tls: endpoint.tls,
    },
    labels: info.labels,
    groupId: info.groupId,
    version: info.version,
    capabilities: info.capabilities,
    recordTypes: info.recordTypes,
    maxConcurrentRequests: info.maxConcurrentRequests,
    weight: info.weight,
    sidecarId: info.sidecarId,
  };
}

/** A registered service as others see it. */
export function fromRegisteredService(
  service: server.RegisteredService,
): MessageInitShape<typeof RegisteredServiceSchema> {
  const { lastHeartbeatAtMs } = service;
  return {
    info: {
      serviceId: service.serviceId,
      name: service.name,
      namespace: service.namespace,
      type: typeNumbers[service.type],
      endpoint: { ...service.endpoint },
      labels: { ...service.labels },
      groupId: service.groupId,
      version: service.version,
      capabilities: [...service.capabilities],
      recordTypes: [...service.recordTypes],
      maxConcurrentRequests: service.maxConcurrentRequests,
      weight: service.weight,
      sidecarId: service.sidecarId,
    },
    registrationId: BigInt(service.registrationId),
    revision: BigInt(service.revision),
    health: { health: fromHealth(service.health), message: service.healthMessage },
    registeredAt: fromMs(service.registeredAtMs),
    partitions: [...service.partitions],
    ...(lastHeartbeatAtMs === undefined ? {} : { lastHeartbeatAt: fromMs(lastHeartbeatAtMs) }),
  };
}

/** Health as a message has it. */
export function fromHealth(health: server.Health): Health {
  return healthNumbers[health];
}

/** Health that was reported; UNSPECIFIED is refused. */
export function toHealth(field: string, health: Health): server.Health {
  return wordOf(field, healths, health);
}

/** The type of a filter; UNSPECIFIED is any. */
export function toFilterType(field: string, type: ServiceType): server.ServiceType | undefined {
  return type === ServiceType.UNSPECIFIED ? undefined : wordOf(field, types, type);
}

/** How a service says it is. Its parts are checked; the router keeps the whole. */
export function toServiceHealth(
  message: ServiceHealth | undefined,
  field: string,
): { readonly health: server.Health; readonly message: string } {
  const said = required(field, message);
  atMost(`${field}.components`, Object.keys(said.components).length, componentsMax);
  for (const [name, component] of Object.entries(said.components)) {
    toHealth(`${field}.components[${name}].health`, component.health);
    text(`${field}.components[${name}].message`, component.message, messageMaxBytes);
  }
  return {
    health: toHealth(`${field}.health`, said.health),
    message: text(`${field}.message`, said.message, messageMaxBytes),
  };
}

/** Refuses a load that can not be one. */
export function checkServiceLoad(load: ServiceLoad | undefined, field: string): void {
  if (load === undefined) return;
  measurement(`${field}.cpu_cores`, load.cpuCores);
  measurement(`${field}.mean_latency_ms`, load.meanLatencyMs);
  toCount(load.memoryBytes, `${field}.memory_bytes`);
  toCount(load.activeRequests, `${field}.active_requests`);
  toCount(load.queuedRecords, `${field}.queued_records`);
}
